//! Numbers of the API: decimal strings, because an API with floats rounds differently in every client.

use schemars::JsonSchema;
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
