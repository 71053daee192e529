//! Phases as bands behind a panel: where they begin and what they are called.

use crate::simulate::summary::{Summary, label};

/// Pixels of a character of the bands' names, about.
const CHARACTER: f64 = 7.4;
const NAME: usize = 30;

/// A phase in a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Band {
    pub(super) start: f64,
    pub(super) end: f64,
    /// Its name, its number where the name is too wide, or nothing where that is too wide too.
    pub(super) text: String,
}

/// The phases of a simulation in a panel of `pixels` for the steps up to `end`, and a key for those whose names do not fit.
pub(super) fn of(summary: &Summary<'_>, end: f64, pixels: f64) -> (Vec<Band>, Vec<String>) {
    let mut bands = Vec::new();
    let mut key = Vec::new();
    for (number, total) in summary.totals.iter().enumerate() {
        let (start, stop) = (total.steps.start as f64, total.steps.end as f64);
        let room = (stop - start) / end.max(1.0) * pixels - 8.0;
        let fits = |text: &String| text.chars().count() as f64 * CHARACTER <= room;
        let name = label(summary.phase_name(number), NAME);
        let text = if fits(&name) {
            name
        } else {
            key.push(format!("{}: {name}", number + 1));
            Some((number + 1).to_string()).filter(fits).unwrap_or_default()
        };
        bands.push(Band { start, end: stop, text });
    }
    (bands, key)
}

/// The key in lines of at most `pixels`.
pub(super) fn lines(key: &[String], pixels: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in key {
        match lines.last_mut() {
            Some(line) if (line.chars().count() + entry.chars().count() + 2) as f64 * CHARACTER <= pixels => {
                line.push_str(", ");
                line.push_str(entry);
            }
            _ => lines.push(entry.clone()),
        }
    }
    lines
}
