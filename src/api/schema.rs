//! Schema helpers: embedded `core/v1` types without their descriptions, and bounds for types that are not ours.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, PodTemplateSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Greatest count in the API: the largest integer that a double, and with it any JSON reader, holds exactly.
pub const MAX_COUNT: i64 = 9_007_199_254_740_991;

/// Schema of a `core/v1` type without descriptions, so that the CRD stays small enough for client-side apply. Its title
/// is the type's full name, such as `io.k8s.api.core.v1.PodTemplateSpec`.
pub fn core<T: JsonSchema>(_: &mut SchemaGenerator) -> Schema {
    // A generator of its own, with everything inlined: `$ref` is not allowed in a structural schema.
    let settings = schemars::generate::SchemaSettings::openapi3().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(strip_descriptions);
        object.remove("description");
        object.insert("title".into(), T::schema_name().into());
    }
    schema
}

/// A path of a file on the data set's volume.
pub fn path_on_volume(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 512, "x-kubernetes-validations": [
        {"rule": "!self.startsWith('/') && !self.split('/').exists(s, s == '..')",
         "message": "must be a path relative to the root of the data set's volume, without '..'"}
    ]})
}

/// Rules of a file on the data set's volume whose lines are joined to rows.
pub fn joined_file_rules() -> Value {
    json!([
        {"rule": "has(self.format) || self.path.matches('[.](parquet|(csv|tsv|jsonl|ndjson)([.](gz|zst))?)$')",
         "message": "`path` must end in '.parquet', '.csv', '.tsv', '.jsonl' or '.ndjson', of text also with '.gz' or '.zst' behind it, or `format` must be set", "fieldPath": ".path"},
        {"rule": "!has(self.rowColumn) || !has(self.idColumn)",
         "message": "at most one of `rowColumn` and `idColumn` may be set", "fieldPath": ".rowColumn"},
        {"rule": "!has(self.datasetIdColumn) || has(self.idColumn)",
         "message": "`datasetIdColumn` must be left out without `idColumn`", "fieldPath": ".datasetIdColumn"}
    ])
}

/// A list of a `core/v1` type, at most 64 long.
pub fn core_list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": core::<T>(generator)})
}

/// Kinds of volumes whose drivers are in no Kubernetes that this operator runs on, although the API still has their fields: without
/// them the CRD stays within its size.
const REMOVED_VOLUMES: [&str; 9] = [
    "cephfs",
    "flocker",
    "gitRepo",
    "glusterfs",
    "photonPersistentDisk",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
];

/// The pod template of the trainer, with the bounds and rules that the sampler beside it needs.
///
/// Of `metadata` only labels and annotations mean anything in a template. `creationTimestamp` stays, because clients
/// that print templates write it as `null`.
pub fn pod_template(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = core::<PodTemplateSpec>(generator);
    if let Some(properties) = schema
        .pointer_mut("/properties/metadata/properties")
        .and_then(Value::as_object_mut)
    {
        properties.retain(|name, _| matches!(name.as_str(), "annotations" | "labels" | "creationTimestamp"));
    }
    if let Some(properties) = schema
        .pointer_mut("/properties/spec/properties")
        .and_then(Value::as_object_mut)
    {
        // Kubernetes takes these only into running pods.
        properties.remove("ephemeralContainers");
    }
    if let Some(volumes) = schema
        .pointer_mut("/properties/spec/properties/volumes/items/properties")
        .and_then(Value::as_object_mut)
    {
        volumes.retain(|name, _| !REMOVED_VOLUMES.contains(&name.as_str()));
    }
    for list in ["containers", "initContainers"] {
        bound_containers(&mut schema, list);
    }
    schema.insert("x-kubernetes-validations".into(), template_rules());
    schema
}

/// Bounds without which the rules over all containers would have no bounded cost.
fn bound_containers(template: &mut Schema, list: &str) {
    let bounds: [(&str, &[(&str, u64)]); 6] = [
        ("", &[("maxItems", 32)]),
        ("/items/properties/name", &[("maxLength", 63)]),
        ("/items/properties/env", &[("maxItems", 512)]),
        ("/items/properties/env/items/properties/name", &[("maxLength", 256)]),
        ("/items/properties/volumeMounts", &[("maxItems", 64)]),
        (
            "/items/properties/volumeMounts/items/properties/mountPath",
            &[("maxLength", 512)],
        ),
    ];
    for (path, limits) in bounds {
        let pointer = format!("/properties/spec/properties/{list}{path}");
        if let Some(field) = template.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            field.extend(
                limits
                    .iter()
                    .map(|(keyword, limit)| ((*keyword).to_owned(), Value::from(*limit))),
            );
        }
    }
}

