//! The keys: what a change of the spec does to the folder that its scores are kept in.

use super::*;

#[test]
fn task_of_a_full_spec() {
    insta::assert_yaml_snapshot!(task(&parsed(FULL)));
}

#[test]
fn the_kubelet_does_not_rewrite_what_the_user_named() {
    let run = parsed(&SMALL.replace("column: text", "column: \"$(HOME)$$\""));
    let made = score_job(&settings(), &run, &task(&run));
    let value = containers(&made).next().unwrap().env.as_ref().unwrap()[0]
        .value
        .clone()
        .unwrap();
    assert!(value.contains("$$(HOME)$$$$"), "{value}");
}

#[test]
fn format_comes_from_the_extension_unless_it_is_given() {
    use crate::scoring::task::Format;
    let cases = [
        ("a.parquet", Format::Parquet),
        ("a.csv", Format::Csv),
        ("a.jsonl", Format::JsonLines),
        ("a.b.ndjson", Format::JsonLines),
        ("a.tsv", Format::Csv),
        ("a.csv.gz", Format::Csv),
        ("a.jsonl.zst", Format::JsonLines),
    ];
    for (path, expected) in cases {
        let mut job = job(SMALL);
        job.spec.dataset.path = Some(path.to_owned());
        assert_eq!(task(&validate(&job).unwrap()).format, expected, "{path}");
        job.spec.dataset.format = Some(crate::api::dataset::Format::Csv);
        assert_eq!(task(&validate(&job).unwrap()).format, Format::Csv, "{path}");
    }
}

#[test]
fn the_delimiter_is_that_of_the_file_unless_it_is_given() {
    for (path, expected) in [("a.csv", ','), ("a.tsv", '\t'), ("a.tsv.gz", '\t'), ("a.jsonl", ',')] {
        let mut job = job(SMALL);
        job.spec.dataset.path = Some(path.to_owned());
        assert_eq!(task(&validate(&job).unwrap()).delimiter, expected, "{path}");
        job.spec.dataset.delimiter = Some(";".to_owned());
        assert_eq!(task(&validate(&job).unwrap()).delimiter, ';', "{path}");
    }
}

#[test]
fn the_key_follows_the_delimiter_that_is_used() {
    let key = |path: &str, delimiter: Option<&str>| {
        let mut job = job(SMALL);
        job.spec.dataset.path = Some(path.to_owned());
        job.spec.dataset.delimiter = delimiter.map(str::to_owned);
        task(&validate(&job).unwrap()).key
    };
    assert_ne!(key("a.csv", None), key("a.csv", Some(";")));
    assert_eq!(key("a.csv", None), key("a.csv", Some(",")));
    assert_eq!(key("a.tsv", None), key("a.tsv", Some("\t")));
}

#[test]
fn the_task_and_the_key_have_the_tokenizer() {
    use crate::scoring::task::ScorerKind;
    let of = |path: &str| {
        let length = format!("{{column: text, unit: Tokens, tokenizer: {{path: {path}}}}}");
        task(&parsed(&SMALL.replace("{column: text}", &length)))
    };
    let kind = ScorerKind::Tokens {
        column: "text".to_owned(),
        tokenizer: "t.json".to_owned(),
    };
    assert_eq!(of("t.json").scorers[0].kind, kind);
    assert_ne!(of("t.json").key, of("u.json").key);
    assert_ne!(of("t.json").key, task(&parsed(SMALL)).key);
}

#[test]
fn the_task_and_the_key_have_the_scorer_of_lengths() {
    let of = |tokens: &str| {
        task(&parsed(
            &SMALL.replace("batchSize: 64", &format!("batchSize: 64, {tokens}")),
        ))
    };
    let name = task(&parsed(SMALL)).scorers[0].name.clone();
    let tokens = |budget: i64| format!("batchTokens: {{budget: {budget}, maxLength: 9, lengthScorer: {name}}}");
    let with = of(&tokens(100));
    assert_eq!(with.length_scorer, Some(name.clone()));
    assert_ne!(with.key, task(&parsed(SMALL)).key);
    // How many fit leaves the lengths as they are.
    assert_eq!(with.key, of(&tokens(200)).key);
}

