//! The generated CRDs against the rules that keep an API server safe and clients working: every field of ours is bounded
//! and described, nothing is a float, and client-side apply fits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::process::Command;

use curriculum_operator::api::crd;
use curriculum_operator::curriculum::plan;
use curriculum_operator::sampler::contract;
use curriculum_operator::scoring::task;
use serde_json::{Value, json};

/// Subtrees of `core/v1` types. Their bounds are not ours: the API server validates them in full when the operator
/// makes the child object that they are copied to.
const CORE: &[&str] = &[
    "metadata",
    "spec.dataset.objectStore.envFrom[]",
    "spec.dataset.volume.configMap",
    "spec.dataset.volume.csi",
    "spec.dataset.volume.hostPath",
    "spec.dataset.volume.image",
    "spec.dataset.volume.nfs",
    "spec.dataset.volume.persistentVolumeClaim",
    "spec.scoring.pod.imagePullSecrets[]",
    "spec.scoring.pod.resources",
    "spec.scoring.pod.securityContext",
    "spec.scoring.pod.tolerations[]",
    "spec.scoring.scorers[].container.env[].valueFrom",
    "spec.scoring.scorers[].container.envFrom[]",
    "spec.scoring.scorers[].container.resources",
    "spec.scoring.scorers[].container.volumes[].configMap",
    "spec.scoring.scorers[].container.volumes[].csi",
    "spec.scoring.scorers[].container.volumes[].emptyDir",
    "spec.scoring.scorers[].container.volumes[].hostPath",
    "spec.scoring.scorers[].container.volumes[].image",
    "spec.scoring.scorers[].container.volumes[].nfs",
    "spec.scoring.scorers[].container.volumes[].persistentVolumeClaim",
    "spec.scoring.scorers[].container.volumes[].secret",
    "spec.store.claimTemplate",
    "spec.store.objectStore.envFrom[]",
    "spec.training.checkpoint.volume.configMap",
    "spec.training.checkpoint.volume.csi",
    "spec.training.checkpoint.volume.hostPath",
    "spec.training.checkpoint.volume.image",
    "spec.training.checkpoint.volume.nfs",
    "spec.training.checkpoint.volume.persistentVolumeClaim",
    "spec.training.sampler.resources",
    "spec.training.template",
];

/// Subtrees of Kubernetes' types that we do bound; what they mean is documented upstream.
const DESCRIBED_UPSTREAM: &[&str] = &[
    "spec.scoring.scorers[].container.env[].name",
    "spec.scoring.scorers[].container.env[].value",
];

/// What a subtree need not have.
#[derive(Clone, Copy, Default)]
struct Exempt {
    bounds: bool,
    description: bool,
}

/// Findings about one schema, and the exemptions that it used.
#[derive(Default)]
struct Findings {
    violations: Vec<String>,
    exempted: BTreeSet<String>,
}

impl Findings {
    fn of(root: &Value) -> Self {
        let mut findings = Self::default();
        findings.walk("", root, Exempt::default());
        findings
    }

    fn walk(&mut self, path: &str, schema: &Value, mut exempt: Exempt) {
        for (list, flag) in [
            (CORE, &mut exempt.bounds),
            (DESCRIBED_UPSTREAM, &mut exempt.description),
        ] {
            if list.contains(&path) {
                *flag = true;
                self.exempted.insert(path.to_owned());
            }
        }
        self.violations
            .extend(structural(schema).into_iter().map(|what| format!("{path}: {what}")));
        if !exempt.bounds {
            self.violations
                .extend(unbounded(schema).map(|what| format!("{path}: {what}")));
        }
        let field = !path.is_empty() && !path.ends_with("[]") && !path.ends_with("{}");
        if field && !exempt.bounds && !exempt.description && schema["description"].is_null() {
            self.violations.push(format!("{path}: has no description"));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let separator = if path.is_empty() { "" } else { "." };
            self.walk(&format!("{path}{separator}{name}"), property, exempt);
        }
        if schema["items"].is_object() {
            self.walk(&format!("{path}[]"), &schema["items"], exempt);
        }
        if schema["additionalProperties"].is_object() {
            self.walk(&format!("{path}{{}}"), &schema["additionalProperties"], exempt);
        }
    }
}

