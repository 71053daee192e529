//! `curriculum score`: the scorers that need no program of the user's, all in one pass over a shard's rows.

use std::ops::Range;

use super::centre::Centres;
use super::dataset::{Cell, Cursor, Field, Inspected, Root};
use super::duplicates::Similarities;
use super::error::ScoringError;
use super::given::GivenScores;
use super::manifest::Manifest;
use super::overrides;
use super::rarity::TokenCounts;
use super::shards::{ShardWriter, Unscored};
use super::store::{Shard, Store};
use super::task::{ScorerKind, Task, Unit};
use super::tokens::TokenCounter;
use super::validate;

/// What a scorer measures.
enum Measure {
    Number,
    Length(Unit),
    Tokens(Box<TokenCounter>),
    Rarity(TokenCounts),
    Duplicates(Similarities),
    Distance(Centres),
    Given(GivenScores),
}

/// Scores a shard's rows with every built-in scorer and writes a shard file for each.
///
/// A row without a usable value (null, or not a number where one is needed, or not finite, or no valid text) gets no score, nor does
/// a bad row; the file says how many there are. An empty text has length 0 and rarity 0; a list is as long as it has items.
///
/// # Errors
/// Those of the data set and the store.
pub fn score_shard(task: &Task, root: &Root, store: &Store, shard: Shard) -> Result<(), ScoringError> {
    let manifest = Manifest::load(store, task)?;
    overrides::usable(task, &manifest)?;
    let rows = shard.rows(manifest.rows);
    let dataset = Inspected::open(task, root, store, &manifest, rows.clone())?;
    let mut fields: Vec<Field> = Vec::new();
    let mut scorers = Vec::new();
    for scorer in &task.scorers {
        let measure = match &scorer.kind {
            ScorerKind::Length { unit, .. } => Measure::Length(*unit),
            ScorerKind::Tokens { .. } => {
                let counter = TokenCounter::load(task, &scorer.name, root, &manifest)?;
                Measure::Tokens(Box::new(counter))
            }
            ScorerKind::Rarity { .. } => Measure::Rarity(TokenCounts::load(store, task, &scorer.name, &manifest)?),
            ScorerKind::Duplicates { .. } => {
                Measure::Duplicates(Similarities::find(store, task, &scorer.name, shard, &manifest)?)
            }
            ScorerKind::CentreDistance { metric, .. } => {
                let name = &scorer.name;
                Measure::Distance(Centres::load(store, task, name, *metric, shard, &manifest)?)
            }
            ScorerKind::File { .. } => {
                let given = GivenScores::read(task, &scorer.name, root, &manifest, &rows)?;
                Measure::Given(given)
            }
            ScorerKind::Column { .. } => Measure::Number,
            ScorerKind::Container => continue,
        };
        let path = store
            .scorer(task, &scorer.name)
            .join(format!("{}.parquet", shard.stem()));
        // Of texts that were counted, their sketches are all that is needed.
        let field = validate::field(scorer).filter(|_| !matches!(measure, Measure::Duplicates(_)));
        let place = field.map(|field| {
            let known = fields
                .iter()
                .position(|known: &Field| known.column == field.column && known.kind == field.kind);
            known.unwrap_or_else(|| {
                fields.push(field);
                fields.len() - 1
            })
        });
        scorers.push(Running {
            measure,
            place,
            writer: ShardWriter::create(path)?,
        });
    }
    if scorers.is_empty() {
        tracing::info!("the task has no built-in scorer: nothing to do");
        return Ok(());
    }
    if fields.is_empty() {
        // Scores that are known by row number need no look at the data.
        for row in rows.clone() {
            scorers
                .iter_mut()
                .try_for_each(|scorer| scorer.score(row, &rows, None))?;
        }
    } else {
        dataset.for_each_run(&fields, |left, cursor| {
            if let Some(taken) = pass_on(&mut scorers, &left, cursor)? {
                return Ok(taken);
            }
            let mut scorers = scorers.iter_mut();
            scorers.try_for_each(|scorer| scorer.score(left.start, &rows, Some(cursor)))?;
            Ok(1)
        })?;
    }
    scorers.into_iter().try_for_each(|scorer| scorer.writer.finish(store))
}

/// A scorer at work.
struct Running {
    measure: Measure,
    /// Place of what it needs among the fields that are read.
    place: Option<usize>,
    writer: ShardWriter,
}

