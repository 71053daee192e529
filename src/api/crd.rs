//! The finished CustomResourceDefinitions: what the derive macro makes of the types, plus what no attribute on a type
//! can say: rules that need `metadata` or `status` beside `spec`, the default of `status`, and the meaning of each value
//! of an enumeration.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    job::{CurriculumJob, CurriculumJobSpec},
    snapshot::{CurriculumSnapshot, CurriculumSnapshotSpec},
    status::CurriculumJobStatus,
};

/// Most bytes that an annotation may have, and with it a CRD that is to be applied by a client-side `kubectl apply`.
pub const MAX_CRD_BYTES: usize = 262_144;

/// The CRD of `CurriculumJob` as JSON.
pub fn curriculum_jobs() -> Value {
    let mut crd = as_json(&CurriculumJob::crd());
    let root = root_schema(&mut crd);
    finish(
        root,
        &[
            ("spec", raw::<CurriculumJobSpec>()),
            ("status", raw::<CurriculumJobStatus>()),
        ],
    );
    // kstatus compares this with metadata.generation: before the first reconcile the job is in progress, not current.
    root["properties"]["status"]["default"] = json!({"observedGeneration": -1});
    // Named here, so that the rules about the name can point at it.
    root["properties"]["metadata"] = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    root["x-kubernetes-validations"] = Value::Array(job_rules());
    crd
}

/// The CRD of `CurriculumSnapshot` as JSON.
pub fn curriculum_snapshots() -> Value {
    let mut crd = as_json(&CurriculumSnapshot::crd());
    finish(root_schema(&mut crd), &[("spec", raw::<CurriculumSnapshotSpec>())]);
    crd
}

/// Every CRD of this project with the name of its file in `crds/`.
pub fn all() -> [(&'static str, Value); 2] {
    [
        ("curriculum.dev_curriculumjobs.yaml", curriculum_jobs()),
        ("curriculum.dev_curriculumsnapshots.yaml", curriculum_snapshots()),
    ]
}

/// What cannot change once the run has started, and what can.
const FROZEN: [&str; 5] = ["seed", "dataset", "scoring", "store", "curriculum"];

fn job_rules() -> Vec<Value> {
    const NOT_STARTED: &str = "!has(oldSelf.status) || !has(oldSelf.status.startTime)";
    let mut rules = vec![json!({
        "rule": "self.metadata.name.size() <= 40",
        "message": "`metadata.name` must be at most 40 characters, because child objects' names are made from it",
        "fieldPath": ".metadata.name",
    })];
    rules.push(json!({
        "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "message": "`metadata.name` must consist of lower case letters, digits and '-', without '.', because pods' host names are made from it",
        "fieldPath": ".metadata.name",
    }));
    rules.extend(FROZEN.map(|field| {
        json!({
            "rule": format!("{NOT_STARTED} || self.spec.{field} == oldSelf.spec.{field}"),
            "message": format!(
                "`{field}` must not be changed once the run has started; `suspend`, `ttlSecondsAfterFinished` and `snapshots` \
                 may be changed at any time, and `training` while `suspend` is true"
            ),
            "fieldPath": format!(".spec.{field}"),
        })
    }));
    rules.push(json!({
        "rule": format!("{NOT_STARTED} || oldSelf.spec.suspend || self.spec.suspend || self.spec.training == oldSelf.spec.training"),
        "message": "once the run has started, `training` may be changed only while `suspend` is true; set `suspend` to true first",
        "fieldPath": ".spec.training",
    }));
    rules
}

#[expect(clippy::expect_used, reason = "plain structs with string keys always serialise")]
fn as_json(crd: &CustomResourceDefinition) -> Value {
    serde_json::to_value(crd).expect("a CRD is JSON")
}

#[expect(
    clippy::expect_used,
    reason = "the derive macro always writes one version with a schema"
)]
fn root_schema(crd: &mut Value) -> &mut Value {
    crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .expect("one version with a schema")
}

/// The schema as schemars sees the type, before kube drops the descriptions of an enumeration's values.
fn raw<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

fn finish(root: &mut Value, raw: &[(&str, Value)]) {
    tidy(root);
    for (property, raw) in raw {
        describe_values(&mut root["properties"][property], raw);
    }
}

/// An absent field and `null` are not two values to us: `nullable` goes. Whole numbers lose their `.0`.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            // `nullable` may also be the name of a property; there its value is a schema, not a boolean.
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) if number.is_f64() => {
            // i64 holds every bound that a double can state exactly, so that the conversion loses nothing.
            if let Some(whole) = number
                .as_f64()
                .filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0)
            {
                *schema = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

/// Appends the meaning of each value of an enumeration to the field's description, for `kubectl explain`.
fn describe_values(schema: &mut Value, raw: &Value) {
    let field_description = raw.get("description");
    let raw = present(raw);
    if let Some(values) = documented_values(raw)
        && let Some(map) = schema.as_object_mut()
    {
        // For an optional field, kube puts the type's description in place of the field's.
        if let Some(description) = field_description {
            map.insert("description".into(), description.clone());
        }
        append_description(map, &values);
    }
    if let Some(raw_items) = raw.get("items")
        && let Some(items) = schema.get_mut("items")
    {
        describe_values(items, raw_items);
    }
    if let Some(raw_properties) = raw.get("properties").and_then(Value::as_object)
        && let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut)
    {
        for (name, property) in properties {
            if let Some(raw) = raw_properties.get(name) {
                describe_values(property, raw);
            }
        }
    }
}

/// The schema of `T` within the schema of `Option<T>`.
fn present(raw: &Value) -> &Value {
    raw.get("anyOf")
        .and_then(Value::as_array)
        .and_then(|any| any.first())
        .unwrap_or(raw)
}

/// `(value, meaning)` of each value, when the type documents them.
fn documented_values(raw: &Value) -> Option<Vec<(String, String)>> {
    let documented = raw.get("oneOf")?.as_array()?.iter().map(|variant| {
        let value = variant.get("enum")?.get(0)?.as_str()?;
        let meaning = variant.get("description")?.as_str()?;
        Some((value.to_owned(), meaning.to_owned()))
    });
    documented.collect()
}

fn append_description(map: &mut Map<String, Value>, values: &[(String, String)]) {
    let mut text = map
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for (value, meaning) in values {
        text.push_str(&format!("\n\n- `{value}`: {meaning}"));
    }
    map.insert("description".into(), text.trim_start().into());
}
