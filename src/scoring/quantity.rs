//! Quantities of Kubernetes that are sizes, such as `50Gi`.

/// Bytes of a quantity, such as `50Gi`; `None`: it is none.
pub fn bytes_of(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 13] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("", 1),
    ];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((quantity.strip_suffix(suffix)?, *unit)))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(unit) * fraction.parse::<u128>().ok()? / scale;
    u64::try_from(u128::from(unit) * whole.parse::<u128>().ok()? + part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_so_many_bytes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("1.5Gi", Some(3 << 29)),
            ("50Gi", Some(50 << 30)),
            ("2k", Some(2000)),
            ("0.5M", Some(500_000)),
            ("", None),
            ("Gi", None),
            ("1.Gi", None),
            ("-1", None),
            ("1e3", None),
            ("99999Ei", None),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
    }
}
