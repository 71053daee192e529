//! Schema helpers: embedded `core/v1` types without their descriptions, and bounds for types that are not ours.

use k8s_openapi::api::core::v1::EnvVar;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// Schema of a `core/v1` type without descriptions, so that the CRD stays small enough for client-side apply.
pub fn core<T: JsonSchema>(_: &mut SchemaGenerator) -> Schema {
    // A generator of its own, with everything inlined: `$ref` is not allowed in a structural schema.
    let settings = schemars::generate::SchemaSettings::openapi3().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(strip_descriptions);
        object.remove("description");
    }
    schema
}

/// A list of a `core/v1` type, at most 64 long.
pub fn core_list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": core::<T>(generator)})
}

/// Environment of a container scorer.
pub fn env_list(generator: &mut SchemaGenerator) -> Schema {
    let mut item = core::<EnvVar>(generator);
    if let Some(name) = item.pointer_mut("/properties/name").and_then(Value::as_object_mut) {
        name.insert("maxLength".into(), 256.into());
        name.insert("minLength".into(), 1.into());
    }
    json_schema!({"type": "array", "maxItems": 256, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-validations": [{
            "rule": "!self.exists(e, e.name.startsWith('CURRICULUM_'))",
            "message": "names that start with 'CURRICULUM_' are set by the operator and must not be set here"}]})
}

/// A map of label keys to label values.
pub fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 63}})
}

/// `metav1.Condition`s, at most 16, one per type.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type", "status", "reason", "message", "lastTransitionTime"], "properties": {
            "type": {"type": "string", "maxLength": 64},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
            "message": {"type": "string", "maxLength": 4096},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 9_007_199_254_740_991_i64},
            "lastTransitionTime": {"type": "string", "format": "date-time"}}}})
}

/// An RFC 3339 time.
pub fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

fn strip_descriptions(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // `description` may also be the name of a property; there its value is a schema, not a string.
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_descriptions),
        _ => {}
    }
}
