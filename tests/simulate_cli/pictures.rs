//! Pictures and pages: well-formed, with the names that they should have, and on their own.

use roxmltree::Document;

use crate::bench::Bench;

/// The texts of a picture.
fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let texts = document.descendants().filter(|node| node.tag_name().name() == "text");
    texts
        .filter_map(|node| node.text())
        .map(|text| text.trim().to_owned())
        .collect()
}

fn has(texts: &[String], wanted: &str) -> bool {
    texts.iter().any(|text| text.contains(wanted))
}

#[test]
fn a_picture_names_its_phases_and_groups() {
    let bench = Bench::small();
    bench.text("simulate -f small.yaml --rows 1000 --groups common<&>=900,rare=100 -o svg --out picture.svg");
    let texts = texts(&std::fs::read_to_string(bench.path("picture.svg")).unwrap());
    for wanted in [
        "easy",
        "grow",
        "hold",
        "Pool: rows admitted",
        "Rows served",
        "common<&>",
        "rare",
        "step",
    ] {
        assert!(has(&texts, wanted), "{wanted} is not in {texts:?}");
    }
    assert!(!has(&texts, "Mean difficulty"));
}

#[test]
fn phases_too_short_for_their_names_stand_in_a_key() {
    let bench = Bench::new();
    let short = "{name: a-name-of-a-short-phase, pool: {fraction: '0.1'}, duration: {steps: 3}}";
    let long = "{name: long, pool: {fraction: '1'}, duration: {steps: 1000}}";
    bench.write("c.yaml", &format!("batchSize: 2\nphases: [{short}, {long}]\n"));
    let texts = texts(&bench.text("simulate -f c.yaml --rows 100 -o svg"));
    assert!(
        has(&texts, "1: a-name-of-a-short-phase") && texts.contains(&"long".to_owned()),
        "{texts:?}"
    );
}

#[test]
fn compared_curricula_are_named() {
    let bench = Bench::small();
    bench.write(
        "uniform.yaml",
        "batchSize: 8\nphases: [{name: all, pool: {fraction: '1'}, duration: {steps: 40}}]\n",
    );
    let texts = texts(&bench.text("simulate -f small.yaml --rows 1000 --compare uniform.yaml -o svg"));
    for wanted in ["small", "uniform", "Mean difficulty of the rows served"] {
        assert!(has(&texts, wanted), "{wanted} is not in {texts:?}");
    }
    let table = bench.text("simulate -f small.yaml --rows 1000 --compare uniform.yaml");
    assert!(table.contains("COMPARED WITH uniform"), "{table}");
}

#[test]
fn a_schedule_of_difficulties_has_a_panel() {
    let bench = Bench::new();
    bench.write(
        "ds.json",
        r#"{"min_difficulty": 1, "max_difficulty": 3, "schedule_type": "fixed_discrete",
            "schedule_config": {"difficulty": [1, 2, 3], "max_step": [5, 10]}}"#,
    );
    let texts = texts(&bench.text("simulate -f ds.json --rows 100 -o svg"));
    assert!(
        has(&texts, "Difficulty of the schedule") && has(&texts, "deepspeed"),
        "{texts:?}"
    );
}

#[test]
fn a_page_stands_on_its_own() {
    let bench = Bench::small();
    bench.write(
        "tight.yaml",
        "batchSize: 8\nphases: [{name: all, pool: {pacing: {function: Linear, from: '0.1', steps: 90}}, duration: {steps: 40}}]\n",
    );
    let page =
        bench.text("simulate -f small.yaml --rows 1000 --groups <b>a</b>=900,rare=100 --compare tight.yaml -o html");
    for wanted in [
        "<!DOCTYPE html>",
        "<title>Curriculum small</title>",
        "<svg ",
        "distinct rows",
        "Shortages",
        "None found.",
        "its schedule needs 90 steps",
        "&lt;b&gt;a&lt;/b&gt;",
        "hold",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in the page");
    }
    assert!(!page.contains("<b>a</b>"), "a group's name is markup");
    let namespace = "xmlns=\"http://www.w3.org/2000/svg\"";
    let rest = page.replace(namespace, "");
    for loads in ["://", "<script", "<link", "<img", "url(", "@import", "src=", "href="] {
        assert!(!rest.contains(loads), "{loads} in the page");
    }
}
