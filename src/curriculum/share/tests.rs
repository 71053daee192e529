use proptest::prelude::*;

use super::*;

#[test]
fn reads_decimals_exactly() {
    for (text, units) in [
        ("0", 0),
        ("1", UNITS),
        ("1.000000000", UNITS),
        ("0.2", 200_000_000_000),
        ("0.000000001", 1000),
        ("0.000000000001", 1),
        ("0.333333333", 333_333_333_000),
    ] {
        assert_eq!(Share::parse(text), Ok(Share(units)), "{text}");
    }
}

#[test]
fn refuses_what_is_no_share() {
    for text in [
        "", ".5", "1.", "-0.1", "+0.1", "0,5", "1e-3", " 0.5", "0.5 ", "٣", "NaN", "0..1", "0.1.1",
    ] {
        assert_eq!(
            Share::parse(text),
            Err(ShareError::Malformed(text.to_owned())),
            "{text}"
        );
    }
    for text in ["1.000000001", "2", "10", "18446744073709551617"] {
        assert_eq!(
            Share::parse(text),
            Err(ShareError::OutOfRange(text.to_owned())),
            "{text}"
        );
    }
    assert_eq!(
        Share::parse("0.0000000000001"),
        Err(ShareError::TooFine("0.0000000000001".to_owned()))
    );
    for x in [f64::NAN, -1e-300, 1.0 + f64::EPSILON, f64::INFINITY] {
        assert!(Share::from_f64(x).is_err(), "{x}");
    }
}

#[test]
fn rounds_floats_to_the_nearest_unit() {
    assert_eq!(Share::from_f64(1.0 / 3.0), Ok(Share(333_333_333_333)));
    assert_eq!(Share::from_f64(2.0 / 3.0), Ok(Share(666_666_666_667)));
    assert_eq!(Share::from_f64(1.0), Ok(Share::ONE));
    assert_eq!(Share::from_f64(-0.0), Ok(Share::ZERO));
}

#[test]
fn ceils_without_overflow() {
    assert_eq!(Share::parse("0.2").unwrap().ceil_of(1079), 216);
    assert_eq!(Share::ONE.ceil_of(u64::MAX), u64::MAX);
    assert_eq!(Share(1).ceil_of(1), 1);
    assert_eq!(Share::ZERO.ceil_of(u64::MAX), 0);
    assert_eq!(
        Share(UNITS - 1).ceil_of(1 << 63),
        (((UNITS - 1) as u128 * (1u128 << 63)).div_ceil(UNITS as u128)) as u64
    );
}

proptest! {
    #[test]
    fn text_of_every_share_reads_back(units in 0..=UNITS) {
        let text = format!("{}.{:012}", units / UNITS, units % UNITS);
        prop_assert_eq!(Share::parse(&text), Ok(Share(units)));
        prop_assert_eq!(Share::from_f64(units as f64 / UNITS as f64), Ok(Share(units)));
    }

    #[test]
    fn ceil_is_the_least_integer_not_below(units in 0..=UNITS, n in any::<u64>()) {
        let size = u128::from(Share(units).ceil_of(n)) * u128::from(UNITS);
        let exact = u128::from(units) * u128::from(n);
        prop_assert!(size >= exact && size < exact + u128::from(UNITS));
    }
}
