//! `sample`: the rows are those that the library's sampler draws, for every rank and from every kind of file.

use curriculum_operator::api::curriculum::CurriculumSpec;
use curriculum_operator::curriculum::order::{Identity, RowOrder};
use curriculum_operator::curriculum::plan::{Facts, PlanScores, compile};
use curriculum_operator::curriculum::sampler::Sampler;
use curriculum_operator::index::file::{self, IndexContent};
use curriculum_operator::index::map::ScoreIndex;
use curriculum_operator::index::order::Order;

use crate::bench::{Bench, SMALL};

fn expected(facts: &Facts, order: &dyn RowOrder, steps: std::ops::Range<u64>) -> String {
    let value: serde_json::Value = serde_saphyr::from_str(SMALL).unwrap();
    let spec: CurriculumSpec = serde_json::from_value(value["curriculum"].clone()).unwrap();
    let sampler = Sampler::new(compile(&spec, facts).unwrap()).unwrap();
    let mut batch = Vec::new();
    let lines = steps.map(|step| {
        sampler.batch(step, order, &mut batch).unwrap();
        batch.iter().map(u64::to_string).collect::<Vec<_>>().join(" ") + "\n"
    });
    lines.collect()
}

fn facts(seed: u64, rows: u64) -> Facts {
    Facts {
        seed,
        rows,
        scores: Some(PlanScores {
            key: "any".into(),
            digest: "sha256:any".into(),
        }),
        ..Facts::default()
    }
}

