//! A simulation as a picture: the schedule, which difficulties were served when, and the groups' shares.

mod bands;
mod panel;

use plotters::prelude::*;

use super::error::SimulateError;
use super::summary::{Summary, label};
use super::tally::{BINS, Served};
use panel::{Canvas, Legend, Panel};

/// Pixels. Text is sized for this width: a page may show the picture at 640 as well as at 1,400 pixels.
const WIDTH: u32 = 800;
/// Most columns of the heat map and of the groups' shares: narrower ones show noise.
const COLUMNS: u64 = 96;
/// Groups with a colour of their own.
const COLOURED: usize = 7;
/// Longest name in a legend.
const NAME: usize = 16;

/// Distinct for colour-blind readers too: the palette of Okabe and Ito (2008), but for its yellow, which is hard to see on white.
const COLOURS: [RGBColor; COLOURED] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(70, 70, 70),
];
const OTHERS: RGBColor = RGBColor(190, 190, 190);

/// Errors of the drawing library borrow from its backend, which is gone when the error is shown.
fn failed(error: impl std::fmt::Display) -> SimulateError {
    SimulateError::Picture(error.to_string())
}

/// The picture as SVG: of one simulation, and with the schedules of others over its own.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn svg(summary: &Summary<'_>, others: &[Summary<'_>]) -> Result<String, SimulateError> {
    let all: Vec<&Summary<'_>> = [summary].into_iter().chain(others).collect();
    let drawn = summary.points.iter().any(|point| point.served.is_some());
    let end = longest(&all);
    let mut panels = vec![schedule(&all)];
    panels.extend(difficulty(summary, end));
    panels.extend(batch_rows(&all));
    if drawn && !others.is_empty() {
        panels.push(mean_ranks(&all));
    }
    if drawn {
        panels.push(exposure(summary, end));
        if !summary.group_names.is_empty() {
            panels.push(shares(summary, end));
        }
    }
    Canvas::new(WIDTH, panels).draw(summary)
}

