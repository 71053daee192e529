//! Shown steps as JSON Lines: one object per step.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::run::Point;
use super::tally::Served;
use crate::curriculum::plan::Role;

/// A line. The first six fields are a contract; fields may be added after them.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Line<'a> {
    step: u64,
    phase: &'a str,
    phase_index: usize,
    /// Rows of the phase's own pool.
    pool: u64,
    /// Admitted fraction.
    fraction: f64,
    /// DeepSpeed's difficulty.
    difficulty: Option<u64>,
    /// Share of the batch by kind of pool.
    shares: Map<Role, f64>,
    /// Different rows served from step 0 on.
    seen: Option<u64>,
    /// Difficulty of the rows served since the line before.
    served: Option<Difficulty>,
    /// Share of each group in them; left out without groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Map<&'a str, f64>>,
}

/// Quartiles of what was served; `null` for rows without a score.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Difficulty {
    rows: u64,
    min: f64,
    q25: f64,
    median: f64,
    q75: f64,
    max: f64,
    mean_rank: f64,
}

/// A JSON object in a given order.
#[derive(Debug)]
struct Map<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'a> Line<'a> {
    /// The line of a point.
    pub fn new(point: &'a Point, phase: &'a str, group_names: &'a [String]) -> Self {
        let groups = point.served.as_ref().filter(|_| !group_names.is_empty()).map(|served| {
            let names = group_names.iter().map(String::as_str);
            Map(names.zip(served.group_shares()).collect())
        });
        Self {
            step: point.step,
            phase,
            phase_index: point.phase,
            pool: point.pool,
            fraction: point.fraction,
            difficulty: point.difficulty,
            shares: Map(point.shares.clone()),
            seen: point.seen,
            served: point.served.as_ref().map(Difficulty::new),
            groups,
        }
    }
}

impl Difficulty {
    const fn new(served: &Served) -> Self {
        let [min, q25, median, q75, max] = served.quantiles;
        Self {
            rows: served.rows,
            min,
            q25,
            median,
            q75,
            max,
            mean_rank: served.mean_rank,
        }
    }
}