/// What must not stand anywhere, not even in a type of `core/v1`.
fn structural(schema: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    for keyword in [
        "nullable",
        "$ref",
        "definitions",
        "oneOf",
        "allOf",
        "anyOf",
        "not",
        "uniqueItems",
    ] {
        // `anyOf` is part of what `x-kubernetes-int-or-string` stands for.
        if !schema[keyword].is_null() && schema["x-kubernetes-int-or-string"].is_null() {
            violations.push(format!("has `{keyword}`"));
        }
    }
    if schema["type"] == "number" {
        violations.push("is a float".into());
    }
    if schema["format"]
        .as_str()
        .is_some_and(|format| format.starts_with("uint"))
    {
        violations.push("has an unsigned format, which the API server does not know".into());
    }
    if schema["additionalProperties"].is_boolean() {
        violations.push("has a boolean `additionalProperties`".into());
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        violations.push("keeps unknown fields, so that typing errors pass".into());
    }
    if schema["type"].is_null() && schema["x-kubernetes-int-or-string"].is_null() {
        violations.push("has no type".into());
    }
    violations
}

/// The bound that a field of ours lacks.
fn unbounded(schema: &Value) -> impl Iterator<Item = &'static str> {
    let lacks = |keyword: &str| schema[keyword].is_null();
    let kind = schema["type"].as_str().unwrap_or_default();
    let free_text = kind == "string" && lacks("enum") && schema["format"] != "date-time";
    [
        (free_text && lacks("maxLength"), "string without maxLength"),
        (kind == "array" && lacks("maxItems"), "array without maxItems"),
        (kind == "integer" && lacks("minimum"), "integer without minimum"),
        (kind == "integer" && lacks("maximum"), "integer without maximum"),
        (
            kind == "object" && !lacks("additionalProperties") && lacks("maxProperties"),
            "map without maxProperties",
        ),
        (
            kind == "object" && lacks("additionalProperties") && lacks("properties"),
            "object of unknown shape",
        ),
    ]
    .into_iter()
    .filter_map(|(found, what)| found.then_some(what))
}