fn names(all: &[&Summary<'_>]) -> Legend {
    match all {
        [_] => Legend::None,
        _ => Legend::Lines(
            all.iter()
                .zip(COLOURS.iter().cycle())
                .map(|(one, colour)| (label(&one.name, NAME), *colour))
                .collect(),
        ),
    }
}

/// The pool over the steps.
fn schedule(all: &[&Summary<'_>]) -> Panel {
    let curve = |one: &&Summary<'_>| {
        let rows = one.plan.rows as f64;
        let mut points: Vec<(f64, f64)> = one
            .points
            .iter()
            .map(|point| (point.step as f64, point.pool as f64 / rows * 100.0))
            .collect();
        points.extend(points.last().map(|&(_, pool)| (one.end() as f64, pool)));
        points
    };
    Panel::Curves {
        title: "Pool: rows admitted, % of all".to_owned(),
        end: longest(all),
        top: 100.0,
        curves: all.iter().map(curve).collect(),
        legend: names(all),
        named: true,
    }
}

/// DeepSpeed's difficulty over the steps.
fn difficulty(summary: &Summary<'_>, end: f64) -> Option<Panel> {
    let points = summary.points.iter();
    let mut points: Vec<(f64, f64)> = points
        .filter_map(|point| Some((point.step as f64, point.difficulty? as f64)))
        .collect();
    points.extend(points.last().map(|&(_, difficulty)| (summary.end() as f64, difficulty)));
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
    (!points.is_empty()).then(|| Panel::Curves {
        title: "Difficulty of the schedule".to_owned(),
        end,
        top,
        curves: vec![points],
        legend: Legend::None,
        named: false,
    })
}

/// Rows of a batch over the steps, where tokens bound it.
fn batch_rows(all: &[&Summary<'_>]) -> Option<Panel> {
    let packed =
        |one: &&&Summary<'_>| one.plan.tokens.is_some() && one.totals.iter().any(|total| total.packed.is_some());
    let packed: Vec<&Summary<'_>> = all.iter().filter(packed).copied().collect();
    let curve = |one: &&Summary<'_>| -> Vec<(f64, f64)> {
        let mean = |column: &Column| column.rows as f64 / (column.end - column.start) as f64;
        let mut points: Vec<_> = columns(one)
            .iter()
            .map(|column| (column.start as f64, mean(column)))
            .collect();
        points.extend(points.last().map(|&(_, rows)| (one.end() as f64, rows)));
        points
    };
    let curves: Vec<Vec<(f64, f64)>> = packed.iter().map(curve).collect();
    let top = curves.iter().flatten().map(|point| point.1).fold(1.0, f64::max);
    (!packed.is_empty()).then(|| Panel::Curves {
        title: "Rows of a batch".to_owned(),
        end: longest(all),
        top,
        curves,
        legend: names(&packed),
        named: false,
    })
}

/// The mean difficulty served, on a scale that does not depend on the scores.
fn mean_ranks(all: &[&Summary<'_>]) -> Panel {
    let curve = |one: &&Summary<'_>| {
        let columns = columns(one);
        let middle = |column: &Column| (column.start + column.end) as f64 / 2.0;
        let mean = |column: &Column| column.rank_sum / column.rows as f64 * 100.0;
        columns.iter().map(|column| (middle(column), mean(column))).collect()
    };
    Panel::Curves {
        title: "Mean difficulty of the rows served, percentile".to_owned(),
        end: longest(all),
        top: 100.0,
        curves: all.iter().map(curve).collect(),
        legend: names(all),
        named: false,
    }
}

/// Rows served by difficulty and time.
fn exposure(summary: &Summary<'_>, end: f64) -> Panel {
    let columns = columns(summary);
    let cells = columns.iter().map(|column| {
        let shares = column.bins.map(|rows| rows as f64 / column.rows as f64);
        (column.start as f64, column.end as f64, shares.to_vec())
    });
    Panel::Heat {
        title: "Rows served, by difficulty percentile".to_owned(),
        end,
        cells: cells.collect(),
    }
}

/// The groups' shares of the rows served, one above the other.
fn shares(summary: &Summary<'_>, end: f64) -> Panel {
    let limit = if summary.group_names.len() > COLOURED {
        COLOURED - 1
    } else {
        COLOURED
    };
    let shown = summary.largest_groups(limit);
    let mut entries: Vec<(String, RGBColor)> = shown
        .iter()
        .zip(COLOURS)
        .map(|(&group, colour)| (label(&summary.group_names[group], NAME), colour))
        .collect();
    let others = summary.group_names.len() - shown.len();
    if others > 0 {
        entries.push((format!("{others} others"), OTHERS));
    }
    let columns = columns(summary);
    let layers = columns.iter().map(|column| {
        let mut shares: Vec<f64> = shown
            .iter()
            .map(|&group| column.groups[group] as f64 / column.rows as f64)
            .collect();
        if others > 0 {
            shares.push((1.0 - shares.iter().sum::<f64>()).max(0.0));
        }
        (column.start as f64, column.end as f64, shares)
    });
    Panel::Stack {
        title: format!(
            "Share of each {} in the rows served, %",
            label(summary.group_label, NAME)
        ),
        end,
        layers: layers.collect(),
        legend: entries,
    }
}

fn longest(all: &[&Summary<'_>]) -> f64 {
    all.iter().map(|one| one.end()).max().unwrap_or(1) as f64
}

/// Rows served in some consecutive steps.
struct Column {
    start: u64,
    end: u64,
    rows: u64,
    rank_sum: f64,
    groups: Vec<u64>,
    bins: [u64; BINS],
}

/// The shown steps in at most [`COLUMNS`] columns of about the same width.
fn columns(summary: &Summary<'_>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let first = summary.points.first().map_or(0, |point| point.step);
    let width = (summary.end() - first).div_ceil(COLUMNS).max(1);
    let mut start = first;
    for point in &summary.points {
        let Some(served) = &point.served else { continue };
        match columns.last_mut().filter(|column| point.step - column.start < width) {
            Some(column) => column.add(point.step + 1, served),
            None => columns.push(Column::new(start, point.step + 1, served)),
        }
        start = point.step + 1;
    }
    columns
}

impl Column {
    fn new(start: u64, end: u64, served: &Served) -> Self {
        Self {
            start,
            end,
            rows: served.rows,
            rank_sum: served.mean_rank * served.rows as f64,
            groups: served.groups.clone(),
            bins: served.bins,
        }
    }

    fn add(&mut self, end: u64, served: &Served) {
        self.end = end;
        self.rows += served.rows;
        self.rank_sum += served.mean_rank * served.rows as f64;
        self.groups
            .iter_mut()
            .zip(&served.groups)
            .for_each(|(sum, rows)| *sum += rows);
        self.bins
            .iter_mut()
            .zip(&served.bins)
            .for_each(|(sum, rows)| *sum += rows);
    }
}

/// Colour of a value from 0 to 1: white, blue, nearly black. Lightness falls evenly, so that it reads in grey too.
fn shade(value: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 4] = [
        (255.0, 255.0, 255.0),
        (158.0, 202.0, 225.0),
        (33.0, 113.0, 181.0),
        (8.0, 29.0, 88.0),
    ];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let stop = (place as usize).min(STOPS.len() - 2);
    let (from, to, x) = (STOPS[stop], STOPS[stop + 1], place - stop as f64);
    let mix = |from: f64, to: f64| (from + (to - from) * x).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}
