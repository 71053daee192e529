//! The two programs: how each is started, what its objects look like, and when one of them has ended.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use e2e::Result;
use e2e::api_server::{ApiServer, binaries};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use super::program::Program;

/// Jobs of each object, one after the other.
pub(crate) const JOBS: usize = 5;

/// Which program moves the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rival {
    /// This project's operator.
    Curriculum,
    /// The controllers of JobSet.
    Jobset,
}

/// Where the programs are.
#[derive(Args)]
pub(crate) struct Programs {
    /// The operator's binary.
    #[arg(long)]
    curriculum: PathBuf,
    /// JobSet's CustomResourceDefinition.
    #[arg(long)]
    jobset_crd: PathBuf,
}

impl Rival {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curriculum => "curriculum",
            Self::Jobset => "JobSet 0.8.2",
        }
    }

    /// The kind of its objects.
    pub(crate) fn kind(self) -> ApiResource {
        let kind = match self {
            Self::Curriculum => GroupVersionKind::gvk("curriculum.dev", "v1alpha1", "CurriculumJob"),
            Self::Jobset => GroupVersionKind::gvk("jobset.x-k8s.io", "v1alpha2", "JobSet"),
        };
        ApiResource::from_gvk(&kind)
    }

    /// Installs what the API server does not know yet; it has the project's own kinds already.
    pub(crate) async fn install(self, server: &ApiServer, programs: &Programs) -> Result {
        if self == Self::Curriculum {
            return Ok(());
        }
        let crd: CustomResourceDefinition = serde_saphyr::from_str(&std::fs::read_to_string(&programs.jobset_crd)?)?;
        let name = crd.metadata.name.clone().ok_or("the CRD has no name")?;
        let crds: Api<CustomResourceDefinition> = Api::all(server.client().await?);
        crds.create(&PostParams::default(), &crd).await?;
        await_condition(crds, &name, conditions::is_crd_established()).await?;
        Ok(())
    }

    pub(crate) fn start(self, programs: &Programs, kubeconfig: &Path) -> Result<Program> {
        let mut command = match self {
            Self::Curriculum => {
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                let mut command = Command::new(&programs.curriculum);
                command.args(["operator", "--image=curriculum:scale"]);
                command.arg(format!("--health-addr=127.0.0.1:{port}"));
                command
            }
            Self::Jobset => Command::new(binaries().join("jobset")),
        };
        Program::start(self.name(), &mut command, kubeconfig)
    }

    /// An object of five Jobs that follow each other.
    pub(crate) fn object(self, name: &str) -> Value {
        let trainer = json!([{"name": "trainer", "image": "trainer:1"}]);
        match self {
            // Inspect, score, index, and one Job for each phase.
            Self::Curriculum => json!({
                "apiVersion": "curriculum.dev/v1alpha1", "kind": "CurriculumJob", "metadata": {"name": name},
                "spec": {
                    "dataset": {"volume": {"configMap": {"name": "data"}}, "path": "data.csv"},
                    "scoring": {"scorers": [{"name": "given", "column": {"column": "difficulty"}}]},
                    "curriculum": {"batchSize": 8, "phases": [
                        {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": 20}},
                        {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": 20}},
                    ]},
                    "training": {"template": {"spec": {"containers": trainer}}},
                },
            }),
            // With the defaults that its webhook would have set, but no headless Service: ours makes none either.
            Self::Jobset => {
                let jobs: Vec<Value> = (0..JOBS)
                    .map(|number| {
                        let mut job = json!({"name": format!("job-{number}"), "replicas": 1, "template": {"spec": {
                            "parallelism": 1, "completions": 1, "backoffLimit": 0, "completionMode": "Indexed",
                            "template": {"spec": {"restartPolicy": "Never", "containers": trainer}}}}});
                        if number > 0 {
                            job["dependsOn"] = json!([{"name": format!("job-{}", number - 1), "status": "Complete"}]);
                        }
                        job
                    })
                    .collect();
                json!({
                    "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
                    "spec": {
                        "replicatedJobs": jobs,
                        "successPolicy": {"operator": "All"},
                        "startupPolicy": {"startupPolicyOrder": "AnyOrder"},
                        "network": {"enableDNSHostnames": false, "publishNotReadyAddresses": true},
                    },
                })
            }
        }
    }

    /// Whether an object has ended well, by its conditions; any other end is an error.
    pub(crate) fn has_ended(self, object: &DynamicObject) -> Result<bool> {
        let (good, bad) = match self {
            Self::Curriculum => ("Succeeded", "Failed"),
            Self::Jobset => ("Completed", "Failed"),
        };
        let status = &object.data["status"];
        let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let holds = |name| conditions.iter().any(|c| c["type"] == name && c["status"] == "True");
        if holds(bad) {
            return Err(format!("{}: failed: {status}", object.name_any()).into());
        }
        Ok(holds(good))
    }
}