fn template_rules() -> Value {
    let of_all = |predicate: &str| {
        format!(
            "!has(self.spec) || self.spec.containers.all(c, {predicate}) && \
             (!has(self.spec.initContainers) || self.spec.initContainers.all(c, {predicate}))"
        )
    };
    json!([
        {"rule": "has(self.spec) && self.spec.containers.size() > 0",
         "message": "`spec.containers` must hold the trainer: the container named 'trainer', else the first"},
        {"rule": of_all("c.name != 'sampler'"),
         "message": "no container may be named 'sampler': the operator adds the sampler under that name"},
        {"rule": of_all("!has(c.env) || !c.env.exists(e, e.name.startsWith('CURRICULUM_'))"),
         "message": "environment variables whose names begin with 'CURRICULUM_' are set by the operator and must not be set here"},
        {"rule": of_all("!has(c.volumeMounts) || !c.volumeMounts.exists(m, m.mountPath == '/curriculum' || m.mountPath.startsWith('/curriculum/'))"),
         "message": "`mountPath` must not be '/curriculum' or below it: the operator mounts the data set and the checkpoint there"},
        {"rule": "!has(self.spec) || !has(self.spec.restartPolicy) || self.spec.restartPolicy == 'Never'",
         "message": "`spec.restartPolicy` must be absent or 'Never': retries are counted by `training.backoffLimit`"},
    ])
}

/// Environment of a container scorer.
pub fn env_list(generator: &mut SchemaGenerator) -> Schema {
    let mut item = core::<EnvVar>(generator);
    if let Some(name) = item.pointer_mut("/properties/name").and_then(Value::as_object_mut) {
        name.insert("maxLength".into(), 256.into());
        name.insert("minLength".into(), 1.into());
    }
    if let Some(value) = item.pointer_mut("/properties/value").and_then(Value::as_object_mut) {
        value.insert("maxLength".into(), 32_768.into());
    }
    json_schema!({"type": "array", "maxItems": 256, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-validations": [{
            "rule": "!self.exists(e, e.name.startsWith('CURRICULUM_'))",
            "message": "names that start with 'CURRICULUM_' are set by the operator and must not be set here"}]})
}

/// Secrets and ConfigMaps whose keys become variables of a container scorer.
pub fn env_from_list(generator: &mut SchemaGenerator) -> Schema {
    let mut item = core::<EnvFromSource>(generator);
    if let Some(prefix) = item.pointer_mut("/properties/prefix").and_then(Value::as_object_mut) {
        prefix.insert("maxLength".into(), 256.into());
    }
    json_schema!({"type": "array", "maxItems": 16, "items": item, "x-kubernetes-validations": [
        {"rule": "self.all(e, [has(e.secretRef), has(e.configMapRef)].exists_one(x, x))",
         "message": "each must have exactly one of `secretRef` and `configMapRef`"},
        {"rule": "!self.exists(e, has(e.prefix) && e.prefix.startsWith('CURRICULUM_'))",
         "message": "`prefix` must not begin with 'CURRICULUM_': such names are set by the operator"}]})
}

/// Name of an object in the namespace of the job.
pub fn object_name(_: &mut SchemaGenerator) -> Schema {
    const PATTERN: &str = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$";
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": PATTERN, "x-kubernetes-validations": [{
        "rule": format!("self.matches('{PATTERN}')"),
        "message": "must be the name of an object in the job's namespace: lower case letters, digits, '-' and '.'"}]})
}

/// Base URL of an object store's server.
pub fn endpoint(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 512, "x-kubernetes-validations": [{
        "rule": "self.matches('^https?://[^/@?#\\\\s]+(/[^@?#\\\\s]*)?$')",
        "message": "must be a URL such as 'https://minio.example.com', without user, password, '?' and white space"}]})
}

/// Region of a bucket.
pub fn region(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9-]+$"})
}

/// A size of memory greater than 0, in the notation of quantities.
pub fn memory_size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 32, "x-kubernetes-validations": [{
        "rule": "self.matches('^[0-9]+([.][0-9]+)?([KMGTPE]i|[kMGTPE])?$') && !self.matches('^0+([.]0+)?[A-Za-z]*$')",
        "message": "must be a size of memory greater than 0, such as '1Gi' or '512Mi'"}]})
}

/// A map of label keys to label values.
pub fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 63}})
}

/// Labels for pods that the operator labels too.
pub fn own_labels(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = label_map(generator);
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{
            "rule": "self.all(key, !key.matches('^(app[.]kubernetes[.]io|batch[.]kubernetes[.]io|curriculum[.]dev)/'))",
            "message": "must not have keys that begin with 'app.kubernetes.io/', 'batch.kubernetes.io/' or 'curriculum.dev/': those are the operator's",
        }]),
    );
    schema
}

/// Annotations.
pub fn annotation_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 1024}})
}

/// `metav1.Condition`s, at most 16, one per type.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "description": "What is true of the job now (`metav1.Condition`).", "properties": {
            "type": {"type": "string", "maxLength": 64, "description": "One of the documented types."},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Is it so?"},
            "reason": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                "description": "Why, as one of the documented reasons."},
            "message": {"type": "string", "maxLength": 4096, "description": "Why, in words; empty where the reason says it all."},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_COUNT,
                "description": "Generation of the spec that the condition speaks of."},
            "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."}}}})
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
