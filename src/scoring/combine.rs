//! From several scorers' scores to one score of each row.

use super::task::Combine;
use crate::index::order::to_ranks;

/// Scores of several scorers on their way to one: add them scorer by scorer, so that only one is in memory at a time.
#[derive(Debug)]
pub struct Combination {
    how: Combine,
    weights: Vec<f64>,
    added: usize,
    /// Empty until the first scorer's are added.
    values: Vec<f64>,
}

impl Combination {
    /// A combination of scorers with these weights.
    ///
    /// The ranks of a single scorer order the rows as its scores do, but say less: `MeanRank` and `Max` of one scorer are its
    /// scores.
    pub fn new(how: Combine, weights: &[f64]) -> Self {
        let (how, weights) = match (how, weights) {
            (Combine::MeanRank | Combine::Max, [_]) => (Combine::WeightedScore, &[1.0][..]),
            other => other,
        };
        Self {
            how,
            weights: weights.to_vec(),
            added: 0,
            values: Vec::new(),
        }
    }

    /// Adds the next scorer's scores, one for each row (the same number every time), NaN for rows without one; such a row stays
    /// without a combined score.
    ///
    /// `MeanRank` adds the rank among the rows that this scorer scored, times weight over the sum of weights;
    /// `WeightedScore` the score times weight; `Max` keeps the greatest rank and ignores weights.
    pub fn add(&mut self, mut scores: Vec<f64>) {
        let weight = self.weights.get(self.added).copied().unwrap_or(0.0);
        self.added += 1;
        match self.how {
            Combine::WeightedScore => scores.iter_mut().for_each(|score| *score *= weight),
            Combine::MeanRank => {
                let share = weight / self.weights.iter().sum::<f64>();
                to_ranks(&mut scores);
                scores.iter_mut().for_each(|rank| *rank *= share);
            }
            Combine::Max => to_ranks(&mut scores),
        }
        if self.added == 1 {
            self.values = scores;
            return;
        }
        for (value, score) in self.values.iter_mut().zip(scores) {
            *value = match self.how {
                Combine::WeightedScore | Combine::MeanRank => *value + score,
                // `f64::max` would forget a NaN.
                Combine::Max if value.is_nan() || score.is_nan() => f64::NAN,
                Combine::Max => value.max(score),
            };
        }
    }

    /// The combined scores; NaN for rows without one. A sum beyond the largest finite number counts as none.
    pub fn finish(mut self) -> Vec<f64> {
        for value in &mut self.values {
            if !value.is_finite() {
                *value = f64::NAN;
            }
        }
        self.values
    }
}

#[cfg(test)]
mod tests;
