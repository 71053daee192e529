//! The panels of a picture, one below the other on one scale of steps. Legends stand beside them.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::bands::{self, Band};
use super::{COLOURS, failed, shade};
use crate::simulate::error::SimulateError;
use crate::simulate::summary::Summary;
use crate::simulate::tally::BINS;

pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
const FAINT: RGBColor = RGBColor(205, 205, 205);
/// Every other phase.
const BAND: RGBColor = RGBColor(240, 240, 240);
/// Pixels: of a panel, of the legends, of the axis' labels, of lines of text.
const HEIGHT: u32 = 232;
const LEGEND: u32 = 150;
const LABELS: u32 = 48;
const LINE: u32 = 20;
const TITLE: f64 = 17.0;
const TEXT: f64 = 14.0;

/// The least share of the rows that the darkest colour stands for: so that chance does not look like a pattern.
const FULL: f64 = 0.2;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// Steps from and to, and values.
type Columns = Vec<(f64, f64, Vec<f64>)>;

/// What stands beside a panel.
pub(super) enum Legend {
    None,
    /// Names of lines.
    Lines(Vec<(String, RGBColor)>),
}

/// A panel.
pub(super) enum Panel {
    /// Lines over the steps.
    Curves {
        title: String,
        end: f64,
        top: f64,
        curves: Vec<Vec<(f64, f64)>>,
        legend: Legend,
        /// Whether the phases are named here.
        named: bool,
    },
    /// Shares of the bins of difficulty.
    Heat { title: String, end: f64, cells: Columns },
    /// Shares that sum to 1.
    Stack {
        title: String,
        end: f64,
        layers: Columns,
        legend: Vec<(String, RGBColor)>,
    },
}

/// Panels below each other.
pub(super) struct Canvas {
    width: u32,
    panels: Vec<Panel>,
}

impl Canvas {
    pub(super) const fn new(width: u32, panels: Vec<Panel>) -> Self {
        Self { width, panels }
    }

    pub(super) fn draw(&self, summary: &Summary<'_>) -> Result<String, SimulateError> {
        let pixels = f64::from(self.width - LEGEND - LABELS);
        let end = self.panels.first().map_or(1.0, Panel::end);
        let (bands, key) = bands::of(summary, end, pixels);
        let key = bands::lines(&key, f64::from(self.width) - 20.0);
        let height = HEIGHT * self.panels.len() as u32 + LINE * (key.len() as u32 + 1);
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (self.width, height)).into_drawing_area();
            root.fill(&WHITE).map_err(failed)?;
            let mut rest = root.clone();
            for (number, panel) in self.panels.iter().enumerate() {
                let (area, below) = rest.split_vertically(HEIGHT);
                rest = below;
                panel.draw(&area, &bands)?;
                if number + 1 == self.panels.len() {
                    write(
                        &rest,
                        "step",
                        (LABELS as i32 + pixels as i32 / 2, 0),
                        TEXT,
                        INK,
                        HPos::Center,
                    )?;
                }
            }
            for (line, y) in key.iter().zip((LINE as i32..).step_by(LINE as usize)) {
                write(&rest, line, (10, y), TEXT, INK, HPos::Left)?;
            }
            root.present().map_err(failed)?;
        }
        Ok(text)
    }
}

impl Panel {
    const fn end(&self) -> f64 {
        match self {
            Self::Curves { end, .. } | Self::Heat { end, .. } | Self::Stack { end, .. } => *end,
        }
    }

