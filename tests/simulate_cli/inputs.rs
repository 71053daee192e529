//! Which files are read, and what is said about those that are not right.

use serde_json::{Value, json};

use crate::bench::{Bench, SMALL};

fn metric() -> Value {
    json!({
        "index_to_sample_path": "/data/sample", "index_to_metric_path": "/data/metric", "difficulty_type": "value",
        "clustering_type": "single_cluster", "min_difficulty": 2, "max_difficulty": 10, "schedule_type": "fixed_linear",
        "schedule_config": {"total_curriculum_step": 8, "difficulty_step": 2}
    })
}

fn config(metrics: &Value) -> Value {
    json!({
        "train_batch_size": 16, "fp16": {"enabled": true},
        "data_efficiency": {"enabled": true, "seed": 1234, "data_sampling": {
            "enabled": true, "num_epochs": 1, "curriculum_learning": {"enabled": true, "curriculum_metrics": metrics}
        }}
    })
}

#[test]
fn a_job_a_curriculum_and_its_content_are_the_same() {
    let bench = Bench::small();
    let expected = bench.text("simulate -f small.yaml --rows 100 -o json");
    let value: Value = serde_saphyr::from_str(SMALL).unwrap();
    let curriculum = &value["curriculum"];
    bench.write("bare.json", &curriculum.to_string());
    let job = json!({
        "apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumJob", "metadata": {"name": "small"},
        "spec": {"dataset": {"path": "train.csv", "groupColumn": "label"}, "scoring": {}, "curriculum": curriculum}
    });
    bench.write("job.json", &job.to_string());
    bench.write("many.yaml", &format!("kind: ConfigMap\n---\n{job}\n---\n"));
    for file in ["bare.json", "job.json", "many.yaml"] {
        assert_eq!(
            bench.text(&format!("simulate -f {file} --rows 100 -o json")),
            expected,
            "{file}"
        );
    }
}

#[test]
fn a_deepspeed_configuration_is_a_curriculum() {
    let bench = Bench::new();
    bench.write("whole.json", &config(&json!({"seqlen": metric()})).to_string());
    let lines = bench.lines("simulate -f whole.json --rows 100 -o json");
    // Up to total_curriculum_step, so nine steps.
    let difficulties: Vec<u64> = lines.iter().map(|line| line["difficulty"].as_u64().unwrap()).collect();
    assert_eq!(difficulties, [2, 4, 4, 6, 6, 8, 8, 10, 10]);
    assert_eq!(
        (&lines[0]["phase"], &lines[0]["served"]["rows"]),
        (&json!("deepspeed"), &json!(16))
    );

    bench.write("metric.json", &metric().to_string());
    let lines = bench.lines("simulate -f metric.json --rows 100 -o json --steps 7..12");
    assert_eq!(lines.len(), 5);
    // Its last difficulty stays. A batch is one row where the file does not say how many.
    assert_eq!((&lines[4]["step"], &lines[4]["difficulty"]), (&json!(11), &json!(10)));
    assert_eq!(lines[4]["served"]["rows"], 1);

    // 30 % of the rows, counted in hundredths.
    let percentile = json!({
        "min_difficulty": 30, "max_difficulty": 100, "difficulty_type": "percentile", "schedule_type": "fixed_discrete",
        "schedule_config": {"difficulty": [30, 60, 100], "max_step": [5, 10]}
    });
    bench.write("percentile.json", &percentile.to_string());
    let lines = bench.lines("simulate -f percentile.json --rows 1000 -o json");
    let pools: Vec<u64> = lines.iter().map(|line| line["pool"].as_u64().unwrap()).collect();
    assert_eq!(pools, [vec![300; 5], vec![600; 5], vec![1000]].concat());
}

