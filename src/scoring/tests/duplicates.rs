//! Near-duplicates: what counts as one, by the definition and whatever the number of shards, and files that are not what they should be.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::pipeline::{csv, json, parquet};
use super::*;
use crate::scoring::minhash::{BANDS, Sketch, Sketcher, agreement, similarity, whole};
use crate::scoring::report::{EXIT_IO, EXIT_SCORES};

pub(super) fn duplicates(column: &str, shingle: u32) -> Scorer {
    scorer(
        "duplicates",
        ScorerKind::Duplicates {
            column: column.to_owned(),
            shingle,
        },
    )
}

/// The score of each row, NaN for rows without one.
fn scores(place: &Place) -> Vec<f64> {
    let (summary, index) = place.run().unwrap();
    let mut scores = vec![f64::NAN; summary.rows as usize];
    for (row, score) in index.rows().iter().zip(index.scores()) {
        scores[*row as usize] = *score;
    }
    scores
}

fn of_texts(texts: &[String], shards: u32, shingle: u32) -> Vec<f64> {
    let rows: Vec<_> = texts.iter().map(|text| (text.clone(), 0.0, 0)).collect();
    let mut place = Place::new("jsonl", &json(&rows), vec![duplicates("text", shingle)]);
    place.task.shards = shards;
    scores(&place)
}

#[test]
fn copies_are_one_and_the_first_of_them_is_none() {
    let rows = [
        "the quick brown fox jumps over the lazy dog",
        "nothing like it",
        "The quick  brown fox jumps over the lazy DOG ",
        "",
        "nothing like it",
        "the quick brown fox jumps over the lazy dog",
        "",
        "like nothing it",
    ]
    .map(|text| (text.to_owned(), 0.0, 0));
    for (extension, content) in [
        ("csv", csv(&rows)),
        ("jsonl", json(&rows)),
        ("parquet", parquet(&rows, 3)),
    ] {
        for shards in [1, 2, 3, 8, 20] {
            let mut place = Place::new(extension, &content, vec![duplicates("text", 5)]);
            place.task.shards = shards;
            let expected = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
            assert_eq!(scores(&place), expected, "{extension}, {shards} shards");
        }
    }
}

/// A fraction pool leaves the copies out: they come last.
#[test]
fn copies_come_last() {
    let texts: Vec<String> = (0..40).map(|row| format!("text number {}", row % 30)).collect();
    let rows: Vec<_> = texts.iter().map(|text| (text.clone(), 0.0, 0)).collect();
    let (_, index) = Place::new("csv", &csv(&rows), vec![duplicates("text", 5)])
        .run()
        .unwrap();
    let last: BTreeSet<u64> = index.rows()[30..].iter().copied().collect();
    assert_eq!(last, (30..40).collect());
}

#[test]
fn rows_without_a_text_have_no_score() {
    let data = b"{\"text\":\"a b\"}\n{\"text\":null}\n{\"text\":7}\n{}\n{\"text\":[\"a\"]}\n{\"text\":\"\\ud83d\"}\n{\"text\":\"a b\"}\n";
    let mut place = Place::new("jsonl", data, vec![duplicates("text", 2)]);
    let error = place.run().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_SCORES);
    assert_eq!(
        error.to_string(),
        "2 of 7 rows have a finite score from every scorer, but `scoring.minCoverage` asks for 1; scorer `duplicates`: \
         2 rows without a value (first in shard 0 of 2), 2 values of the wrong kind (first in shard 0 of 2), \
         1 value that is not readable (in shard 1 of 2)"
    );
    place.task.min_coverage = "0.2".to_owned();
    let found = scores(&place);
    assert_eq!((found[0], found[6]), (0.0, 1.0));
    assert!(found[1..6].iter().all(|score| score.is_nan()));
}

#[test]
fn a_text_that_is_there_very_often_is_compared_with_the_first_and_the_last_only() {
    // Among the copies, as many texts of which no two are alike, and some that are all a little alike.
    let texts: Vec<String> = (0..30_000)
        .map(|row| match row % 3 {
            0 => "the same again and again and again".to_owned(),
            1 => format!("{row} a text {row} of its own {row} and no other's {row}"),
            _ => format!(
                "{} {row}",
                "all of these begin alike and go on alike until the end ".repeat(3)
            ),
        })
        .collect();
    let found = of_texts(&texts, 3, 5);
    assert_eq!(found[0], 0.0);
    for (row, score) in found.iter().enumerate().skip(3) {
        let fits = match row % 3 {
            0 => *score == 1.0,
            1 => *score < 0.6,
            _ => *score > 0.6,
        };
        assert!(fits, "row {row}: {score}");
    }
}

fn sketches(texts: &[String], shingle: u32) -> Vec<Sketch> {
    let mut sketcher = Sketcher::new(shingle);
    texts.iter().map(|text| sketcher.sketch(text)).collect()
}