impl Running {
    /// Scores a row of the shard, which has `rows`.
    fn score(&mut self, row: u64, rows: &Range<u64>, cursor: Option<&dyn Cursor>) -> Result<(), ScoringError> {
        let cell = self.place.zip(cursor).map(|(place, cursor)| cursor.cell(place));
        let of_shard = (row - rows.start) as usize;
        let measured = match (&mut self.measure, cell) {
            (Measure::Given(given), cell) => given.of(of_shard, cell),
            (Measure::Duplicates(found), _) => Some(found.of(of_shard)),
            (Measure::Distance(centres), Some(cell)) => Some(centres.distance(row, cell)),
            (measure, Some(cell)) => Some(measure.of(cell)),
            (_, None) => None,
        };
        measured.map_or(Ok(()), |measured| self.write(row, measured))
    }

    /// Takes the numbers of rows that follow each other as their scores.
    fn take(&mut self, row: u64, numbers: &[f64]) -> Result<(), ScoringError> {
        if numbers.iter().all(|number| number.is_finite()) {
            return self.writer.extend(row, numbers);
        }
        let mut rows = (row..).zip(numbers);
        rows.try_for_each(|(row, number)| self.write(row, self.measure.of(Cell::Number(*number))))
    }

    fn write(&mut self, row: u64, measured: Result<f64, Unscored>) -> Result<(), ScoringError> {
        match measured {
            Ok(score) => self.writer.push(row, score)?,
            Err(reason) => self.writer.skip(reason),
        }
        Ok(())
    }
}

/// Scores as many rows at once as are at hand, where all scorers take numbers as they are: how many.
fn pass_on(scorers: &mut [Running], left: &Range<u64>, cursor: &dyn Cursor) -> Result<Option<usize>, ScoringError> {
    let most = usize::try_from(left.end - left.start).unwrap_or(usize::MAX);
    let numbers = |scorer: &Running| match scorer.measure {
        Measure::Number => cursor
            .numbers(scorer.place?)
            .and_then(|numbers| numbers.get(..numbers.len().min(most))),
        _ => None,
    };
    let Some(columns) = scorers.iter().map(numbers).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    for (scorer, numbers) in scorers.iter_mut().zip(&columns) {
        scorer.take(left.start, numbers)?;
    }
    Ok(columns.first().map(|numbers| numbers.len()))
}

impl Measure {
    fn of(&self, cell: Cell<'_>) -> Result<f64, Unscored> {
        match (self, cell) {
            (_, Cell::Empty) => Err(Unscored::Empty),
            (_, Cell::Unreadable) => Err(Unscored::Unreadable),
            (Self::Number, Cell::Number(number)) if number.is_finite() => Ok(number),
            (Self::Number, Cell::Number(_)) => Err(Unscored::NotFinite),
            (Self::Length(unit), Cell::Text(text)) => Ok(length(text, *unit) as f64),
            (Self::Tokens(counter), Cell::Text(text)) => counter
                .count(text)
                .map(|tokens| tokens as f64)
                .ok_or(Unscored::Untokenized),
            (Self::Length(_) | Self::Tokens(_), Cell::Items(items)) => Ok(items as f64),
            (Self::Rarity(counts), Cell::Text(text)) => counts.rarity(text).ok_or(Unscored::Uncounted),
            _ => Err(Unscored::Unsuitable),
        }
    }
}

/// Length of a text: words are runs of characters between white space, characters are Unicode scalar values.
fn length(text: &str, unit: Unit) -> usize {
    match unit {
        Unit::Words if text.is_ascii() => ascii_words(text.as_bytes()),
        Unit::Words => text.split_whitespace().count(),
        Unit::Characters => text.chars().count(),
        Unit::Bytes => text.len(),
    }
}

/// As `split_whitespace` counts: a word begins where white space ends.
fn ascii_words(text: &[u8]) -> usize {
    // Sums of bytes, which cannot overflow within so few pairs: the compiler then compares many bytes at a time.
    const PAIRS: usize = 255;
    let space = |byte: u8| (byte == b' ') | (byte.wrapping_sub(b'\t') < 5);
    let Some((first, rest)) = text.split_first() else {
        return 0;
    };
    let begins = |(before, bytes): (&[u8], &[u8])| {
        let pairs = before.iter().zip(bytes);
        usize::from(
            pairs
                .map(|(before, byte)| u8::from(space(*before) & !space(*byte)))
                .sum::<u8>(),
        )
    };
    usize::from(!space(*first)) + text.chunks(PAIRS).zip(rest.chunks(PAIRS)).map(begins).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_of_ascii_are_those_of_any_text(text in "[\\x00-\\x7f]{0,600}|[ \t\x0b\x1c\x1fa]{0,600}") {
            prop_assert_eq!(ascii_words(text.as_bytes()), text.split_whitespace().count());
        }
    }
}