    fn draw(&self, area: &Area<'_>, bands: &[Band]) -> Result<(), SimulateError> {
        let (width, _) = area.dim_in_pixel();
        let (left, right) = area.split_horizontally(width - LEGEND);
        match self {
            Self::Curves {
                title,
                end,
                top,
                curves,
                legend,
                named,
            } => {
                // Room for the phases' names above the greatest value.
                let range = 0.0..top * if *named { 1.16 } else { 1.05 };
                let mut chart = chart(&left, title, *end, range.clone())?;
                shades(&mut chart, bands, range.end)?;
                mesh(&mut chart, *top, FAINT.mix(0.7))?;
                if *named {
                    phase_names(&mut chart, bands, range.end)?;
                }
                // Earlier lines are wider, so that one below another can be seen.
                for (number, curve) in curves.iter().enumerate() {
                    let style = COLOURS[number % COLOURS.len()].stroke_width((curves.len() + 1 - number).min(5) as u32);
                    chart
                        .draw_series(LineSeries::new(curve.iter().copied(), style))
                        .map_err(failed)?;
                }
                if let Legend::Lines(entries) = legend {
                    entries_of(&right, entries)?;
                }
            }
            Self::Heat { title, end, cells } => {
                let most = cells
                    .iter()
                    .flat_map(|(.., shares)| shares)
                    .copied()
                    .fold(FULL, f64::max);
                let mut chart = chart(&left, title, *end, 0.0..100.0)?;
                let cells = heat_cells(cells, most);
                chart.draw_series(cells).map_err(failed)?;
                mesh(&mut chart, 100.0, TRANSPARENT)?;
                edges(&mut chart, bands, 100.0)?;
                scale(&right, most)?;
            }
            Self::Stack {
                title,
                end,
                layers,
                legend,
            } => {
                let mut chart = chart(&left, title, *end, 0.0..100.0)?;
                let count = legend.len();
                // From the top down, each layer over what is above it; the first group is at the bottom.
                for layer in (0..count).rev() {
                    let sums = layers.iter().flat_map(|(start, stop, shares)| {
                        let sum: f64 = shares.iter().take(layer + 1).sum::<f64>() * 100.0;
                        [(*start, sum), (*stop, sum)]
                    });
                    let series = AreaSeries::new(sums, 0.0, legend[layer].1);
                    chart.draw_series(series).map_err(failed)?;
                }
                mesh(&mut chart, 100.0, TRANSPARENT)?;
                edges(&mut chart, bands, 100.0)?;
                // As they lie above each other.
                let entries: Vec<_> = legend.iter().rev().cloned().collect();
                entries_of(&right, &entries)?;
            }
        }
        Ok(())
    }
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    end: f64,
    range: std::ops::Range<f64>,
) -> Result<Chart<'a, 'b>, SimulateError> {
    write(area, title, (LABELS as i32, 6), TITLE, INK, HPos::Left)?;
    ChartBuilder::on(area)
        .margin_top(30)
        .margin_bottom(2)
        .x_label_area_size(24)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..end.max(1.0), range)
        .map_err(failed)
}

fn mesh(chart: &mut Chart<'_, '_>, top: f64, lines: RGBAColor) -> Result<(), SimulateError> {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(lines)
        .axis_style(INK)
        .x_labels(6)
        .y_labels(5)
        .label_style(("sans-serif", TEXT).into_font().color(&INK))
        .x_label_formatter(&|x| format!("{x:.0}"))
        // Above the greatest value there are only names.
        .y_label_formatter(&|y| {
            if *y > top * 1.001 {
                String::new()
            } else {
                format!("{y:.0}")
            }
        })
        .draw()
        .map_err(failed)
}

fn shades(chart: &mut Chart<'_, '_>, bands: &[Band], top: f64) -> Result<(), SimulateError> {
    let every_other = bands.iter().skip(1).step_by(2);
    let shades = every_other.map(|band| Rectangle::new([(band.start, 0.0), (band.end, top)], BAND.filled()));
    chart.draw_series(shades).map_err(failed)?;
    Ok(())
}

fn phase_names(chart: &mut Chart<'_, '_>, bands: &[Band], top: f64) -> Result<(), SimulateError> {
    let style = TextStyle::from(("sans-serif", TEXT))
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Top));
    let names = bands
        .iter()
        .map(|band| EmptyElement::at((band.start, top)) + Text::new(band.text.clone(), (4, 3), style.clone()));
    chart.draw_series(names).map_err(failed)?;
    Ok(())
}

