//! Timing in turns, and the lines of JSON.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

/// Seconds that `work` took.
pub(crate) fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed().as_secs_f64()
}

/// Seconds of every repetition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn least(&self) -> f64 {
        self.0[0]
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

/// A rival's name, times and version.
pub(crate) struct Rival<'a> {
    pub(crate) name: &'a str,
    pub(crate) times: &'a Times,
    pub(crate) version: (&'a str, String),
}

/// Prints a comparison. `more` is added to the line.
pub(crate) fn print(name: &str, ours: &Times, rival: Option<&Rival<'_>>, more: &[(&str, u64)]) {
    let mut versions = BTreeMap::from([("curriculum", env!("CARGO_PKG_VERSION").to_owned())]);
    if let Some(rival) = rival {
        versions.insert(rival.version.0, rival.version.1.clone());
    }
    let mut line = json!({
        "name": name,
        "ours_s": ours.least(),
        "ours_median_s": ours.median(),
        "rival": rival.map(|rival| rival.name),
        "rival_s": rival.map(|rival| rival.times.least()),
        "rival_median_s": rival.map(|rival| rival.times.median()),
        "ratio": rival.map(|rival| ours.least() / rival.times.least()),
        "versions": versions,
    });
    for (key, value) in more {
        line[key] = json!(value);
    }
    println!("{line}");
}

/// Version of a crate in the lock file.
pub(crate) fn locked(name: &str) -> String {
    let start = format!("name = \"{name}\"\nversion = \"");
    let lock = include_str!("../../Cargo.lock");
    let version = lock.split(&start).nth(1).and_then(|rest| rest.split('"').next());
    version.unwrap_or("unknown").to_owned()
}