fn root(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

#[test]
fn every_field_is_bounded_described_and_structural() {
    let mut exempted = BTreeSet::new();
    for (file, crd) in crd::all() {
        let findings = Findings::of(root(&crd));
        assert_eq!(findings.violations, Vec::<String>::new(), "{file}");
        exempted.extend(findings.exempted);
    }
    // An exemption that nothing needs would hide the next field of that name.
    let mut listed: BTreeSet<String> = CORE
        .iter()
        .chain(DESCRIBED_UPSTREAM)
        .map(|path| (*path).to_owned())
        .collect();
    listed.retain(|path| !exempted.contains(path));
    assert_eq!(listed, BTreeSet::new(), "exempted paths that do not exist");
}

#[test]
fn the_walk_finds_each_kind_of_violation() {
    let bad = json!({"type": "object", "properties": {"spec": {"type": "object", "description": "d", "properties": {
        "text": {"type": "string", "description": "d"},
        "list": {"type": "array", "description": "d", "items": {"type": "integer", "minimum": 0}},
        "map": {"type": "object", "description": "d", "additionalProperties": {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 1}},
        "float": {"type": "number", "description": "d"},
        "any": {"type": "object", "description": "d", "x-kubernetes-preserve-unknown-fields": true},
        "optional": {"type": "string", "maxLength": 1, "nullable": true},
        "closed": {"type": "object", "description": "d", "properties": {"a": {}}, "additionalProperties": false},
    }}}});
    let found = Findings::of(&bad).violations;
    let expected = [
        "spec.any: keeps unknown fields, so that typing errors pass",
        "spec.any: object of unknown shape",
        "spec.closed: has a boolean `additionalProperties`",
        "spec.closed: map without maxProperties",
        "spec.closed.a: has no type",
        "spec.closed.a: has no description",
        "spec.float: is a float",
        "spec.list: array without maxItems",
        "spec.list[]: integer without maximum",
        "spec.map: map without maxProperties",
        "spec.map{}: has an unsigned format, which the API server does not know",
        "spec.optional: has `nullable`",
        "spec.optional: has no description",
        "spec.text: string without maxLength",
    ];
    assert_eq!(found, expected);
}

#[test]
fn each_crd_fits_the_annotation_of_a_client_side_apply() {
    for (file, crd) in crd::all() {
        let bytes = crd.to_string().len();
        assert!(bytes < crd::MAX_CRD_BYTES, "{file} has {bytes} bytes");
    }
}

/// A bound that the API and the code both know is the same number.
#[test]
fn the_bounds_of_the_schema_are_those_of_the_code() {
    let crd = crd::curriculum_jobs();
    let job = &root(&crd)["properties"];
    let curriculum = &job["spec"]["properties"]["curriculum"]["properties"];
    let phase = &curriculum["phases"]["items"]["properties"];
    let filter = &job["spec"]["properties"]["dataset"]["properties"]["filter"];
    let status = &job["status"]["properties"];
    let dataset = &status["dataset"]["properties"];
    for (bound, code) in [
        (&curriculum["phases"]["maxItems"], plan::MAX_PHASES as u64),
        (&curriculum["batchSize"]["maximum"], plan::MAX_BATCH),
        (&phase["duration"]["properties"]["steps"]["maximum"], plan::MAX_STEPS),
        (&job["spec"]["properties"]["seed"]["maximum"], plan::MAX_EXACT),
        (&dataset["rows"]["maximum"], plan::MAX_EXACT),
        (&dataset["groups"]["maximum"], plan::MAX_GROUPS as u64),
        (&dataset["groupRows"]["maxItems"], plan::MAX_GROUPS as u64),
        (&filter["maxItems"], task::MAX_CONDITIONS as u64),
        (&status["metrics"]["maxItems"], contract::MAX_METRICS as u64),
        (
            &status["metrics"]["items"]["properties"]["name"]["maxLength"],
            contract::MAX_METRIC_NAME as u64,
        ),
    ] {
        assert_eq!(bound.as_f64(), Some(code as f64), "{bound}");
    }
}

#[test]
fn every_rule_says_what_is_right() {
    for (file, crd) in crd::all() {
        let mut messages = Vec::new();
        rules(&crd, &mut messages);
        assert!(!messages.is_empty(), "{file} has no rules");
        for message in messages {
            assert!(
                ["must", "may"].iter().any(|verb| message.contains(verb)),
                "{file}: {message}"
            );
        }
    }
}

fn rules(value: &Value, messages: &mut Vec<String>) {
    for rule in value["x-kubernetes-validations"].as_array().into_iter().flatten() {
        messages.push(
            rule["message"]
                .as_str()
                .unwrap_or_else(|| panic!("a rule without a message: {rule}"))
                .to_owned(),
        );
    }
    match value {
        Value::Object(map) => map.values().for_each(|value| rules(value, messages)),
        Value::Array(items) => items.iter().for_each(|value| rules(value, messages)),
        _ => {}
    }
}

#[test]
fn a_status_begins_unobserved() {
    let crd = crd::curriculum_jobs();
    assert_eq!(
        root(&crd)["properties"]["status"]["default"],
        json!({"observedGeneration": -1})
    );
}

#[test]
fn values_of_enumerations_are_explained() {
    let crd = crd::curriculum_jobs();
    let order = &root(&crd)["properties"]["spec"]["properties"]["curriculum"]["properties"]["order"];
    assert_eq!(order["enum"], json!(["EasyFirst", "HardFirst", "Random"]));
    let description = order["description"].as_str().unwrap();
    assert!(
        description.contains("- `HardFirst`: Highest score first."),
        "{description}"
    );
}

#[test]
fn the_written_reference_is_that_of_the_types() {
    let output = Command::new(env!("CARGO_BIN_EXE_curriculum"))
        .args(["api-docs", "--check", concat!(env!("CARGO_MANIFEST_DIR"), "/docs")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_written_files_are_those_that_the_types_give() {
    let output = Command::new(env!("CARGO_BIN_EXE_curriculum"))
        .args(["crds", "--check", concat!(env!("CARGO_MANIFEST_DIR"), "/crds")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (file, crd) in crd::all() {
        let text = std::fs::read_to_string(format!("{}/crds/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, crd, "{file} reads back differently");
    }
}