/// By the definition: each earlier row that is the first or the last before it to have one of the row's keys.
fn naive(sketches: &[Sketch]) -> Vec<f64> {
    let key = |row: usize, key: usize| sketches[row].get(key).copied().unwrap_or_else(|| whole(&sketches[row]));
    let of_row = |row: usize| {
        let of_key = |number: usize| {
            let mut holders = (0..row).filter(move |earlier| key(*earlier, number) == key(row, number));
            let first = holders.next();
            [first, holders.next_back().or(first)]
        };
        let candidates = (0..=BANDS).flat_map(of_key).flatten();
        let agreements = candidates.map(|earlier| agreement(&sketches[earlier], &sketches[row]));
        similarity(agreements.max().unwrap_or_default())
    };
    (0..sketches.len()).map(of_row).collect()
}

fn jaccard(a: &str, b: &str) -> f64 {
    let [a, b] = [a, b].map(|text| text.split(' ').collect::<BTreeSet<_>>());
    a.intersection(&b).count() as f64 / a.union(&b).count() as f64
}

/// Texts of which some are copies of others, with some words changed.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..1000_u16);
    let text = (
        prop::option::weighted(0.7, any::<prop::sample::Index>()),
        prop::collection::vec(0..1000_u16, 1..60),
        prop::collection::vec(change, 0..6),
    );
    prop::collection::vec(text, 1..30).prop_map(|made| {
        let mut texts: Vec<Vec<u16>> = Vec::new();
        for (copied, mut words, changes) in made {
            if let Some(copied) = copied.filter(|_| !texts.is_empty()) {
                words = texts[copied.index(texts.len())].clone();
                for (_, place, word) in changes {
                    let place = place.index(words.len());
                    words[place] = word;
                }
            }
            texts.push(words);
        }
        let text = |words: Vec<u16>| words.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
        texts.into_iter().map(text).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scores_are_those_of_the_definition_in_any_number_of_shards(texts in texts(), shards in 1..9_u32) {
        let expected = naive(&sketches(&texts, 1));
        prop_assert_eq!(&of_texts(&texts, 1, 1), &expected);
        prop_assert_eq!(&of_texts(&texts, shards, 1), &expected);
    }

    /// An estimate is farther off than 0.245 once in 10⁷ times; a row of a similarity of 0.95 has no key in common with the other as
    /// rarely.
    #[test]
    fn scores_are_near_to_the_greatest_exact_similarity(texts in texts()) {
        for (row, score) in of_texts(&texts, 2, 1).into_iter().enumerate() {
            let earlier = texts[..row].iter().map(|text| jaccard(text, &texts[row]));
            let greatest = earlier.fold(0.0, f64::max);
            prop_assert!(score < greatest + 0.245, "{score} for {greatest}");
            prop_assert!(greatest < 0.95 || score > 0.2, "{score} for {greatest}");
            prop_assert!(greatest < 1.0 || score == 1.0, "{score} for a copy");
        }
    }
}

#[test]
fn other_shingles_are_other_scores() {
    let texts = ["a b c d e f g h i j", "a b c d e x g h i j"].map(str::to_owned);
    let [one, five] = [1, 5].map(|shingle| of_texts(&texts, 1, shingle)[1]);
    assert!(one > 0.6 && five < 0.3, "{one} {five}");
}

#[test]
fn sketches_that_are_missing_or_of_something_else_are_asked_for_again() {
    let place = Place::new("csv", b"text\na\nb\nc\nd\n", vec![duplicates("text", 5)]);
    place.inspect().unwrap();
    place.score().unwrap();
    let [first, last] = [0, 1].map(|index| Shard { index, count: 2 });
    let path = place.store().sketches(&place.task, "duplicates", first);
    let good = fs::read(&path).unwrap();
    let damage: [(&str, Vec<u8>); 4] = [
        ("it has not the numbers of this shard", good[..good.len() - 1].to_vec()),
        ("is not usable", b"{}\n".to_vec()),
        ("is not usable", Vec::new()),
        (
            "it is of other data than were inspected",
            [
                &b"{\"source\":{\"bytes\":1,\"edges\":\"\"},\"of\":{\"rows\":2}}\n"[..],
                &good,
            ]
            .concat(),
        ),
    ];
    let score = || score_shard(&place.task, &place.source(), &place.store(), last);
    for (words, bytes) in damage {
        fs::write(&path, bytes).unwrap();
        let error = score().unwrap_err();
        assert_eq!(error.exit_code(), EXIT_IO);
        assert!(error.to_string().contains(words), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(score().unwrap_err().exit_code(), EXIT_IO);
    fs::write(&path, good).unwrap();
    score().unwrap();
}
