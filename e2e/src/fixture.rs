//! What tests put into their namespace: a small data set, claims, and CurriculumJobs that differ from one plain example.

use curriculum_operator::api::job::CurriculumJob;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::case::Case;
use crate::{Result, demo_image};

/// Rows of the data set that [`Case::data_set`] makes.
pub const ROWS: u64 = 100;
/// Rows that the example's first phase admits: a quarter.
pub const EASY_ROWS: u64 = 25;
/// Steps of each of the example's two phases.
pub const STEPS: u64 = 20;
/// Rows in a batch of the example.
pub const BATCH: u64 = 8;

impl Case {
    /// The ConfigMap `data`: `data.csv` with [`ROWS`] rows, row n of difficulty n, in the groups `a` and `b` by turns.
    ///
    /// # Errors
    /// When the API refuses it.
    pub async fn data_set(&self) -> Result {
        let rows = (0..ROWS).map(|row| format!("{row},{},row number {row}\n", if row % 2 == 0 { "a" } else { "b" }));
        let csv = format!("difficulty,label,text\n{}", rows.collect::<String>());
        self.config_map("data", &json!({"data.csv": csv})).await
    }

    /// A ConfigMap of these files.
    ///
    /// # Errors
    /// When the API refuses it.
    pub async fn config_map(&self, name: &str, files: &Value) -> Result {
        let object = serde_json::from_value(json!({"metadata": {"name": name}, "data": files}))?;
        self.api::<ConfigMap>().create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// A claim of the default storage class.
    ///
    /// # Errors
    /// When the API refuses it.
    pub async fn claim(&self, name: &str) -> Result {
        let object = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
        }))?;
        self.api::<PersistentVolumeClaim>()
            .create(&PostParams::default(), &object)
            .await?;
        Ok(())
    }

    /// Creates the job.
    ///
    /// # Errors
    /// When the API refuses it.
    pub async fn submit(&self, example: &Example) -> Result<CurriculumJob> {
        let job = serde_json::from_value(example.0.clone())?;
        Ok(self.api::<CurriculumJob>().create(&PostParams::default(), &job).await?)
    }
}

/// A CurriculumJob in the making. As it starts: a score from a column, then a phase of the easiest quarter and a phase of
/// all rows, 20 steps each, by a trainer that only writes down what it was given.
#[derive(Clone)]
pub struct Example(Value);

impl Example {
    /// The plain example.
    pub fn new(name: &str) -> Self {
        Self(json!({
            "apiVersion": "curriculum.dev/v1alpha1",
            "kind": "CurriculumJob",
            "metadata": {"name": name},
            "spec": {
                "seed": 7,
                "dataset": {"volume": {"configMap": {"name": "data"}}, "path": "data.csv", "groupColumn": "label"},
                "scoring": {"scorers": [{"name": "given", "column": {"column": "difficulty"}}]},
                "curriculum": {"batchSize": BATCH, "phases": [
                    {"name": "easy", "pool": {"fraction": "0.25"}, "duration": {"steps": STEPS}},
                    {"name": "all", "pool": {"fraction": "1"}, "duration": {"steps": STEPS}},
                ]},
                "training": {"backoffLimit": 2, "template": {"spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "trainer",
                        "image": demo_image(),
                        "command": ["python3", "/tests/fake_trainer.py"],
                        "env": [{"name": "BATCH_SIZE", "value": BATCH.to_string()}],
                        "securityContext": {
                            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]}},
                    }],
                }}},
            }
        }))
    }

    /// With this JSON merged into `spec`.
    #[must_use]
    pub fn with(mut self, spec: &Value) -> Self {
        json_patch::merge(&mut self.0["spec"], spec);
        self
    }

    /// Scored by a program that goes wrong in this way (see `programs/fake_scorer.py`), without a retry.
    #[must_use]
    pub fn scored_by(self, mode: &str) -> Self {
        self.with(
            &json!({"scoring": {"backoffLimit": 0, "scorers": [{"name": "teacher", "container": {
                "image": demo_image(),
                "command": ["python3", "/tests/fake_scorer.py"],
                "env": [{"name": "MODE", "value": mode}],
            }}]}}),
        )
    }

    /// With a variable of the trainer's environment (see `programs/fake_trainer.py`).
    #[must_use]
    pub fn trainer(mut self, name: &str, value: &str) -> Self {
        let environment = &mut self.0["spec"]["training"]["template"]["spec"]["containers"][0]["env"];
        if let Some(list) = environment.as_array_mut() {
            list.push(json!({"name": name, "value": value}));
        }
        self
    }

    /// With a folder of the claim for the trainer's checkpoints.
    #[must_use]
    pub fn checkpoint(self, claim: &str, path: &str) -> Self {
        self.with(&json!({"training": {"checkpoint": {
            "volume": {"persistentVolumeClaim": {"claimName": claim}}, "path": path}}}))
    }

    /// With only the first phase.
    #[must_use]
    pub fn one_phase(mut self) -> Self {
        if let Some(phases) = self.0["spec"]["curriculum"]["phases"].as_array_mut() {
            phases.truncate(1);
        }
        self
    }
}
