//! Decimal strings of the API as integers, exactly.

/// The number in units of 10^−`digits`: an optional sign, digits, and a point with at most `digits` digits after it.
/// `None` when it is no such number or does not fit.
pub(super) fn units(text: &str, digits: usize) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, decimals) = parts(text).filter(|(_, decimals)| decimals.len() <= digits)?;
    let value: i64 = format!("{whole}{decimals:0<digits$}").parse().ok()?;
    Some(if negative { -value } else { value })
}

/// The digits before and after the point of a number without a sign; `None` when it is no such number.
pub(super) fn parts(text: &str) -> Option<(&str, &str)> {
    let (whole, decimals) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    (!whole.is_empty() && numeric(whole) && numeric(decimals)).then_some((whole, decimals))
}

#[cfg(test)]
mod tests {
    use super::units;

    #[test]
    fn reads_exactly_or_not_at_all() {
        let cases = [
            ("1.9", Some(1_900_000)),
            ("0.000001", Some(1)),
            ("-12.5", Some(-12_500_000)),
            ("999999999.999999", Some(999_999_999_999_999)),
            ("007", Some(7_000_000)),
        ];
        for (text, expected) in cases {
            assert_eq!(units(text, 6), expected, "{text}");
        }
        for text in [
            "",
            "-",
            ".5",
            "1.",
            "1.1234567",
            "1e3",
            "+1",
            "--1",
            " 1",
            "1,5",
            "99999999999999999999",
            "NaN",
        ] {
            assert_eq!(units(text, 6), None, "{text}");
        }
    }
}
