//! A simulation as a page of its own: no script, no font, no address of another host.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::shortage::short;
use super::summary::Summary;

const STYLE: &str = "
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
figure { margin: 0 } figure svg { width: 100%; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
code { background: #f2f2f2; padding: .1rem .3rem }
";

/// The page of a simulation with its picture.
pub fn page(summary: &Summary<'_>, others: &[Summary<'_>], picture: &str) -> String {
    let title = format!("Curriculum {}", summary.name);
    let seed = summary.plan.seed;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p {
                    "What the sampler serves: " (summary.plan.rows) " rows, batches of "
                    @if let Some(tokens) = summary.plan.tokens {
                        "up to " (tokens.budget) " tokens and " (summary.plan.batch_size) " rows"
                    } @else { (summary.plan.batch_size) }
                    ", seed " (seed)
                    ", " (summary.end()) " steps. "
                    @if summary.has_scores { "Difficulties are scores of the score index." }
                    @else { "Difficulties are ranks: no scores were given." }
                }
                figure { (PreEscaped(picture)) }
                @for one in std::iter::once(summary).chain(others) {
                    h2 { "Phases" @if !others.is_empty() { " of " (one.name) } }
                    div class="wide" { (totals(one)) }
                    @for (number, total) in one.totals.iter().enumerate() {
                        @if let Some(words) = one.tokens_of(total) { p { (one.phase_name(number)) ": " (words) "." } }
                    }
                    (transitions(one))
                    (shortages(one))
                }
                (next(summary))
            }
        }
    };
    markup.into_string()
}

fn totals(summary: &Summary<'_>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "phase" } th { "steps" } th { "rows served" } th { "distinct rows" } th { "passes" } th { "pool" }
                    @for group in summary.group_names { th { (group) } }
                }
            }
            tbody {
                @for (number, total) in summary.totals.iter().enumerate() {
                    tr {
                        td { (summary.phase_name(number)) }
                        td { (total.steps.start) "–" (total.steps.end.saturating_sub(1)) }
                        td { (total.rows) }
                        td { @match total.distinct { Some(rows) => (rows), None => "–" } }
                        td { (short(total.passes())) }
                        td { (total.pool.0) @if total.pool.0 != total.pool.1 { "–" (total.pool.1) } }
                        @let drawn = total.groups.iter().sum::<u64>();
                        @for rows in &total.groups {
                            td { @if drawn > 0 { (short(*rows as f64 / drawn as f64 * 100.0)) " %" } @else { "–" } }
                        }
                    }
                }
            }
        }
    }
}

fn transitions(summary: &Summary<'_>) -> Markup {
    html! {
        @if !summary.transitions.is_empty() {
            h2 { "Transitions" }
            ul {
                @for transition in &summary.transitions {
                    li {
                        "Step " (transition.step) ": " (transition.phases.0) " → "
                        (transition.phases.1.as_deref().unwrap_or("the end")) ", because " (transition.because)
                    }
                }
            }
        }
    }
}

fn shortages(summary: &Summary<'_>) -> Markup {
    html! {
        @for note in &summary.notes { p { (note) } }
        h2 { "Shortages" }
        @if summary.shortages.is_empty() { p { "None found." } }
        @else { ul { @for shortage in &summary.shortages { li { (shortage) } } } }
    }
}

fn next(summary: &Summary<'_>) -> Markup {
    html! {
        @if !summary.next.is_empty() {
            h2 { "Next" }
            ul { @for (command, what) in &summary.next { li { code { (command) } " – " (what) } } }
        }
    }
}