#[test]
fn rows_are_those_of_the_sampler() {
    let bench = Bench::small();
    let expected = expected(&facts(7, 1000), &Identity, 5..25);
    assert_eq!(
        bench.text("sample -f small.yaml --rows 1000 --seed 7 --from 5 --count 20"),
        expected
    );
    bench.write(
        "job.yaml",
        &format!("kind: CurriculumJob\nspec:\n  seed: 7\n{}", indented(SMALL)),
    );
    assert_eq!(
        bench.text("sample -f job.yaml --rows 1000 --from 5 --count 20"),
        expected
    );
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[test]
fn the_order_is_that_of_the_index() {
    let bench = Bench::small();
    // The hardest row of the data set is its first.
    let content = IndexContent {
        key: "abc".into(),
        group_rows: Vec::new(),
        group_names: Vec::new(),
        order: Order {
            rows: (0..100).rev().collect(),
            scores: (0..100).map(f64::from).collect(),
            ranks: (1..=100).map(|i| f64::from(i) / 100.0).collect(),
            scored: 100,
        },
        grouped: None,
        lengths: None,
    };
    file::write(&bench.path("index.arrow"), content).unwrap();
    let index = ScoreIndex::open(&bench.path("index.arrow"), None).unwrap();
    let text = bench.text("sample -f small.yaml --index index.arrow --from 0 --count 10");
    assert_eq!(text, expected(&facts(0, 100), &index, 0..10));
    // The easiest fifth.
    assert!(text.split_whitespace().all(|row| row.parse::<u64>().unwrap() >= 80));
    let first = &bench.lines("simulate -f small.yaml --index index.arrow -o json --every 10")[0];
    assert!(first["served"]["max"].as_f64().unwrap() <= 19.0, "{first}");
}

/// Rows that a filter leaves out have no rank and are the last ones of the index.
#[test]
fn of_a_filter_the_index_says_which_rows_there_are() {
    let bench = Bench::small();
    let curriculum = SMALL.replace('\n', "\n  ");
    let job = |filter: &str| format!("kind: CurriculumJob\nspec:\n  dataset: {{{filter}}}{curriculum}");
    bench.write("job.yaml", &job("filter: [{column: language, in: [en]}]"));
    bench.write("other.yaml", &job("filter: [{column: language, in: [de]}]"));
    // The first forty rows are filtered out.
    let order = Order::new((0..100).map(f64::from).collect(), 1, 0..40);
    let content = IndexContent {
        key: "abc".into(),
        group_rows: Vec::new(),
        group_names: Vec::new(),
        order,
        grouped: None,
        lengths: None,
    };
    file::write(&bench.path("index.arrow"), content).unwrap();
    let text = bench.text("sample -f job.yaml --index index.arrow --from 0 --count 25");
    let rows: Vec<u64> = text.split_whitespace().map(|row| row.parse().unwrap()).collect();
    assert!(rows.iter().all(|row| (40..100).contains(row)));
    // The easiest fifth of sixty rows.
    assert!(rows[..80].iter().all(|row| *row < 52));
    let first = &bench.lines("simulate -f job.yaml --index index.arrow -o json --every 10")[0];
    assert!(first["served"]["max"].as_f64().unwrap() < 52.0, "{first}");
    // A simulation may do without: `--rows` are the rows to train on. Row numbers of the data it does not
    // know.
    bench.text("simulate -f job.yaml --rows 60");
    let said = bench.error("sample -f job.yaml --rows 60 --from 0 --count 1");
    assert!(said.contains("--index") && said.contains("`dataset.filter`"), "{said}");
    let said = bench.error("simulate -f job.yaml --compare other.yaml --rows 60");
    assert!(said.contains("has another `dataset.filter`"), "{said}");
    // People may leave rows out as well.
    let people = SMALL.replace('\n', "\n  ") + "scoring: {overrides: {path: o.csv, leaveOut: true}}";
    bench.write("people.yaml", &format!("kind: CurriculumJob\nspec:{people}"));
    assert_eq!(
        bench.text("sample -f people.yaml --index index.arrow --from 0 --count 25"),
        text
    );
    let said = bench.error("sample -f people.yaml --rows 60 --from 0 --count 1");
    assert!(
        said.contains("--index") && said.contains("`scoring.overrides`"),
        "{said}"
    );
    let said = bench.error("simulate -f small.yaml --compare people.yaml --rows 60");
    assert!(said.contains("has another `scoring.overrides.leaveOut`"), "{said}");
}

#[test]
fn parts_of_the_ranks_make_up_the_batch() {
    let bench = Bench::small();
    let sample = |more: &str| bench.text(&format!("sample -f small.yaml --rows 1000 --from 9 --count 3{more}"));
    let whole = sample("");
    let parts = [0, 1, 2].map(|rank| sample(&format!(" --rank {rank} --world 3")));
    let lines = whole.lines().enumerate().map(|(i, line)| {
        let joined = parts.each_ref().map(|part| part.lines().nth(i).unwrap()).join(" ");
        (line.to_owned(), joined)
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 3);
    for (line, joined) in lines {
        assert_eq!(line, joined);
    }
}

#[test]
fn the_same_as_json() {
    let bench = Bench::small();
    let text = bench.text("sample -f small.yaml --rows 50 --from 3 --count 2");
    let lines = bench.lines("sample -f small.yaml --rows 50 --from 3 --count 2 --format json");
    for ((line, text), step) in lines.iter().zip(text.lines()).zip(3..) {
        assert_eq!(line["step"], step);
        let rows: Vec<String> = line["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(rows.join(" "), text);
    }
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_does_not_exist_is_refused() {
    let bench = Bench::small();
    let error = bench.error("sample -f small.yaml --rows 50 --from 24 --count 2");
    assert!(error.contains("24 to 25") && error.contains("has 25"), "{error}");
    let error = bench.error("sample -f small.yaml --rows 50 --from 0 --count 1 --rank 2 --world 2");
    assert!(error.contains("rank 2 is not less than the world's size 2"), "{error}");
}

#[test]
fn ids_stand_in_the_place_of_the_rows_that_they_name() {
    let bench = Bench::small();
    let id = |row: u64| {
        if row == 13 {
            String::new()
        } else {
            format!("sample {row}")
        }
    };
    let csv = |rows: std::ops::Range<u64>| rows.map(|row| format!("{row},{}\n", id(row))).collect::<String>();
    bench.write("a.csv", &format!("n,name\n{}", csv(0..300)));
    let lines = (300..1000).map(|row| format!("{{\"name\": \"{}\"}}\n", id(row)));
    bench.write("b.jsonl", &lines.collect::<String>());
    let drawn = "sample -f small.yaml --rows 1000 --seed 7 --from 5 --count 20";
    let ids = format!("{drawn} --ids name --data a.csv --data b.jsonl");
    let expected: String = bench
        .text(drawn)
        .lines()
        .map(|line| {
            let ids: Vec<String> = line.split(' ').map(|row| id(row.parse().unwrap())).collect();
            ids.join("\t") + "\n"
        })
        .collect();
    assert_eq!(bench.text(&ids), expected);
    let json = bench.text(&format!("{ids} --format json"));
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let of_first: Vec<&str> = expected.lines().next().unwrap().split('\t').collect();
    assert_eq!(first, serde_json::json!({"step": 5, "ids": of_first}));

    for (arguments, says) in [
        (
            "--ids name --data a.csv",
            "have 300 rows, the data set of the curriculum has 1000",
        ),
        (
            "--ids title --data a.csv",
            "names column `title`, which does not exist; the columns are `n` and `name`",
        ),
        ("--ids name --data small.yaml", "must end in .parquet, .csv"),
        ("--ids title --data b.jsonl --data a.csv", "`title`"),
    ] {
        let error = bench.error(&format!("{drawn} {arguments}"));
        assert!(error.contains(says), "{arguments}: {error}");
    }
}