#[test]
fn scores_are_ranks_where_there_is_no_index() {
    let bench = Bench::new();
    bench.write(
        "score.yaml",
        "batchSize: 2\nphases: [{name: only, pool: {score: {from: '0.25'}}, duration: {steps: 2}}]\n",
    );
    let output = bench.run("simulate -f score.yaml --rows 1000 -o json");
    let first: Value = serde_json::from_slice(output.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(first["pool"], 250);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("give the score index (--index)"), "{said}");
}

/// A curriculum with one change, and what is said about it.
fn refused(from: &str, to: &str) -> String {
    let bench = Bench::new();
    let changed = SMALL.replace(from, to);
    assert_ne!(changed, SMALL);
    bench.write("c.yaml", &changed);
    let inline = bench.error("simulate -f c.yaml --rows 100");
    assert_eq!(
        inline.replace("simulate:", "sample:"),
        bench.error("sample -f c.yaml --rows 100 --from 0 --count 1")
    );
    inline
}

#[test]
fn errors_name_the_field_and_what_would_be_right() {
    for (from, to, words) in [
        (
            "batchSize: 8",
            "batchsize: 8",
            "curriculum.batchsize: unknown field `batchsize`",
        ),
        ("  batchSize: 8\n", "", "curriculum: missing field `batchSize`"),
        (
            "batchSize: 8",
            "batchSize: 0",
            "curriculum.batchSize: 0 is not between 1 and 1048576",
        ),
        (
            "{fraction: \"0.6\"}",
            "{fraction: 0.6}",
            "curriculum.phases[2].pool.fraction: invalid type: floating point `0.6`, expected a string; fractions are written in quotes, such as \"0.25\"",
        ),
        (
            "{fraction: \"0.6\"}",
            "{fraction: \"1.6\"}",
            "curriculum.phases[2].pool.fraction: '1.6' is not between 0 and 1",
        ),
        (
            "{fraction: \"0.6\"}",
            "{share: \"0.6\"}",
            "curriculum.phases[2].pool.share: unknown field `share`, expected one of `fraction`, `pacing`",
        ),
        (
            "function: Linear",
            "function: linear",
            "curriculum.phases[1].pool.pacing.function: unknown variant `linear`, expected one of `Constant`, `Linear`",
        ),
        ("name: hold", "name: easy", "curriculum.phases[2].name: 'easy'"),
        (
            "curriculum:",
            "seed: -1\ncurriculum:",
            "seed: -1 is not between 0 and 9007199254740991",
        ),
        (
            "curriculum:",
            "balance: Group\ncurriculum:",
            "balance: unknown field `balance`",
        ),
    ] {
        let error = refused(from, to);
        assert!(error.contains(&format!("c.yaml: {words}")), "{error}");
    }
    let error = refused("batchSize: 8", "batchSize: 8\n  balance: Group");
    assert!(
        error.contains("--groups: `balance: Group` needs the groups of the rows"),
        "{error}"
    );
}

#[test]
fn a_field_of_a_job_is_named_as_the_job_has_it() {
    let bench = Bench::new();
    let indented: String = SMALL
        .replace("\"0.6\"", "\"6\"")
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    bench.write("job.yaml", &format!("kind: CurriculumJob\nspec:\n{indented}"));
    let error = bench.error("simulate -f job.yaml --rows 10");
    assert!(
        error.contains("job.yaml: spec.curriculum.phases[1].pool.pacing.to: '6' is not between 0 and 1"),
        "{error}"
    );
    bench.write(
        "job.yaml",
        "kind: CurriculumJob\nspec: {curriculum: {batchSize: 1, balance: Group, phases: []}}\n",
    );
    let error = bench.error("simulate -f job.yaml --rows 10");
    assert!(error.contains("spec.dataset.groupColumn: must be set"), "{error}");
    bench.write("job.yaml", "kind: Job\nspec: {}\n");
    let error = bench.error("simulate -f job.yaml --rows 10");
    assert!(error.contains("kind: \"Job\" is not \"CurriculumJob\""), "{error}");
}

