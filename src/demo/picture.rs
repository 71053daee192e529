//! The picture: test accuracy and pool size over the steps of both runs.

use std::io;
use std::ops::Range;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::outcome::Outcome;

const SIZE: (u32, u32) = (860, 600);
/// One colour per run, distinct for colour-blind readers too: blue for the curriculum, vermilion for uniform.
const COLOURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0)];
const INK: RGBColor = RGBColor(40, 40, 40);
const FAINT: RGBColor = RGBColor(225, 225, 225);

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the outcomes into an SVG file; its folder is made if need be.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(path: &Path, outcomes: &[Outcome]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, svg(outcomes)?)?;
    Ok(())
}

fn svg(outcomes: &[Outcome]) -> io::Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let title = ("sans-serif", 20).into_font().color(&INK);
        let root = root
            .titled("Digits, 40 % of the training labels wrong", title)
            .map_err(failed)?;
        let (top, bottom) = root.split_vertically(310);
        let steps = outcomes.iter().map(|outcome| outcome.steps).max().unwrap_or(1) as f64;
        let rows = outcomes.iter().map(|outcome| outcome.rows).max().unwrap_or(1) as f64;

        let mut accuracy = chart(&top, steps, lowest(outcomes)..1.0, "test accuracy", "", &|y| {
            format!("{y:.1}")
        })?;
        boundaries(&mut accuracy, outcomes, lowest(outcomes)..1.0, false)?;
        for (outcome, colour) in outcomes.iter().zip(COLOURS) {
            let label = format!("{} {:.3}", short(outcome), outcome.accuracy);
            curve(&mut accuracy, outcome.accuracies.clone(), colour, &label)?;
        }
        let range = 0.0..rows * 1.12;
        let mut pool = chart(&bottom, steps, range.clone(), "rows in the pool", "step", &|y| {
            format!("{y:.0}")
        })?;
        boundaries(&mut pool, outcomes, range, true)?;
        for (outcome, colour) in outcomes.iter().zip(COLOURS) {
            let label = outcome
                .pool
                .last()
                .map_or_else(String::new, |last| format!("{} {:.0}", short(outcome), last.1));
            curve(&mut pool, stairs(&outcome.pool, steps), colour, &label)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(text)
}

/// One panel with its axes; room on the right for the curves' labels.
fn chart<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, plotters::coord::Shift>,
    steps: f64,
    y: Range<f64>,
    title: &str,
    below: &str,
    format: &dyn Fn(&f64) -> String,
) -> io::Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(130)
        .x_label_area_size(if below.is_empty() { 24 } else { 42 })
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..steps, y)
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(7)
        .y_labels(6)
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 14).into_font().color(&INK))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(format)
        .y_desc(title)
        .x_desc(below);
    mesh.draw().map_err(failed)?;
    Ok(chart)
}

/// A curve with its label behind its last point.
fn curve(chart: &mut Chart<'_, '_>, points: Vec<(f64, f64)>, colour: RGBColor, label: &str) -> io::Result<()> {
    let end = points.last().copied();
    chart
        .draw_series(LineSeries::new(points, colour.stroke_width(2)))
        .map_err(failed)?;
    if let Some(end) = end {
        let style = TextStyle::from(("sans-serif", 14))
            .color(&colour)
            .pos(Pos::new(HPos::Left, VPos::Center));
        let text = EmptyElement::at(end) + Text::new(label.to_owned(), (8, 0), style);
        chart.draw_series([text]).map_err(failed)?;
    }
    Ok(())
}

/// Thin lines where the curriculum's phases begin, and their names.
fn boundaries(chart: &mut Chart<'_, '_>, outcomes: &[Outcome], y: Range<f64>, named: bool) -> io::Result<()> {
    let Some(curriculum) = outcomes.first() else {
        return Ok(());
    };
    for (name, start) in &curriculum.phases {
        let x = *start as f64;
        if *start > 0 {
            chart
                .draw_series(LineSeries::new([(x, y.start), (x, y.end)], FAINT.stroke_width(2)))
                .map_err(failed)?;
        }
        if named {
            let style = TextStyle::from(("sans-serif", 13))
                .color(&COLOURS[0])
                .pos(Pos::new(HPos::Left, VPos::Top));
            let text = EmptyElement::at((x, y.end)) + Text::new(name.clone(), (5, 3), style);
            chart.draw_series([text]).map_err(failed)?;
        }
    }
    Ok(())
}

/// A pool keeps its size until the next segment begins.
fn stairs(points: &[(f64, f64)], steps: f64) -> Vec<(f64, f64)> {
    let ends = points.iter().skip(1).map(|point| point.0).chain([steps]);
    points
        .iter()
        .zip(ends)
        .flat_map(|(&(start, rows), end)| [(start, rows), (end, rows)])
        .collect()
}

/// The accuracy at which the axis begins: a tenth below all, down to 0.
fn lowest(outcomes: &[Outcome]) -> f64 {
    let all = outcomes
        .iter()
        .flat_map(|outcome| &outcome.accuracies)
        .map(|point| point.1);
    ((all.fold(1.0, f64::min) * 10.0).floor() / 10.0).max(0.0)
}

fn short(outcome: &Outcome) -> &str {
    outcome
        .name
        .rsplit_once('-')
        .map_or(outcome.name.as_str(), |(_, last)| last)
}

/// Errors of the drawing library borrow from its backend, which is gone when the error is shown.
fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("cannot draw: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_its_size_until_the_next_segment() {
        assert_eq!(
            stairs(&[(0.0, 2.0), (3.0, 5.0)], 9.0),
            [(0.0, 2.0), (3.0, 2.0), (3.0, 5.0), (9.0, 5.0)]
        );
    }

    #[test]
    fn the_picture_names_both_runs_and_every_phase() -> io::Result<()> {
        let run = |name: &str, accuracy: f64| Outcome {
            name: name.to_owned(),
            accuracy,
            steps: 30,
            samples: 60,
            wall_seconds: 1.0,
            gpu_seconds: Some(1.0),
            source: "Scored".to_owned(),
            snapshots: 2,
            rows: 10,
            phases: vec![("easy".to_owned(), 0), ("hold".to_owned(), 10)],
            accuracies: vec![(10.0, 0.5), (30.0, accuracy)],
            pool: vec![(0.0, 2.0), (10.0, 6.0)],
        };
        let text = svg(&[run("digits-curriculum", 0.9), run("digits-uniform", 0.7)])?;
        for word in [
            "curriculum 0.900",
            "uniform 0.700",
            "easy",
            "hold",
            "test accuracy",
            "rows in the pool",
            "step",
        ] {
            assert!(text.contains(word), "{word} is missing");
        }
        Ok(())
    }
}
