//! Pacing functions: how much is admitted at which step of a phase.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fraction, Positive};

/// A pacing function: step within the phase → admitted fraction.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.function in ['BabyStep', 'OnePass', 'Piecewise']) != has(self.from)",
     "message": "`from` must be set, but not for BabyStep, OnePass and Piecewise"},
    {"rule": "!has(self.from) || !self.from.matches('^0([.]0*)?$')", "message": "`from` must be greater than '0': an empty pool has no rows to train on"},
    {"rule": "!has(self.to) || !self.to.matches('^0([.]0*)?$')", "message": "`to` must be greater than '0': an empty pool has no rows to train on"},
    {"rule": "!has(self.to) || !(self.function in ['Constant', 'BabyStep', 'OnePass', 'Piecewise'])",
     "message": "`to` must be absent for Constant, BabyStep, OnePass and Piecewise"},
    {"rule": "!has(self.steps) && !has(self.portion) || !(self.function in ['Constant', 'FixedExponential', 'VariedExponential', 'Piecewise'])",
     "message": "`steps` and `portion` must be absent for Constant, FixedExponential, VariedExponential and Piecewise"},
    {"rule": "!has(self.steps) || !has(self.portion)", "message": "at most one of `steps` and `portion` must be set"},
    {"rule": "!(self.function in ['Step', 'SingleStep']) || has(self.steps) || has(self.portion)",
     "message": "`steps` or `portion` must be set for Step and SingleStep: when does the pool become `to`?"},
    {"rule": "!has(self.degree) || self.function in ['Root', 'Polynomial', 'Competence']",
     "message": "`degree` must be absent but for Root, Polynomial and Competence"},
    {"rule": "has(self.factor) == (self.function in ['FixedExponential', 'VariedExponential'])",
     "message": "`factor` must be set for FixedExponential and VariedExponential, and for no other function"},
    {"rule": "has(self.interval) == (self.function == 'FixedExponential')",
     "message": "`interval` must be set for FixedExponential, and for no other function"},
    {"rule": "has(self.boundaries) == (self.function == 'VariedExponential')",
     "message": "`boundaries` must be set for VariedExponential, and for no other function"},
    {"rule": "has(self.buckets) == (self.function in ['BabyStep', 'OnePass'])",
     "message": "`buckets` must be set for BabyStep and OnePass, and for no other function"},
    {"rule": "has(self.points) == (self.function == 'Piecewise')",
     "message": "`points` must be set for Piecewise, and for no other function"}
]))]
pub struct PacingSpec {
    /// Shape of the growth.
    pub function: PacingFunction,
    /// Fraction admitted at the phase's first step: b of Wu et al., c₀ of Platanios et al., `starting_percent` of Hacohen and Weinshall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Fraction>,
    /// Fraction admitted at the end. Default `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Fraction>,
    /// Steps from `from` to `to`, possibly more than the phase has. Default: the whole phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: Option<i64>,
    /// Instead of `steps`: their share of the phase's steps, possibly more than 1; a of Wu et al.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portion: Option<Positive>,
    /// Degree of Root (default 2), Polynomial (default 2) and Competence (default 1; p of Platanios et al., who recommend 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degree: Option<Positive>,
    /// FixedExponential and VariedExponential: by what the fraction is multiplied each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Positive>,
    /// FixedExponential: steps between two multiplications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub interval: Option<i64>,
    /// VariedExponential: the last step before each multiplication, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(range(min = 0, max = 1_000_000_000)))]
    pub boundaries: Option<Vec<i64>>,
    /// BabyStep and OnePass: parts of equal size, each of which gets an equal share of the steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub buckets: Option<i32>,
    /// Piecewise: fractions at steps, ascending, with straight lines between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub points: Option<Vec<PacingPoint>>,
}

/// A point of a piecewise linear function.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PacingPoint {
    /// Step of the phase.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub step: i64,
    /// Fraction admitted at this step, greater than 0.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "!self.matches('^0([.]0*)?$')", "message": "must be greater than '0': an empty pool has no rows to train on"}]))]
    pub fraction: Fraction,
}

/// Shape of a pacing function. With x = min(t / steps, 1) for step t of the phase:
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(extend("type" = "string"))]
pub enum PacingFunction {
    /// `from`.
    Constant,
    /// `from + (to − from) · x`.
    Linear,
    /// `from + (to − from) · x²`.
    Quadratic,
    /// `from + (to − from) · x^(1/degree)`.
    Root,
    /// `from + (to − from) · x^degree`.
    Polynomial,
    /// `from + (to − from) · (e^(10x) − 1) / (e^10 − 1)`.
    Exponential,
    /// `from + (to − from) · (1 + ln(x + e^−10) / 10)`.
    Logarithmic,
    /// `from` before step `steps`, then `to`.
    Step,
    /// `(from^p + (to^p − from^p) · x)^(1/p)` with p = `degree`: competence-based (Platanios et al. 2019).
    Competence,
    /// `from · factor^⌊t / interval⌋`, at most `to` (Hacohen, Weinshall 2019).
    FixedExponential,
    /// `from · factor^k`, at most `to`, where k of the `boundaries` lie before step t (Hacohen, Weinshall 2019).
    VariedExponential,
    /// As Step (Hacohen, Weinshall 2019).
    SingleStep,
    /// Buckets of ascending difficulty are added one after the other (Bengio et al. 2009).
    BabyStep,
    /// Buckets of ascending difficulty follow one after the other, each alone (Bengio et al. 2009).
    OnePass,
    /// Straight lines between `points`; before the first and after the last its own fraction.
    Piecewise,
}