#[test]
fn the_task_and_the_key_have_the_overrides() {
    let of = |overrides: &str| {
        let mut job = job(SMALL);
        job.spec.scoring.overrides = serde_json::from_str(overrides).unwrap();
        task(&validate(&job).unwrap())
    };
    let with = of(r#"{"path": "o.csv", "idColumn": "id", "leaveOut": true}"#);
    insta::assert_json_snapshot!(with.overrides, @r#"
    {
      "path": "o.csv",
      "format": "Csv",
      "delimiter": ",",
      "join": {
        "id": {
          "column": "id",
          "datasetColumn": "id"
        }
      },
      "leaveOut": true
    }
    "#);
    let mut keys = std::collections::BTreeSet::from([with.key, task(&parsed(SMALL)).key]);
    for other in [
        r#"{"path": "o.csv", "idColumn": "id"}"#,
        r#"{"path": "o.csv", "rowColumn": "id"}"#,
        r#"{"path": "o-2.csv", "idColumn": "id"}"#,
    ] {
        assert!(keys.insert(of(other).key), "{other}");
    }
    assert_eq!(of("null").key, task(&parsed(SMALL)).key);
}

#[test]
fn the_task_and_the_key_have_the_filter() {
    use crate::scoring::task::{Condition, Test};
    let of = |filter: &str| {
        let mut job = job(SMALL);
        job.spec.dataset.filter = serde_json::from_str(filter).unwrap();
        task(&validate(&job).unwrap())
    };
    let language = of(r#"[{"column": "language", "in": ["en", "de"]}]"#);
    let texts = vec!["en".to_owned(), "de".to_owned()];
    let condition = |test| {
        let column = "language".to_owned();
        Condition { column, test }
    };
    assert_eq!(language.filter, [condition(Test::In(texts.clone()))]);
    assert_eq!(
        of(r#"[{"column": "language", "notIn": ["en", "de"]}]"#).filter,
        [condition(Test::NotIn(texts))]
    );
    let range = |min: Option<&str>, max: Option<&str>| {
        let text = |bound: Option<&str>| bound.map(str::to_owned);
        let (min, max) = (text(min), text(max));
        condition(Test::Range { min, max })
    };
    let bounds = [
        (r#"[{"column": "language", "min": "0.5"}]"#, range(Some("0.5"), None)),
        (r#"[{"column": "language", "max": "-1"}]"#, range(None, Some("-1"))),
        (
            r#"[{"column": "language", "min": "0", "max": "1"}]"#,
            range(Some("0"), Some("1")),
        ),
    ];
    let mut keys = std::collections::BTreeSet::from([language.key, task(&parsed(SMALL)).key]);
    for (filter, expected) in bounds {
        let task = of(filter);
        assert_eq!(task.filter, [expected]);
        assert!(keys.insert(task.key), "{filter}");
    }
    // Another filter is of the same data: its index may be one to fall back to.
    assert_eq!(language.dataset_key, task(&parsed(SMALL)).dataset_key);
}

#[test]
fn the_task_and_the_key_have_the_shingle() {
    use crate::scoring::task::ScorerKind;
    let of = |duplicates: &str| task(&parsed(&SMALL.replace("length: {column: text}", duplicates)));
    let (default, five) = (
        of("duplicates: {column: text}"),
        of("duplicates: {column: text, shingle: 5}"),
    );
    let kind = ScorerKind::Duplicates {
        column: "text".to_owned(),
        shingle: 5,
    };
    assert_eq!(default.scorers[0].kind, kind);
    assert_eq!(default.key, five.key);
    for other in ["duplicates: {column: text, shingle: 4}", "duplicates: {column: body}"] {
        assert_ne!(of(other).key, five.key, "{other}");
    }
}

#[test]
fn the_task_and_the_key_have_the_metric() {
    use crate::scoring::task::{Metric, ScorerKind};
    let of = |distance: &str| {
        let distance = format!("centreDistance: {distance}");
        task(&parsed(&SMALL.replace("length: {column: text}", &distance)))
    };
    let (default, cosine) = (of("{column: e}"), of("{column: e, metric: Cosine}"));
    let kind = ScorerKind::CentreDistance {
        column: "e".to_owned(),
        metric: Metric::Cosine,
    };
    assert_eq!(default.scorers[0].kind, kind);
    assert_eq!(default.key, cosine.key);
    for other in ["{column: e, metric: Euclidean}", "{column: f}"] {
        assert_ne!(of(other).key, cosine.key, "{other}");
    }
}

/// Keys that claims of this release's users have on them.
#[test]
fn keys_of_specs_without_the_newest_fields_are_those_of_the_release_before() {
    let units = ["Words", "Characters", "Bytes"].map(|unit| {
        let yaml = SMALL.replace("{column: text}", &format!("{{column: text, unit: {unit}}}"));
        task(&parsed(&yaml)).key
    });
    insta::assert_yaml_snapshot!((units, task(&parsed(FULL)).key));
}

#[test]
fn a_list_of_files_is_its_own_data_set_in_its_own_order() {
    let of = |path: Option<&str>, paths: &[&str]| {
        let mut job = job(SMALL);
        job.spec.dataset.path = path.map(str::to_owned);
        job.spec.dataset.paths = paths.iter().map(|&path| path.to_owned()).collect();
        let run = validate(&job).unwrap();
        let made = train_job(&settings(), &run, &phase(), 0, ScoreSource::Scored);
        let env = containers(&made).flat_map(|container| container.env.iter().flatten());
        let listed: Vec<_> = env
            .filter(|env| env.name == "CURRICULUM_DATASET_PATHS")
            .filter_map(|env| env.value.clone())
            .collect();
        (task(&run), listed)
    };
    let (one, none) = of(Some("a.csv"), &[]);
    assert!(none.is_empty() && one.paths.is_empty());
    let (first, listed) = of(None, &["a.csv", "b/*.csv"]);
    assert_eq!(listed, [r#"["a.csv","b/*.csv"]"#]);
    assert_eq!(
        (first.path.as_deref(), &first.paths[..]),
        (None, &["a.csv".to_owned(), "b/*.csv".to_owned()][..])
    );
    let (second, _) = of(None, &["b/*.csv", "a.csv"]);
    for (a, b) in [(&one, &first), (&first, &second)] {
        assert!(a.key != b.key && a.dataset_key != b.dataset_key);
    }
}

/// Replaces `from` in the full spec, which must have it, and returns the task.
fn edited(from: &str, to: &str) -> crate::scoring::task::Task {
    assert!(FULL.contains(from), "{from}");
    task(&parsed(&FULL.replace(from, to)))
}

#[test]
fn the_key_follows_everything_that_decides_the_scores() {
    let before = task(&parsed(FULL));
    for (from, to) in [
        ("  seed: 42", "  seed: 43"),
        ("claimName: digits", "claimName: other"),
        ("data/train.parquet", "data/test.parquet"),
        ("data/train.parquet", "data/train.parquet\n    format: Csv"),
        ("2026-11-20", "2026-11-21"),
        ("groupColumn: label", "groupColumn: domain"),
        (
            "groupColumn: label",
            "groupColumn: label\n    filter: [{column: language, in: [en]}]",
        ),
        ("name: teacher", "name: tutor"),
        ("image: teacher:1", "image: teacher:2"),
        ("/teacher.py", "/other.py"),
        ("\"5\"", "\"6\""),
        ("OMP_NUM_THREADS, value: \"1\"", "OMP_NUM_THREADS, value: \"2\""),
        ("column: text", "column: body"),
        ("weight: \"0.5\"", "weight: \"0.25\""),
        ("rarity: {column: text}", "length: {column: text}"),
        ("    shards: 4", "    combine: Max\n    shards: 4"),
        ("minCoverage: \"0.99\"", "minCoverage: \"0.5\""),
    ] {
        assert_ne!(edited(from, to).key, before.key, "{from} -> {to}");
    }
}

#[test]
fn the_key_ignores_what_leaves_the_scores_as_they_are() {
    let before = task(&parsed(FULL));
    for (from, to) in [
        ("  seed: 42", "  seed: 42\n  suspend: true"),
        ("resources: {limits: {nvidia.com/gpu: \"1\"}}", "resources: {}"),
        ("imagePullPolicy: IfNotPresent", "imagePullPolicy: Always"),
        ("shards: 4", "shards: 2"),
        ("parallelism: 2", "parallelism: 1"),
        ("backoffLimit: 1", "backoffLimit: 0"),
        ("timeoutSeconds: 600", "timeoutSeconds: 601"),
        ("serviceAccountName: scorer", "serviceAccountName: other"),
        ("claimName: shared", "claimName: elsewhere"),
        ("batchSize: 64", "batchSize: 32"),
        ("image: trainer:1", "image: trainer:2"),
        ("name: digits, namespace: team-a", "name: letters, namespace: team-a"),
        (
            "    path: data/train.parquet",
            "    path: data/train.parquet\n    format: Parquet",
        ),
        ("    shards: 4", "    combine: MeanRank\n    shards: 4"),
        (
            "    path: data/train.parquet",
            "    path: data/train.parquet\n    maxBadRows: 3",
        ),
    ] {
        assert_eq!(edited(from, to).key, before.key, "{from} -> {to}");
    }
    let with_default = SMALL.replace("{column: text}", "{column: text, unit: Words}, weight: \"1\"");
    assert_eq!(task(&parsed(&with_default)).key, task(&parsed(SMALL)).key);
}

#[test]
fn the_dataset_key_follows_source_and_path_only() {
    let before = task(&parsed(FULL));
    for (from, to) in [
        ("claimName: digits", "claimName: other"),
        ("data/train.parquet", "data/test.parquet"),
    ] {
        assert_ne!(edited(from, to).dataset_key, before.dataset_key, "{from} -> {to}");
    }
    for (from, to) in [
        ("2026-11-20", "2026-11-21"),
        ("image: teacher:1", "image: teacher:2"),
        ("  seed: 42", "  seed: 43"),
    ] {
        assert_eq!(edited(from, to).dataset_key, before.dataset_key, "{from} -> {to}");
    }
}
