//! Schemas for kubeconform from an API server's own OpenAPI document, so that nothing has to be downloaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Kinds that our manifests may have.
const KINDS: [&str; 15] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CurriculumJob",
    "CustomResourceDefinition",
    "Deployment",
    "Job",
    "Namespace",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
];

/// Writes `<kind>-<group's first part>-<version>.json` for each kind, closed against unknown fields.
pub(crate) fn write(openapi: &Value, dir: &Path) {
    let definitions = openapi["definitions"].as_object().unwrap();
    let mut written = BTreeSet::new();
    for (name, definition) in definitions {
        for gvk in definition["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let [group, version, kind] = ["group", "version", "kind"].map(|field| gvk[field].as_str().unwrap());
            if KINDS.contains(&kind) {
                let group = group.split('.').next().filter(|part| !part.is_empty());
                let parts: Vec<_> = [Some(kind), group, Some(version)]
                    .into_iter()
                    .flatten()
                    .map(str::to_lowercase)
                    .collect();
                fs::write(
                    dir.join(parts.join("-") + ".json"),
                    closed(definitions, name).to_string(),
                )
                .unwrap();
                written.insert(kind);
            }
        }
    }
    assert!(
        KINDS.iter().all(|kind| written.contains(kind)),
        "the API server has no schema of some of {KINDS:?}"
    );
}

/// The definition with all that it refers to.
fn closed(definitions: &Map<String, Value>, root: &str) -> Value {
    let mut found = Map::new();
    let mut open = vec![root.to_owned()];
    while let Some(name) = open.pop() {
        if !found.contains_key(&name) {
            let mut definition = definitions[&name].clone();
            strict(&mut definition);
            references(&definition, &mut open);
            found.insert(name, definition);
        }
    }
    json!({"$ref": format!("#/definitions/{root}"), "definitions": found})
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            let reference = map.get("$ref").and_then(Value::as_str);
            found.extend(
                reference
                    .and_then(|name| name.strip_prefix("#/definitions/"))
                    .map(str::to_owned),
            );
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Refuses unknown fields, and lets pass the numbers that YAML has where Kubernetes reads an integer or a string.
fn strict(schema: &mut Value) {
    let Value::Object(map) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(strict);
        }
        return;
    };
    if map.get("format").is_some_and(|format| format == "int-or-string") || is_quantity(map) {
        map.insert("type".into(), json!(["string", "number"]));
        map.remove("format");
    }
    if map.get("properties").is_some_and(Value::is_object)
        && !map.contains_key("additionalProperties")
        && !map.contains_key("x-kubernetes-preserve-unknown-fields")
    {
        map.insert("additionalProperties".into(), json!(false));
    }
    map.values_mut().for_each(strict);
}

fn is_quantity(map: &Map<String, Value>) -> bool {
    let description = map.get("description").and_then(Value::as_str).unwrap_or_default();
    map.get("type").is_some_and(|of| of == "string") && description.starts_with("Quantity is a fixed-point")
}
