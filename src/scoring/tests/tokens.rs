//! Length in tokens: as Python's `tokenizers` counts, and never with another file than was inspected.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;
use crate::api::conditions::Reason;
use crate::scoring::report::{EXIT_DATASET, EXIT_SCORES};

const TEXTS: [&str; 7] = [
    "the cat sat.",
    "",
    " ",
    "The CAT, the hat! [SEP] x",
    "  the   other\tthing\n\n  1234567 nai\u{308}ve 漢字 🎉 don't",
    "in the inner thinner",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

pub(super) fn tokens(tokenizer: &str) -> Scorer {
    scorer(
        "tokens",
        ScorerKind::Tokens {
            column: "text".to_owned(),
            tokenizer: tokenizer.to_owned(),
        },
    )
}

/// Whole words, in lower case; with special tokens, and with a truncation and a padding that no length may follow.
pub(super) fn words() -> Value {
    let special = [(0, "[UNK]"), (5, "[CLS]"), (6, "[SEP]")].map(|(id, content)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true})
    });
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "[UNK]"},
        "added_tokens": special,
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [5], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [6], "tokens": ["[SEP]"]}},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]",
            "vocab": {"[UNK]": 0, "the": 1, "cat": 2, "sat": 3, ".": 4, "[CLS]": 5, "[SEP]": 6}},
    })
}

/// Pairs of bytes, behind the regular expression of large models, which looks ahead.
fn pairs() -> Value {
    const SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let merges = [
        ["t", "h"],
        ["th", "e"],
        ["Ġ", "the"],
        ["i", "n"],
        ["e", "r"],
        ["Ġ", "Ġ"],
        ["a", "t"],
        ["1", "2"],
    ];
    let alphabet: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
    let single = alphabet.into_iter().map(String::from);
    let tokens = single.chain(merges.iter().map(|pair| pair.concat())).zip(0..);
    let vocabulary: serde_json::Map<_, _> = tokens.map(|(token, id): (_, u64)| (token, id.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges},
    })
}

fn place(tokenizer: &Value) -> Place {
    let lines: Vec<String> = TEXTS.iter().map(|text| json!({"text": text}).to_string()).collect();
    let place = Place::new(
        "jsonl",
        lines.join("\n").as_bytes(),
        vec![tokens("models/tokenizer.json")],
    );
    fs::create_dir(place.root().join("models")).unwrap();
    write(&place, &tokenizer.to_string());
    place
}

fn write(place: &Place, tokenizer: &str) {
    fs::write(place.root().join("models/tokenizer.json"), tokenizer).unwrap();
}

/// The scores by row.
fn lengths(place: &Place) -> Vec<f64> {
    let (_, index) = place.run().unwrap();
    let mut scores = vec![f64::NAN; index.rows().len()];
    for (row, score) in index.rows().iter().zip(index.scores()) {
        scores[*row as usize] = *score;
    }
    scores
}

/// What scoring says, once the inspection has passed.
fn fault(place: &Place) -> String {
    place.inspect().unwrap();
    let error = place.score().unwrap_err();
    assert_eq!(
        (error.exit_code(), error.reason(Reason::ScorerFailed)),
        (EXIT_SCORES, Reason::ScoresInvalid)
    );
    error.to_string()
}

/// Counted by version 0.23.2 of the Python package, `add_special_tokens=False`, without truncation and padding.
#[test]
fn tokens_are_those_of_the_python_package() {
    assert_eq!(lengths(&place(&words())), [4.0, 0.0, 0.0, 8.0, 10.0, 4.0, 1.0]);
    assert_eq!(lengths(&place(&pairs())), [8.0, 0.0, 1.0, 21.0, 46.0, 11.0, 50.0]);
}

#[test]
fn chance_has_no_part_in_a_length() {
    let mut tokenizer = pairs();
    tokenizer["model"]["dropout"] = 0.9.into();
    assert_eq!(lengths(&place(&tokenizer)), [8.0, 0.0, 1.0, 21.0, 46.0, 11.0, 50.0]);
}

#[test]
fn a_list_of_tokens_is_as_long_as_it_has_items() {
    let mut place = place(&words());
    fs::write(
        place.root().join("data.jsonl"),
        "{\"text\": [7, 8, 9]}\n{\"text\": \"the cat\"}\n{}\n",
    )
    .unwrap();
    place.task.min_coverage = "0.5".to_owned();
    assert_eq!(lengths(&place)[..2], [3.0, 2.0]);
}

#[test]
fn texts_without_tokens_have_no_score_and_are_counted() {
    let mut tokenizer = words();
    tokenizer["model"]["unk_token"] = "?".into();
    let place = place(&tokenizer);
    place.inspect().unwrap();
    place.score().unwrap();
    let message = place.index().unwrap_err().to_string();
    assert!(
        message.contains("4 texts that the tokenizer has no tokens for"),
        "{message}"
    );
}

#[test]
fn a_tokenizer_that_is_missing_or_damaged_is_a_fault_of_the_scores() {
    let place = place(&words());
    let field = "`scoring.scorers[0].length.tokenizer.path` is `models/tokenizer.json`, ";
    write(&place, "{\"version\": \"1.0\"");
    let message = fault(&place);
    assert!(
        message.starts_with(&format!("{field}which is no tokenizer.json")),
        "{message}"
    );
    fs::remove_file(place.root().join("models/tokenizer.json")).unwrap();
    let message = fault(&place);
    assert!(
        message.starts_with(&format!("{field}which does not exist; give the path")),
        "{message}"
    );
    fs::create_dir(place.root().join("models/tokenizer.json")).unwrap();
    let message = fault(&place);
    assert!(
        message.starts_with(&format!("{field}which cannot be read: is a directory")),
        "{message}"
    );
}

#[test]
fn a_path_that_leaves_the_volume_is_refused() {
    for path in ["../tokenizer.json", "/tokenizer.json", ""] {
        let mut place = place(&words());
        place.task.scorers = vec![tokens(path)];
        let text = serde_json::to_string(&place.task).unwrap();
        let error = crate::scoring::validate::parse_task(&text).unwrap_err();
        assert_eq!(error.exit_code(), EXIT_DATASET);
        assert!(
            error
                .to_string()
                .starts_with("`scoring.scorers[0].length.tokenizer.path` is `"),
            "{error}"
        );
    }
}

#[test]
fn scores_of_another_tokenizer_are_not_used_again() {
    let place = place(&words());
    place.run().unwrap();
    assert!(place.inspect().unwrap().found.unwrap().exact);
    write(&place, &pairs().to_string());
    let inspection = place.inspect().unwrap();
    assert_eq!(
        inspection.stale_index.as_deref(),
        Some("`models/tokenizer.json`, which scoring reads, has changed")
    );
    // As those of another scorer, they are the last good ones of the same data.
    assert!(!inspection.found.unwrap().exact);
    assert_eq!(lengths(&place)[0], 8.0);
    let inspection = place.inspect().unwrap();
    assert!(inspection.found.unwrap().exact && inspection.stale_index.is_none());
    fs::remove_file(place.root().join("models/tokenizer.json")).unwrap();
    assert_eq!(
        place.inspect().unwrap().stale_index.as_deref(),
        Some("`models/tokenizer.json`, which scoring reads, is gone")
    );
}

#[test]
fn a_tokenizer_that_changes_during_a_run_is_a_fault() {
    let place = place(&words());
    place.inspect().unwrap();
    write(&place, &pairs().to_string());
    let message = place.score().unwrap_err().to_string();
    assert!(
        message.ends_with("which has changed since the inspection; it must stay as it is during a run"),
        "{message}"
    );
}
