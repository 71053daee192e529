//! Argo CD's health script and kstatus (Flux, kpt) must say the same of every status: `health.yaml`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mlua::{Lua, LuaSerdeExt};
use serde::Deserialize;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../../config/argocd/health.lua");
const GENERATION: i64 = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `status.observedGeneration`.
    observed: i64,
    #[serde(default, rename = "true")]
    holds: Vec<String>,
    #[serde(default, rename = "false")]
    fails: Vec<String>,
    kstatus: String,
    argo: Value,
}

impl Case {
    fn object(&self) -> Value {
        let condition = |kind: &String, status: &str| json!({"type": kind, "status": status, "message": kind});
        let holds = self.holds.iter().map(|kind| condition(kind, "True"));
        let conditions: Vec<Value> = holds
            .chain(self.fails.iter().map(|kind| condition(kind, "False")))
            .collect();
        json!({
            "metadata": {"name": "digits", "generation": GENERATION}, "spec": {},
            "status": {"observedGeneration": self.observed, "conditions": conditions},
        })
    }
}

fn cases() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("health.yaml")).unwrap()
}

/// Argo CD runs a script with `obj` set; what it returns is the health.
fn argo(object: &Value) -> Value {
    let lua = Lua::new();
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let health: mlua::Value = lua.load(SCRIPT).eval().unwrap();
    lua.from_value(health).unwrap()
}

/// The generic part of kstatus (cli-utils, `pkg/kstatus/status/generic.go`): the generation, then the first of
/// `Reconciling` and `Stalled` that holds, then `Ready`.
fn kstatus(object: &Value) -> &'static str {
    let status = &object["status"];
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    let conditions = status["conditions"].as_array().unwrap();
    for condition in conditions {
        match (
            condition["type"].as_str().unwrap(),
            condition["status"].as_str().unwrap(),
        ) {
            ("Reconciling", "True") => return "InProgress",
            ("Stalled", "True") => return "Failed",
            _ => {}
        }
    }
    match conditions.iter().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] != "True" => "InProgress",
        _ => "Current",
    }
}

#[test]
fn every_reader_of_health_says_what_is_documented() {
    for case in cases() {
        let object = case.object();
        assert_eq!(argo(&object), case.argo, "{}", case.name);
        assert_eq!(kstatus(&object), case.kstatus, "{}", case.name);
    }
}

/// Of what the operator writes: once it has seen the spec there is always a Ready condition.
#[test]
fn argo_and_kstatus_agree() {
    for case in cases()
        .iter()
        .filter(|case| case.observed != GENERATION || !case.fails.is_empty())
    {
        let object = case.object();
        let expected = match kstatus(&object) {
            "Current" => &["Healthy"][..],
            "Failed" => &["Degraded"],
            _ => &["Progressing", "Suspended"],
        };
        let health = argo(&object);
        assert!(
            expected.contains(&health["status"].as_str().unwrap()),
            "{}: {health}",
            case.name
        );
    }
}

#[test]
fn an_object_without_a_status_is_in_progress() {
    let health = argo(&json!({"metadata": {"name": "digits", "generation": 1}, "spec": {}}));
    assert_eq!(health["status"], "Progressing");
}
