//! A simulation as text of at most 80 columns: the steps, the phases, what is short, and what to do next.

use std::fmt::Write as _;

use super::run::{PhaseTotal, Point};
use super::shortage::{Shortage, short};
use super::summary::{Summary, label};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Longest name of a phase or group that is shown whole.
const NAME: usize = 14;
/// Groups with a column of their own.
const COLUMNS: usize = 7;

/// The whole text.
pub fn text(summary: &Summary<'_>) -> String {
    let mut text = String::new();
    steps(&mut text, summary);
    if !summary.group_names.is_empty() && summary.points.iter().any(|point| point.served.is_some()) {
        groups(&mut text, summary);
    }
    totals(&mut text, summary);
    transitions(&mut text, summary);
    text.push('\n');
    for note in &summary.notes {
        paragraph(&mut text, "", note);
    }
    if summary.shortages.is_empty() {
        text.push_str("Shortages: none found.\n");
    } else {
        text.push_str("Shortages:\n");
        for shortage in &summary.shortages {
            paragraph(&mut text, "- ", &Shortage::to_string(shortage));
        }
    }
    if !summary.next.is_empty() {
        text.push_str("\nNext:\n");
        for (command, what) in &summary.next {
            // A command is not broken: it is there to be copied.
            let _ = writeln!(text, "  {command}\n    {what}");
        }
    }
    text
}

fn steps(text: &mut String, summary: &Summary<'_>) {
    let points = &summary.points;
    let name = width("PHASE", points.iter().map(|point| summary.phase_name(point.phase)));
    let scheduled = points.iter().any(|point| point.difficulty.is_some());
    let unit = if summary.has_scores {
        "SCORES SERVED"
    } else {
        "RANKS SERVED"
    };
    let _ = writeln!(text, "{:>9} {:name$} {:>10} {:>6} {unit:>20}", "", "", "", "");
    let sixth = if scheduled { "DIFFIC" } else { "ADMITS" };
    let _ = writeln!(
        text,
        "{:>9} {:name$} {:>10} {sixth:>6} {:>8} {:>8} {:>8} {:>10}",
        "STEP", "PHASE", "POOL", "25 %", "MEDIAN", "75 %", "SEEN"
    );
    for point in points {
        let admits = match point.difficulty {
            Some(difficulty) => difficulty.to_string(),
            None => percent(point.fraction),
        };
        let _ = write!(
            text,
            "{:>9} {:name$} {:>10} {admits:>6}",
            point.step,
            cut(summary.phase_name(point.phase)),
            point.pool
        );
        for quantile in 1..4 {
            let value = point
                .served
                .as_ref()
                .map_or(f64::NAN, |served| served.quantiles[quantile]);
            let _ = write!(text, " {:>8}", number(value));
        }
        let _ = writeln!(
            text,
            " {:>10}",
            point.seen.map_or_else(|| "-".to_owned(), |seen| seen.to_string())
        );
    }
}

fn groups(text: &mut String, summary: &Summary<'_>) {
    let shown = summary.largest_groups(COLUMNS);
    let others = summary.group_names.len() - shown.len();
    let _ = write!(
        text,
        "\nSHARE OF EACH {}\n{:>9}",
        summary.group_label.to_uppercase(),
        "STEP"
    );
    for &group in &shown {
        let _ = write!(text, " {:>8}", label(&summary.group_names[group], 8));
    }
    if others > 0 {
        let _ = write!(text, " {:>7}", format!("+{others}"));
    }
    text.push('\n');
    for point in &summary.points {
        let Some(served) = &point.served else { continue };
        let shares = served.group_shares();
        let _ = write!(text, "{:>9}", point.step);
        for &group in &shown {
            let _ = write!(text, " {:>8}", percent(shares[group]));
        }
        if others > 0 {
            let rest = 1.0 - shown.iter().map(|&group| shares[group]).sum::<f64>();
            let _ = write!(text, " {:>7}", percent(rest.max(0.0)));
        }
        text.push('\n');
    }
}

