//! What the operator's own containers have in common: image, security context, resources, environment.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{
            PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
            PodFailurePolicyRule,
        },
        core::v1::{Capabilities, Container, EnvVar, ResourceRequirements, SeccompProfile, SecurityContext},
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::Settings;
use crate::scoring::report::{EXIT_DATASET, EXIT_SCORES};

/// User and group of the operator's image and, by default, of the scoring pods.
pub(super) const USER: i64 = 65_532;
/// Path of the binary in the operator's image. Not `/curriculum`: below that folder the volumes are mounted.
pub(crate) const BINARY: &str = "/bin/curriculum";

/// Termination message policy: the end of the log stands in for a message that was not written.
pub(super) const FALLBACK_TO_LOGS: &str = "FallbackToLogsOnError";

/// A container of the operator's image that runs `curriculum <args>`.
pub(super) fn own_container(settings: &Settings, name: &str, args: Vec<String>) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.image_pull_policy.clone(),
        command: Some(vec![BINARY.to_owned()]),
        args: Some(args),
        security_context: Some(SecurityContext {
            read_only_root_filesystem: Some(true),
            ..no_privileges()
        }),
        ..Container::default()
    }
}

/// The part of the `restricted` pod security standard that any image can live with.
pub(super) fn no_privileges() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        seccomp_profile: Some(runtime_default()),
        ..SecurityContext::default()
    }
}

pub(super) fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

/// Requests without limits: how much memory a data set needs is not known beforehand.
pub(super) fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ])),
        ..ResourceRequirements::default()
    }
}

/// An environment variable of exactly this value: the kubelet would replace `$(NAME)` in it and reads `$$` as `$`.
pub(super) fn env(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.replace('$', "$$")),
        value_from: None,
    }
}

/// A disruption costs no retry; exit codes that say "a retry cannot help" from one of `containers` end the Job at once.
pub(super) fn failure_policy(containers: &[&str]) -> PodFailurePolicy {
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
    };
    let hopeless = containers.iter().map(|container| PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some((*container).to_owned()),
            operator: "In".to_owned(),
            values: vec![i32::from(EXIT_DATASET), i32::from(EXIT_SCORES)],
        }),
        on_pod_conditions: None,
    });
    PodFailurePolicy {
        rules: std::iter::once(disrupted).chain(hopeless).collect(),
    }
}
