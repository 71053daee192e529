//! Numbers of the API: decimal strings, because an API with floats rounds differently in every client.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// A number from 0 to 1 as a decimal string with at most 9 digits after the point, such as `"0.25"`.
/// Strings, because an API with floats rounds differently in every client.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(transparent)]
pub struct Fraction(
    #[schemars(length(min = 1, max = 11), regex(pattern = r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^(0([.][0-9]{1,9})?|1([.]0{1,9})?)$')",
         "message": "must be a decimal number from '0' to '1' with at most 9 digits after the point, such as '0.25'"}]))]
    pub String,
);

/// A number greater than 0 as a decimal string with at most 6 digits before and 6 after the point, such as `"1.9"`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(transparent)]
pub struct Positive(
    #[schemars(length(min = 1, max = 13), regex(pattern = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[0-9]{1,6}([.][0-9]{1,6})?$') && !self.matches('^0+([.]0*)?$')",
         "message": "must be a decimal number greater than '0' with at most 6 digits before and after the point, such as '1.9'"}]))]
    pub String,
);

/// A score as a decimal string with at most 9 digits before and 6 after the point, such as `"-12.5"`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(transparent)]
pub struct Score(
    #[schemars(length(min = 1, max = 17), regex(pattern = r"^-?[0-9]{1,9}(\.[0-9]{1,6})?$"), extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^-?[0-9]{1,9}([.][0-9]{1,6})?$')",
         "message": "must be a decimal number with at most 9 digits before and 6 after the point, such as '12.5'"}]))]
    pub String,
);

/// DeepSpeed's `root_degree`: a number greater than 0, whole as a number, or as a decimal string like a [`Positive`]. Files of
/// DeepSpeed have it as a number with a fraction, too.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct RootDegree(pub String);

impl<'de> Deserialize<'de> for RootDegree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = RootDegree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number greater than 0, such as 2 or \"0.5\"")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<RootDegree, E> {
                Ok(RootDegree(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<RootDegree, E> {
                Ok(RootDegree(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<RootDegree, E> {
                Ok(RootDegree(value.to_string()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RootDegree, E> {
                Ok(RootDegree(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl JsonSchema for RootDegree {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RootDegree".into()
    }

    // No CEL: its cost for a union of number and text is that of the largest possible text.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true,
            "minimum": 1, "maximum": 1000, "minLength": 1, "maxLength": 13, "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?$"})
    }
}

impl From<&str> for Fraction {
    fn from(s: &str) -> Self {
        Self(s.to_owned())
    }
}

impl From<&str> for Positive {
    fn from(s: &str) -> Self {
        Self(s.to_owned())
    }
}

impl From<&str> for Score {
    fn from(s: &str) -> Self {
        Self(s.to_owned())
    }
}
