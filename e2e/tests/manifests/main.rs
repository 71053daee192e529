//! The Helm chart, the kustomize manifests, the CRDs and the samples, as people apply them: helm, kubectl and kubeconform
//! run for real, against the schemas of a real API server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod schemas;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use curriculum_operator::api::names;
use curriculum_operator::cli::Cli;
use e2e::api_server::{ApiServer, binaries};
use serde_json::{Value, json};

/// Values that turn every branch of the templates the other way.
const VARIANTS: [(&str, &str); 3] = [
    (
        "everything set",
        r#"{image: {repository: example.com/team/operator, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullPolicy: Always},
            imagePullSecrets: [{name: registry}], serviceAccount: {name: own, annotations: {a: b}}, log: {format: text, filter: "warn,curriculum_operator=debug"},
            metrics: {service: {port: 9090, annotations: {prometheus.io/scrape: "true"}}}, podAnnotations: {a: b}, podLabels: {team: ml},
            nodeSelector: {pool: system}, tolerations: [{key: a, operator: Exists}], priorityClassName: high,
            affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}},
            replicas: 3, watchNamespace: team-a, concurrency: 4, networkPolicy: {trainingNamespaces: [team-a, team-b], metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]},
            resources: {requests: {cpu: 1}}, fullnameOverride: short}"#,
    ),
    (
        "everything off",
        "{crds: {enabled: false}, rbac: {create: false, aggregate: false}, serviceAccount: {create: false}, metrics: {service: {enabled: false}}, networkPolicy: {enabled: false}, podDisruptionBudget: {enabled: false}}",
    ),
    (
        "CRDs go with the release",
        "{crds: {keep: false}, image: {tag: dev}, nameOverride: other}",
    ),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program from the repository's root, and gives what it wrote to standard output, or else to both.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let path = binaries().join(program);
    let output = Command::new(&path)
        .args(arguments)
        .current_dir(repository())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `e2e/cluster/cluster build` makes it", path.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    }
}

/// The chart with these values, as `helm template` prints it.
fn render(values: &str) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), values).unwrap();
    let values = file.path().to_str().unwrap();
    let chart = "charts/curriculum-operator";
    run(
        "helm",
        &[
            "template",
            "curriculum-operator",
            chart,
            "--namespace=curriculum-system",
            "--values",
            values,
        ],
    )
}

fn kustomize() -> String {
    run("kubectl", &["kustomize", "config/default"]).unwrap()
}

/// The documents by kind and name.
fn objects(yaml: &str) -> BTreeMap<String, Value> {
    let documents = serde_saphyr::from_multiple::<Value>(yaml).unwrap_or_else(|error| panic!("{error}"));
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|object| {
            let key = format!(
                "{} {}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            );
            (key, object)
        })
        .collect()
}

/// The objects without what only one of the two tools adds.
fn comparable(yaml: &str) -> BTreeMap<String, Value> {
    let mut objects = objects(yaml);
    objects.retain(|key, _| !key.starts_with("Namespace "));
    for object in objects.values_mut() {
        let metadata = object["metadata"].as_object_mut().unwrap();
        for (map, tools) in [
            ("labels", vec!["app.kubernetes.io/", "helm.sh/"]),
            ("annotations", vec!["helm.sh/"]),
        ] {
            if let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) {
                entries.retain(|name, _| !tools.iter().any(|prefix| name.starts_with(prefix)));
                if entries.is_empty() {
                    metadata.remove(map);
                }
            }
        }
    }
    objects
}

#[test]
fn the_chart_passes_lint() {
    run("helm", &["lint", "--strict", "charts/curriculum-operator"]).unwrap();
}

#[test]
fn helm_and_kustomize_install_the_same_objects() {
    let (helm, kustomize) = (comparable(&render("{}").unwrap()), comparable(&kustomize()));
    assert_eq!(helm.keys().collect::<Vec<_>>(), kustomize.keys().collect::<Vec<_>>());
    for (key, object) in &helm {
        assert_eq!(
            object, &kustomize[key],
            "{key} differs: helm on the left, kustomize on the right"
        );
    }
    assert_eq!(helm.len(), 13, "{:?}", helm.keys());
}