#[test]
fn deepspeed_errors_name_its_own_fields() {
    let bench = Bench::new();
    let two = config(&json!({"seqlen": metric(), "vocabularyrarity": metric()}));
    let mut unknown = metric();
    unknown["schedule_config"]["steps"] = json!(3);
    let mut wrong = metric();
    wrong["max_difficulty"] = json!(1);
    let mut rows = config(&json!({"seqlen": metric()}));
    rows["train_batch_size"] = json!("many");
    let mut kind = older();
    kind["curriculum_learning"]["curriculum_type"] = json!("vocab");
    let path = "data_efficiency.data_sampling.curriculum_learning.curriculum_metrics";
    for (value, words) in [
        (two, format!("{path}: has 2 metrics (seqlen, vocabularyrarity)")),
        (config(&json!({})), format!("{path}: has no metric")),
        (
            config(&json!({"seqlen": unknown})),
            format!("{path}.seqlen.schedule_config.steps: unknown field `steps`"),
        ),
        (wrong, "min_difficulty: 2 is greater than `max_difficulty` 1".to_owned()),
        (rows, "train_batch_size: \"many\" is no number such as 64".to_owned()),
        (
            kind,
            "curriculum_learning.curriculum_type: \"vocab\" is not \"seqlen\"".to_owned(),
        ),
        (
            json!({"data_efficiency": {}}),
            "data_efficiency.data_sampling: is missing".to_owned(),
        ),
    ] {
        bench.write("ds.json", &value.to_string());
        let error = bench.error("simulate -f ds.json --rows 10");
        assert!(error.contains(&words), "{error}");
    }
    bench.write("ds.json", &config(&json!({"a": metric(), "b": metric()})).to_string());
    assert!(bench.error("simulate -f ds.json --rows 10").contains("`combine: Max`"));
}

/// The form that configurations had before the data efficiency library.
fn older() -> Value {
    json!({
        "train_batch_size": 4, "curriculum_learning": {
            "enabled": true, "curriculum_type": "seqlen", "min_difficulty": 8, "max_difficulty": 64,
            "schedule_type": "fixed_linear", "schedule_config": {"total_curriculum_step": 8, "difficulty_step": 8}
        }
    })
}

