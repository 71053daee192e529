//! What happened in a namespace, written down for whoever has to find out why a test failed.

use std::fmt::Write;

use curriculum_operator::api::job::CurriculumJob;
use curriculum_operator::api::snapshot::CurriculumSnapshot;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::OPERATOR_NAMESPACE;

/// Lines kept of each log.
const LOG_LINES: i64 = 60;

/// The whole state of a namespace: objects, events, logs of every container, and the operator's log lines about it.
pub async fn namespace(client: &Client, namespace: &str) -> String {
    let mut text = format!("======== namespace {namespace}\n");
    objects::<CurriculumJob>(&mut text, client, namespace).await;
    objects::<CurriculumSnapshot>(&mut text, client, namespace).await;
    objects::<Job>(&mut text, client, namespace).await;
    objects::<PersistentVolumeClaim>(&mut text, client, namespace).await;
    names::<ConfigMap>(&mut text, client, namespace).await;
    events(&mut text, client, namespace).await;
    pods(&mut text, client, namespace).await;
    operator_log(&mut text, client, namespace).await;
    text.push_str("========\n");
    text
}

async fn list<K>(client: &Client, namespace: &str) -> Vec<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    // A dump that cannot be complete is still of use.
    api.list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default()
}

async fn objects<K>(text: &mut String, client: &Client, namespace: &str)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    K::DynamicType: Default,
{
    for mut object in list::<K>(client, namespace).await {
        object.managed_fields_mut().clear();
        let yaml = serde_saphyr::to_string(&object).unwrap_or_else(|error| error.to_string());
        let _ = write!(
            text,
            "---- {} {}\n{yaml}\n",
            K::kind(&K::DynamicType::default()),
            object.name_any()
        );
    }
}

async fn names<K>(text: &mut String, client: &Client, namespace: &str)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let names: Vec<String> = list::<K>(client, namespace)
        .await
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let _ = writeln!(
        text,
        "---- {}s: {}",
        K::kind(&K::DynamicType::default()),
        names.join(" ")
    );
}

async fn events(text: &mut String, client: &Client, namespace: &str) {
    let mut events = list::<Event>(client, namespace).await;
    events.sort_by_key(|event| event.creation_timestamp());
    text.push_str("---- events\n");
    for event in events {
        let _ = writeln!(
            text,
            "{} {}/{} {}: {}",
            event.type_.as_deref().unwrap_or("-"),
            event.involved_object.kind.as_deref().unwrap_or("-"),
            event.involved_object.name.as_deref().unwrap_or("-"),
            event.reason.as_deref().unwrap_or("-"),
            event.message.as_deref().unwrap_or("-"),
        );
    }
}

async fn pods(text: &mut String, client: &Client, namespace: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for pod in list::<Pod>(client, namespace).await {
        let status = pod.status.clone().unwrap_or_default();
        let _ = writeln!(
            text,
            "---- pod {} {}",
            pod.name_any(),
            status.phase.as_deref().unwrap_or("-")
        );
        let containers = status.init_container_statuses.unwrap_or_default();
        for container in containers.iter().chain(&status.container_statuses.unwrap_or_default()) {
            let state = serde_json::to_string(&container.state).unwrap_or_default();
            let _ = writeln!(
                text,
                "-- {} (restarts {}): {state}",
                container.name, container.restart_count
            );
            let parameters = LogParams {
                container: Some(container.name.clone()),
                tail_lines: Some(LOG_LINES),
                ..LogParams::default()
            };
            if let Ok(log) = api.logs(&pod.name_any(), &parameters).await {
                text.push_str(&log);
                text.push('\n');
            }
        }
    }
}

async fn operator_log(text: &mut String, client: &Client, namespace: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    text.push_str("---- operator\n");
    for pod in list::<Pod>(client, OPERATOR_NAMESPACE).await {
        for previous in [true, false] {
            let Ok(log) = api
                .logs(
                    &pod.name_any(),
                    &LogParams {
                        previous,
                        ..LogParams::default()
                    },
                )
                .await
            else {
                continue;
            };
            let about: Vec<&str> = log.lines().filter(|line| line.contains(namespace)).collect();
            for line in &about[about.len().saturating_sub(2 * LOG_LINES as usize)..] {
                let _ = writeln!(text, "{line}");
            }
        }
    }
}