/// Where phases begin.
fn edges(chart: &mut Chart<'_, '_>, bands: &[Band], top: f64) -> Result<(), SimulateError> {
    for band in bands.iter().skip(1) {
        let line = [(band.start, 0.0), (band.start, top)];
        // Light around dark: visible on every shade.
        for style in [WHITE.stroke_width(3), INK.stroke_width(1)] {
            chart.draw_series(LineSeries::new(line, style)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Names with a patch of their colour.
fn entries_of(area: &Area<'_>, entries: &[(String, RGBColor)]) -> Result<(), SimulateError> {
    for ((name, colour), y) in entries.iter().zip((34..).step_by(LINE as usize)) {
        area.draw(&Rectangle::new([(12, y + 3), (26, y + 13)], colour.filled()))
            .map_err(failed)?;
        write(area, name, (32, y), TEXT, INK, HPos::Left)?;
    }
    Ok(())
}

/// The cells in which rows were served.
fn heat_cells(columns: &Columns, most: f64) -> Vec<Rectangle<(f64, f64)>> {
    let edge = |bin: usize| bin as f64 * 100.0 / BINS as f64;
    let mut cells = Vec::new();
    for (number, (start, stop, shares)) in columns.iter().enumerate() {
        let next = columns.get(number + 1);
        for (bin, &share) in shares.iter().enumerate().filter(|&(_, &share)| share > 0.0) {
            // Into the next cells, which are drawn later, so that no gap shines through where pixels do not match.
            let over = |next: Option<&f64>, by: f64| {
                if next.is_some_and(|&share| share > 0.0) {
                    by
                } else {
                    0.0
                }
            };
            let right = over(next.and_then(|(.., shares)| shares.get(bin)), (stop - start) * 0.3);
            let up = over(shares.get(bin + 1), 1.0);
            let corners = [(*start, edge(bin)), (stop + right, edge(bin + 1) + up)];
            cells.push(Rectangle::new(corners, shade(tone(share, most)).filled()));
        }
    }
    cells
}

/// How dark a share is, from 0 to 1: by its root, so that small shares are told from none.
fn tone(share: f64, most: f64) -> f64 {
    (share / most).max(0.0).sqrt()
}

/// The colours of the heat map, from no row to `most`.
fn scale(area: &Area<'_>, most: f64) -> Result<(), SimulateError> {
    const TOP: i32 = 56;
    const STEPS: i32 = 36;
    const STEP: i32 = 4;
    let at = |share: f64| TOP + STEPS * STEP - (tone(share, most) * f64::from(STEPS * STEP)).round() as i32;
    write(area, "% of the rows", (12, 32), TEXT, INK, HPos::Left)?;
    for i in 0..STEPS {
        let y = TOP + (STEPS - 1 - i) * STEP;
        let colour = shade((f64::from(i) + 0.5) / f64::from(STEPS));
        area.draw(&Rectangle::new([(12, TOP.max(y - 1)), (26, y + STEP)], colour.filled()))
            .map_err(failed)?;
    }
    area.draw(&Rectangle::new(
        [(12, TOP), (26, TOP + STEPS * STEP)],
        INK.stroke_width(1),
    ))
    .map_err(failed)?;
    let even = 1.0 / BINS as f64;
    let percent = |share: f64| format!("{:.0}", share * 100.0);
    let mut marks = vec![(0.0, percent(0.0)), (most, percent(most))];
    // Where there is room for it between the ends.
    if at(0.0) - at(even) >= 16 && at(even) - at(most) >= 16 {
        marks.push((even, format!("{} (uniform)", percent(even))));
    }
    for (share, text) in marks {
        write(area, &text, (32, at(share) - 8), TEXT, INK, HPos::Left)?;
    }
    Ok(())
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: f64,
    colour: RGBColor,
    to: HPos,
) -> Result<(), SimulateError> {
    let style = TextStyle::from(("sans-serif", size))
        .color(&colour)
        .pos(Pos::new(to, VPos::Top));
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(failed)
}