#[test]
fn a_typo_in_the_values_is_refused_by_name() {
    for (values, name) in [
        ("{replica: 2}", "replica"),
        ("{replicas: 0}", "replicas"),
        ("{concurrency: many}", "concurrency"),
        ("{podDisruptionBudget: {minAvailable: 1}}", "minAvailable"),
        ("{image: {repositry: a}}", "repositry"),
        ("{image: {repository: a, tag: 'a b'}}", "tag"),
        ("{crds: {enable: true}}", "enable"),
        ("{crds: {enabled: 'yes'}}", "enabled"),
        ("{log: {format: xml}}", "format"),
        ("{metrics: {service: {port: 70000}}}", "port"),
        ("{serviceAccount: {anotations: {}}}", "anotations"),
        ("{rbac: {aggregated: true}}", "aggregated"),
        ("{resources: {request: {}}}", "request"),
        ("{tolerations: [{kye: a}]}", "kye"),
        ("{networkPolicy: {namespaces: [a]}}", "namespaces"),
        ("{networkPolicy: {metricsFrom: [{podSelecter: {}}]}}", "podSelecter"),
        ("{podLabels: {a: 1}}", "podLabels"),
    ] {
        let message = render(values).expect_err(values);
        assert!(
            message.contains("schema") && message.contains(name),
            "{values}: {message}"
        );
    }
}

