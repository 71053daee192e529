//! Numbers as people write them: reading what may be one, and writing one the same way whatever file it came from.

/// Whether a text is a decimal number as programs write them: `-1`, `0.5`, `1e-3`; not `007`, `+1`, `.5`, `inf` or `nan`, which
/// may be names.
pub(crate) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = digits
        .split_once(['e', 'E'])
        .map_or((digits, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (whole, fraction) = mantissa
        .split_once('.')
        .map_or((mantissa, None), |(whole, fraction)| (whole, Some(fraction)));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = |text: &str| all_digits(text.strip_prefix(['-', '+']).unwrap_or(text));
    all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(exponent_fits)
}

/// A number in the fewest digits that give it back, a whole one without a point: `1`, not `1.0`; zero has no sign.
pub(crate) fn number_text(number: f64) -> String {
    // −0 + 0 is 0.
    (number + 0.0).to_string()
}

/// The number that somebody wrote who now has `rounded`: single precision holds 0.1 as 0.100000001…, and the shortest decimal that
/// rounds to that is 0.1.
pub(super) fn as_written(rounded: f32) -> f64 {
    const EXACT: f64 = (1 << f32::MANTISSA_DIGITS) as f64;
    let widened = f64::from(rounded);
    // Up to there whole numbers are the same in both precisions.
    if !widened.is_finite() || (widened.fract() == 0.0 && widened.abs() < EXACT) {
        return widened;
    }
    rounded.to_string().parse().unwrap_or(widened)
}

/// As [`as_written`] for half precision, where `nearest` gives the number of that precision that is next to another.
pub(super) fn as_written_half(rounded: f32, nearest: impl Fn(f32) -> f32) -> f64 {
    // Five significant digits tell all numbers of half precision apart.
    (0..5)
        .map(|digits| format!("{rounded:.digits$e}"))
        .find(|text| text.parse().is_ok_and(|number| nearest(number) == rounded))
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| f64::from(rounded))
}

/// A number or, as in a column of flags, a boolean as 1 or 0. `None` when it is neither.
pub(super) fn parse(text: &str) -> Option<f64> {
    text.parse().ok().or_else(|| parse_flag(text).map(f64::from))
}

/// `true` and `false` as Python, pandas and spreadsheets write them.
pub(crate) fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_told_from_names() {
        for text in ["0", "-1", "10", "0.5", "-0.0", "1.50", "1e5", "1E-3", "2.5e+7"] {
            assert!(is_decimal(text), "{text}");
        }
        for text in [
            "", "-", "007", "00", "+1", ".5", "1.", "1e", "e5", "inf", "nan", "1 ", " 1", "1_0", "0x1", "1.2.3", "--1",
            "1e5.0",
        ] {
            assert!(!is_decimal(text), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_alike() {
        for (number, text) in [(1.0, "1"), (-0.0, "0"), (0.5, "0.5"), (-3.0, "-3"), (0.1, "0.1")] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn single_precision_is_read_as_it_was_written() {
        for (rounded, written) in [
            (0.1_f32, 0.1),
            (0.3, 0.3),
            (1e-7, 1e-7),
            (16_777_216.0, 16_777_216.0),
            (-2.5, -2.5),
        ] {
            assert_eq!(as_written(rounded), written);
        }
        assert!(as_written(f32::NAN).is_nan() && as_written(f32::INFINITY).is_infinite());
    }

    proptest! {
        #[test]
        fn what_was_written_rounds_to_what_was_read(bits: u32) {
            let rounded = f32::from_bits(bits);
            prop_assume!(rounded.is_finite());
            prop_assert_eq!(as_written(rounded) as f32, rounded);
        }

        #[test]
        fn up_to_six_digits_come_back(digits in -999_999_i32..=999_999, places in 0..9_i32) {
            let written = format!("{digits}e-{places}");
            let (single, double): (f32, f64) = (written.parse().unwrap(), written.parse().unwrap());
            prop_assert_eq!(as_written(single), double);
        }
    }
}