/// Difficulties of each step of a file, and what is said about it.
fn difficulties(bench: &Bench, file: &str) -> (Vec<u64>, String) {
    let output = bench.run(&format!("simulate -f {file} --rows 100 -o json"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let lines = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    let difficulty = |line| {
        serde_json::from_slice::<Value>(line).unwrap()["difficulty"]
            .as_u64()
            .unwrap()
    };
    (lines.map(difficulty).collect(), said)
}

#[test]
fn the_older_form_of_deepspeed_is_read() {
    let bench = Bench::new();
    bench.write("whole.json", &older().to_string());
    bench.write("inner.json", &older()["curriculum_learning"].to_string());
    for file in ["whole.json", "inner.json"] {
        let (difficulties, said) = difficulties(&bench, file);
        assert_eq!(difficulties, [8, 16, 24, 32, 40, 48, 56, 64, 64], "{file}");
        assert!(said.contains("cuts each to the length of the step"), "{file}: {said}");
    }
}

#[test]
fn a_curriculum_that_is_not_enabled_is_not_simulated() {
    let bench = Bench::new();
    let library = config(&json!({"seqlen": metric()}));
    for (whole, section) in [
        (&library, "/data_efficiency"),
        (&library, "/data_efficiency/data_sampling"),
        (&library, "/data_efficiency/data_sampling/curriculum_learning"),
        (&older(), "/curriculum_learning"),
        (&older()["curriculum_learning"].clone(), ""),
    ] {
        let mut value = whole.clone();
        value.pointer_mut(section).unwrap()["enabled"] = json!(false);
        bench.write("off.json", &value.to_string());
        let error = bench.error("simulate -f off.json --rows 100");
        let field = format!("{}.enabled: is false", section.replace('/', "."));
        assert!(error.contains(field.trim_start_matches('.')), "{error}");
        assert!(
            bench
                .error("sample -f off.json --rows 100 --from 0 --count 1")
                .contains("is false")
        );

        value
            .pointer_mut(section)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove("enabled");
        bench.write("unsaid.json", &value.to_string());
        let output = bench.run("simulate -f unsaid.json --rows 100");
        let said = String::from_utf8(output.stdout).unwrap().replace('\n', " ");
        assert_eq!(
            said.contains("simulated as if it were true"),
            !section.is_empty(),
            "{said}"
        );
    }
}

#[test]
fn a_configuration_may_have_comments_and_spare_commas() {
    let bench = Bench::new();
    let text = r#"{
        // one batch of all workers
        "train_batch_size": 16, # or more
        "fp16": {"enabled": true,},
        /* the schedule */
        "curriculum_learning": {
            "enabled": true, "curriculum_type": "seqlen", "min_difficulty": 8, "max_difficulty": 64,
            "schedule_type": "fixed_linear",
            "schedule_config": {"total_curriculum_step": 8, "difficulty_step": 8},
        },
    }"#;
    for file in ["commented.json", "commented.yaml"] {
        bench.write(file, text);
        assert_eq!(
            difficulties(&bench, file).0,
            [8, 16, 24, 32, 40, 48, 56, 64, 64],
            "{file}"
        );
    }
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let bench = Bench::new();
    let twice = SMALL_JSON.replace("\"batchSize\": 8", "\"batchSize\": 8, \"batchSize\": 9");
    bench.write("twice.json", &twice);
    bench.write("commented.json", &format!("// twice\n{twice}"));
    for file in ["twice.json", "commented.json"] {
        let error = bench.error(&format!("simulate -f {file} --rows 100"));
        assert!(error.contains("`batchSize` stands twice in one object"), "{error}");
    }
    bench.write("deep.json", &"[".repeat(100_000));
    assert!(
        bench
            .error("simulate -f deep.json --rows 100")
            .contains("no JSON: recursion limit")
    );
}

const SMALL_JSON: &str =
    r#"{"batchSize": 8, "phases": [{"name": "only", "pool": {"fraction": "1"}, "duration": {"steps": 5}}]}"#;

/// Rows of a step, and what is said about a configuration with these fields instead of `train_batch_size`.
fn batch_of(fields: &Value) -> (u64, String) {
    let bench = Bench::new();
    let mut value = config(&json!({"seqlen": metric()}));
    let whole = value.as_object_mut().unwrap();
    whole.remove("train_batch_size");
    whole.extend(fields.as_object().unwrap().clone());
    bench.write("ds.json", &value.to_string());
    let served = bench.lines("simulate -f ds.json --rows 100 -o json")[0]["served"]["rows"]
        .as_u64()
        .unwrap();
    (served, bench.text("simulate -f ds.json --rows 100").replace('\n', " "))
}

#[test]
fn the_rows_of_a_batch_are_told_or_assumed_and_said() {
    let (micro, accumulation) = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps");
    let (rows, said) = batch_of(&json!({(micro): 4, (accumulation): 8}));
    assert_eq!(rows, 32);
    assert!(said.contains("assumed to have 4 × 8 rows"), "{said}");
    let (rows, said) = batch_of(&json!({(micro): 4}));
    assert_eq!(rows, 4);
    assert!(said.contains("4 × 1 rows"), "{said}");
    let (rows, said) = batch_of(&json!({}));
    assert_eq!(rows, 1);
    assert!(said.contains("assumed to have 1 row"), "{said}");
    let (rows, said) = batch_of(&json!({"train_batch_size": "auto", (micro): 4, (accumulation): "auto"}));
    assert_eq!(rows, 4);
    assert!(said.contains("`train_batch_size` is \"auto\""), "{said}");
    let (rows, said) = batch_of(&json!({"train_batch_size": 64, (micro): 4, (accumulation): 8}));
    assert_eq!(rows, 64);
    assert!(!said.contains("assumed"), "{said}");
}

/// What DeepSpeed's own function gives for these.
#[test]
fn a_root_may_have_any_degree_and_begin_at_0() {
    let bench = Bench::new();
    let root = |degree: Value, max: u64, total: u64, step: u64| {
        json!({"min_difficulty": 0, "max_difficulty": max, "schedule_type": "fixed_root",
               "schedule_config": {"total_curriculum_step": total, "difficulty_step": step, "root_degree": degree}})
    };
    for degree in [json!(0.5), json!("0.5")] {
        bench.write("half.json", &root(degree, 100, 10, 1).to_string());
        assert_eq!(
            difficulties(&bench, "half.json").0,
            [1, 4, 9, 16, 25, 36, 48, 64, 81, 100, 100]
        );
    }
    bench.write("root.json", &root(json!(2.5), 90, 9, 7).to_string());
    assert_eq!(
        difficulties(&bench, "root.json").0,
        [35, 49, 56, 63, 70, 70, 77, 84, 84, 90]
    );
    bench.write("zero.json", &root(json!(0), 90, 9, 7).to_string());
    let error = bench.error("simulate -f zero.json --rows 100");
    assert!(
        error.contains("schedule_config.root_degree: '0' is not a decimal number greater than '0'"),
        "{error}"
    );
}

#[test]
fn arguments_are_checked() {
    let bench = Bench::small();
    for (arguments, words) in [
        (
            "--rows 10 --steps 5..26",
            "--steps: 5..26 is not within the steps of the curriculum, 0..25",
        ),
        ("--rows 10 --steps 5", "--steps: '5' is no range such as 0..1000"),
        (
            "--rows 10 --groups a=3,b=8",
            "--groups: the groups have 11 rows together, but there are 10 rows",
        ),
        ("--rows 10 --groups a=3,a=7", "--groups: 'a' is named twice"),
        (
            "--rows 10 --groups ten",
            "--groups: 'ten' is no name and number of rows such as 'rare=100'",
        ),
        ("--index small.yaml", "small.yaml: the file is no score index"),
        ("--manifest small.yaml", "small.yaml: no manifest"),
        (
            "--rows 10 --compare small.yaml -o json",
            "--compare: goes with -o table, svg and html",
        ),
        ("--rows 0", "0 is not in 1..="),
        ("--rows 10 --index small.yaml", "cannot be used with"),
        ("--index missing.arrow", "missing.arrow: cannot open the score index"),
        ("--rows 10 --out no/such/folder", "no/such/folder: "),
    ] {
        let error = bench.error(&format!("simulate -f small.yaml {arguments}"));
        assert!(error.contains(words), "{arguments}: {error}");
    }
    let error = bench.error("simulate -f missing.yaml --rows 10");
    assert!(error.contains("missing.yaml: No such file"), "{error}");
    bench.write("broken.json", "{\"batchSize\": 8,");
    let error = bench.error("simulate -f broken.json --rows 10");
    assert!(error.contains("broken.json: no JSON: EOF while parsing"), "{error}");
}

/// More steps than can be drawn: the schedule is shown all the same, and what is left out is said.
#[test]
fn what_would_take_minutes_is_left_out() {
    let bench = Bench::new();
    bench.write(
        "long.yaml",
        "batchSize: 1024\nphases: [{name: only, pool: {pacing: {function: Linear, from: '0.2'}}, duration: {steps: 1000000000}}]\n",
    );
    let lines = bench.lines("simulate -f long.yaml --rows 1000000 -o json --every 500000000");
    assert_eq!((&lines[1]["pool"], &lines[1]["seen"]), (&json!(600_000), &Value::Null));
    assert_eq!(lines[1]["served"]["rows"], 1024);
    let text = bench.text("simulate -f long.yaml --rows 1000000");
    assert!(text.contains("distinct rows are left out"), "{text}");
}