fn totals(text: &mut String, summary: &Summary<'_>) {
    let name = width(
        "PHASE",
        (0..summary.totals.len()).map(|phase| summary.phase_name(phase)),
    );
    let _ = writeln!(
        text,
        "\n{:name$} {:>10} {:>12} {:>10} {:>7} {:>21}",
        "PHASE", "STEPS", "ROWS", "DISTINCT", "PASSES", "POOL"
    );
    for (number, total) in summary.totals.iter().enumerate() {
        let (least, most) = total.pool;
        let pool = if least == most {
            most.to_string()
        } else {
            format!("{least}-{most}")
        };
        let _ = writeln!(
            text,
            "{:name$} {:>10} {:>12} {:>10} {:>7} {:>21}",
            cut(summary.phase_name(number)),
            total.steps.end - total.steps.start,
            total.rows,
            total.distinct.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
            short(total.passes()),
            pool
        );
        if let Some(words) = summary.tokens_of(total) {
            paragraph(text, "  ", &words);
        }
        if !summary.group_names.is_empty() {
            group_totals(text, summary, total);
        }
    }
    let steps: u64 = summary
        .totals
        .iter()
        .map(|total| total.steps.end - total.steps.start)
        .sum();
    let rows: u64 = summary.totals.iter().map(|total| total.rows).sum();
    let seen = summary.points.last().and_then(|point: &Point| point.seen);
    let _ = writeln!(
        text,
        "{:name$} {steps:>10} {rows:>12} {:>10}",
        "all",
        seen.map_or_else(|| "-".to_owned(), |seen| seen.to_string())
    );
}

fn transitions(text: &mut String, summary: &Summary<'_>) {
    if summary.transitions.is_empty() {
        return;
    }
    text.push_str("\nTRANSITIONS\n");
    for transition in &summary.transitions {
        let (from, to) = &transition.phases;
        let to = to.as_deref().unwrap_or("the end");
        let mark = format!("{:>9} ", transition.step);
        paragraph(text, &mark, &format!("{from} → {to}: {}", transition.because));
    }
}

fn group_totals(text: &mut String, summary: &Summary<'_>, total: &PhaseTotal) {
    let drawn: u64 = total.groups.iter().sum();
    if drawn == 0 {
        return;
    }
    let shown = summary.largest_groups(COLUMNS);
    let mut parts: Vec<String> = shown
        .iter()
        .map(|&group| {
            let share = total.groups[group] as f64 / drawn as f64;
            format!("{} {}", cut(&summary.group_names[group]), percent(share))
        })
        .collect();
    if summary.group_names.len() > shown.len() {
        let rest = drawn - shown.iter().map(|&group| total.groups[group]).sum::<u64>();
        let others = summary.group_names.len() - shown.len();
        parts.push(format!("{others} others {}", percent(rest as f64 / drawn as f64)));
    }
    paragraph(text, "  ", &parts.join(", "));
}

/// Words in lines of at most [`WIDTH`] columns; later lines are indented as the first is by its mark.
fn paragraph(text: &mut String, mark: &str, words: &str) {
    let mut line = mark.to_owned();
    let indent = " ".repeat(mark.chars().count());
    for word in words.split(' ') {
        let blank = line.trim().is_empty() || line == mark;
        if !blank && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = indent.clone();
        } else if !blank {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

fn width<'a>(title: &str, names: impl Iterator<Item = &'a str>) -> usize {
    let longest = names.map(|name| name.chars().count().min(NAME)).max().unwrap_or(0);
    longest.max(title.len())
}

fn cut(name: &str) -> String {
    label(name, NAME)
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 99.95 {
        "100 %".to_owned()
    } else {
        format!("{percent:.1} %")
    }
}

/// A number in at most eight characters.
fn number(x: f64) -> String {
    if x.is_nan() {
        return "-".to_owned();
    }
    let digits = match x.abs() {
        size if size < 10.0 => 4,
        size if size < 1000.0 => 2,
        size if size < 1e7 => 0,
        size if size.is_finite() => return format!("{x:.1e}"),
        _ => 0,
    };
    format!("{x:.digits$}")
}