#[test]
fn values_reach_the_objects() {
    let [everything, off, leaving] =
        VARIANTS.map(|(name, values)| objects(&render(values).unwrap_or_else(|e| panic!("{name}: {e}"))));
    let deployment = &everything["Deployment short"];
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let image = "example.com/team/operator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_eq!(container["image"], image);
    let value = |name: &str| {
        container["env"]
            .as_array()
            .unwrap()
            .iter()
            .find(|e| e["name"] == name)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(value("CURRICULUM_IMAGE"), image);
    assert_eq!(value("CURRICULUM_IMAGE_PULL_POLICY"), "Always");
    assert_eq!(container["args"][2], "--log-format=text");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(everything["PodDisruptionBudget short"]["spec"]["minAvailable"], 1);
    let args = container["args"].as_array().unwrap();
    for argument in ["--watch-namespace=team-a", "--concurrency=4", "--lease-name=short"] {
        assert!(args.contains(&json!(argument)), "{args:?}");
    }
    assert_eq!(pod["serviceAccountName"], "own");
    assert_eq!(everything["ClusterRoleBinding short"]["subjects"][0]["name"], "own");
    assert_eq!(everything["Service short-metrics"]["spec"]["ports"][0]["port"], 9090);

    assert_eq!(off.keys().collect::<Vec<_>>(), ["Deployment curriculum-operator"]);
    let crd = "CustomResourceDefinition curriculumjobs.curriculum.dev";
    assert_eq!(leaving[crd]["metadata"].get("annotations"), None);
    assert_eq!(
        everything[crd]["metadata"]["annotations"],
        json!({"helm.sh/resource-policy": "keep"})
    );
    assert_eq!(
        leaving["Deployment curriculum-operator-other"]["spec"]["template"]["spec"]["containers"][0]["image"],
        "curriculum-operator:dev"
    );
}

/// The sampler's status is for the operator and who is named; the trainer's port for nobody.
#[test]
fn samplers_are_reached_only_by_the_operator_and_who_scrapes() {
    let all = objects(&render(VARIANTS[0].1).unwrap());
    let by_hand = objects(&run("kubectl", &["kustomize", "config/network-policy"]).unwrap());
    let by_hand = &by_hand["NetworkPolicy curriculum-operator-training"]["spec"];
    let policy = &all["NetworkPolicy short-training"];
    assert!(
        ["team-a", "team-b"]
            .map(Value::from)
            .contains(&policy["metadata"]["namespace"])
    );
    let spec = &policy["spec"];
    for spec in [spec, by_hand] {
        let labels = &spec["podSelector"]["matchLabels"];
        assert_eq!(labels[names::LABEL_COMPONENT], "train");
        assert_eq!(labels[names::LABEL_MANAGED_BY], "curriculum-operator");
        assert_eq!(
            spec["ingress"][0]["ports"],
            json!([{"port": names::SAMPLER_STATUS_PORT, "protocol": "TCP"}])
        );
        for port in [names::SAMPLER_PORT, names::SAMPLER_STATUS_PORT] {
            let open = spec["ingress"][1]["ports"].as_array().unwrap().iter().any(|range| {
                let (from, to) = (range["port"].as_u64().unwrap(), range["endPort"].as_u64().unwrap());
                range["protocol"] == "TCP" && (from..=to).contains(&u64::from(port))
            });
            assert!(!open, "{port} is open to everybody");
        }
    }
    let from = spec["ingress"][0]["from"].as_array().unwrap();
    assert_eq!(from.len(), 2, "{from:?}");
    let operator = &all["Deployment short"]["spec"]["selector"]["matchLabels"];
    assert_eq!(&from[0]["podSelector"]["matchLabels"], operator);
    assert_eq!(
        from[1]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "monitoring"
    );
    assert!(all.contains_key("NetworkPolicy short"));
}

#[test]
fn the_operator_understands_its_arguments() {
    for values in ["{}", VARIANTS[0].1] {
        let all = objects(&render(values).unwrap());
        let deployment = all.values().find(|object| object["kind"] == "Deployment").unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| argument.as_str().unwrap());
        // What the environment says, as the options that stand for it.
        let environment = container["env"].as_array().unwrap().iter().map(|entry| {
            let option = entry["name"]
                .as_str()
                .unwrap()
                .trim_start_matches("CURRICULUM_")
                .to_lowercase()
                .replace('_', "-");
            // What the kubelet fills in is a name.
            format!("--{option}={}", entry["value"].as_str().unwrap_or("name"))
        });
        let line = std::iter::once("curriculum".to_owned())
            .chain(arguments.map(str::to_owned))
            .chain(environment);
        Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn no_role_has_a_wildcard_and_only_who_may_start_pods_may_write_jobs() {
    let all = objects(&kustomize());
    let roles: Vec<_> = all.values().filter(|object| object["kind"] == "ClusterRole").collect();
    assert_eq!(roles.len(), 3);
    for role in roles {
        assert!(!role["rules"].to_string().contains('*'), "{role}");
        let writes = role["rules"]
            .as_array()
            .unwrap()
            .iter()
            .any(|rule| rule["verbs"].as_array().unwrap().contains(&json!("create")));
        let label = |to: &str| {
            role["metadata"]["labels"]
                .get(format!("rbac.authorization.k8s.io/aggregate-to-{to}"))
                .is_some()
        };
        assert!(!(writes && label("view")), "{role}");
    }
}

#[tokio::test]
async fn every_manifest_conforms_to_the_schemas() {
    let server = ApiServer::shared().await.unwrap();
    let api = server.kubectl().args(["get", "--raw", "/openapi/v2"]).output().unwrap();
    let dir = tempfile::tempdir().unwrap();
    schemas::write(&serde_json::from_slice(&api.stdout).unwrap(), dir.path());
    for (name, values) in VARIANTS.into_iter().chain([("defaults", "{}")]) {
        fs::write(dir.path().join(format!("chart, {name}.yaml")), render(values).unwrap()).unwrap();
    }
    fs::write(dir.path().join("kustomize.yaml"), kustomize()).unwrap();
    let location = format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", dir.path().display());
    let manifests = dir.path().to_str().unwrap();
    let conform = |paths: &[&str]| {
        let options = [
            "-strict",
            "-summary",
            "-output=text",
            "-ignore-filename-pattern=\\.json$",
            "-schema-location",
            &location,
        ];
        run("kubeconform", &[&options, paths].concat())
    };
    let summary = conform(&["crds", "config/samples", manifests]).unwrap_or_else(|message| panic!("{message}"));
    assert!(summary.contains("Invalid: 0, Errors: 0, Skipped: 0"), "{summary}");

    let wrong = dir.path().join("wrong.yaml");
    fs::write(
        &wrong,
        render("{}")
            .unwrap()
            .replace("topologySpreadConstraints:", "topologySpreadConstrains:"),
    )
    .unwrap();
    let message = conform(&[wrong.to_str().unwrap()]).expect_err("the schemas are strict");
    assert!(message.contains("topologySpreadConstrains"), "{message}");
}

#[tokio::test]
async fn the_operators_pod_is_admitted_where_pods_are_restricted() {
    let server = ApiServer::shared().await.unwrap();
    server.namespace("restricted-operator").await.unwrap();
    let kubectl = |arguments: &[&str]| {
        let output = server.kubectl().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    kubectl(&[
        "label",
        "namespace",
        "restricted-operator",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    let deployment = &objects(&render("{}").unwrap())["Deployment curriculum-operator"];
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": deployment["spec"]["template"]["spec"]});
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pod.to_string()).unwrap();
    kubectl(&[
        "create",
        "--namespace=restricted-operator",
        "--dry-run=server",
        "--filename",
        file.path().to_str().unwrap(),
    ]);
}

#[test]
fn the_charts_copies_of_the_crds_are_current() {
    for entry in fs::read_dir(repository().join("crds")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let copy = repository()
                .join("charts/curriculum-operator/files/crds")
                .join(path.file_name().unwrap());
            let texts = [&path, &copy]
                .map(|path| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
            assert!(
                texts[0] == texts[1],
                "{} is not a copy of {}: run `make generate`",
                copy.display(),
                path.display()
            );
        }
    }
}
