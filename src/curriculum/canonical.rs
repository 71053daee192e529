//! Canonical JSON and its digest: the same value is the same bytes, whoever writes it.
//!
//! The form of RFC 8785 for values without fractions: no blanks, keys sorted by UTF-16 code units, shortest escapes.
//! Numbers that are not integers are refused, because nothing that we hash may depend on how floats are printed.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Why a value has no canonical JSON.
#[derive(thiserror::Error, Debug)]
pub enum CanonicalError {
    /// It holds a number with a fraction or an exponent.
    #[error("{0} is not an integer: write it as a decimal string")]
    NotAnInteger(serde_json::Number),
    /// It is no JSON at all, such as a map whose keys are not strings.
    #[error("not representable as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The canonical JSON of a value.
///
/// # Errors
/// When the value holds a number that is not an integer, or is not representable as JSON.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
    let mut out = String::new();
    write(&serde_json::to_value(value)?, &mut out)?;
    Ok(out)
}

/// SHA-256 as `sha256:` and 64 lower-case hexadecimal digits.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    digest(Sha256::new_with_prefix(bytes))
}

/// What was hashed so far, as [`sha256`] has it.
pub fn digest(hash: Sha256) -> String {
    format!("sha256:{:x}", HexDigest(hash.finalize().into()))
}

struct HexDigest([u8; 32]);

impl std::fmt::LowerHex for HexDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn write(value: &Value, out: &mut String) -> Result<(), CanonicalError> {
    match value {
        Value::Number(number) if number.is_f64() => return Err(CanonicalError::NotAnInteger(number.clone())),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // Sorted here, because a feature of serde_json that any dependency may turn on changes the map's own order.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(item, out)?;
            }
            out.push('}');
        }
        scalar => out.push_str(&serde_json::to_string(scalar)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sorts_by_utf16_and_escapes_shortest() {
        // The example of RFC 8785, section 3.2.3.
        let value = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let keys = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(to_json(&value).unwrap(), keys);
        assert_eq!(
            to_json("\u{1}\u{1f}\n\"\\/\u{7f}é").unwrap(),
            "\"\\u0001\\u001f\\n\\\"\\\\/\u{7f}é\""
        );
        assert_eq!(
            to_json(&json!([true, null, -3, u64::MAX, []])).unwrap(),
            "[true,null,-3,18446744073709551615,[]]"
        );
    }

    #[test]
    fn refuses_fractions() {
        let message = to_json(&json!({"a": [0.5]})).unwrap_err().to_string();
        assert_eq!(message, "0.5 is not an integer: write it as a decimal string");
    }

    #[test]
    fn digest_is_sha256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
