//! Labels, container names, environment variables and mount paths that other programs rely on.

/// Label: name of the CurriculumJob.
pub const LABEL_JOB: &str = "curriculum.dev/job";
/// Label: name of the phase, for people.
pub const LABEL_PHASE: &str = "curriculum.dev/phase";
/// Label: number of the visit.
pub const LABEL_VISIT: &str = "curriculum.dev/visit";
/// Label: queue of a Job, by Kueue's name for it.
pub const LABEL_QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// Annotation of a Job that the operator holds for `spec.suspend`: only such a Job is let go on again.
pub const ANNOTATION_SUSPENDED: &str = "curriculum.dev/suspended";
/// Label: what an object is for: `inspect`, `count`, `score`, `index`, `train`, `archive`, `plan`, `scores`, `store`, `snapshot`.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Label: who manages the object; always `curriculum-operator`.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: application; always `curriculum`.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";

/// Container of the trainer, unless the template has none of this name; then its first one.
pub const TRAINER: &str = "trainer";
/// The native sidecar that the operator adds to training pods.
pub const SAMPLER: &str = "sampler";
/// Port of the sampler for the trainer, on the pod's loopback address only.
pub const SAMPLER_PORT: u16 = 7070;
/// Port of the sampler's health, metrics and status, on the pod's address.
pub const SAMPLER_STATUS_PORT: u16 = 7071;

/// Mount of the data set, read-only.
pub const MOUNT_DATASET: &str = "/curriculum/dataset";
/// Mount of the store; read-only in the sampler.
pub const MOUNT_STORE: &str = "/curriculum/store";
/// Mount of the Secret with which a store in Redis is asked.
pub const MOUNT_CREDENTIALS: &str = "/curriculum/credentials";
/// Mount of the plan ConfigMap in the sampler: `plan.json`.
pub const MOUNT_PLAN: &str = "/curriculum/plan";
/// Mount of the trainer's checkpoint volume.
pub const MOUNT_CHECKPOINT: &str = "/curriculum/checkpoint";
/// Mount of a volume of the pod that sampler and trainer share (`sampling: File`), and where the sampler keeps its journal.
pub const MOUNT_SHARED: &str = "/curriculum/shared";
/// Mount of a volume of the pod that holds the operator's binary for container scorers.
pub const MOUNT_TOOLS: &str = "/curriculum/tools";
/// Mount of a container scorer's `sharedMemory`.
pub const MOUNT_SHARED_MEMORY: &str = "/dev/shm";
/// Everything that the operator mounts by a path of its own is below this folder.
pub const MOUNTS: &str = "/curriculum";
/// Variable that says where the files of a store are kept when no volume holds them.
pub const ENV_STORE: &str = "CURRICULUM_STORE";
/// Variable with the folder of the credentials, where it is not [`MOUNT_CREDENTIALS`].
pub const ENV_CREDENTIALS: &str = "CURRICULUM_CREDENTIALS_ROOT";
/// What the names of variables begin with that hold the credentials of an object store with scores.
pub const ENV_STORE_PREFIX: &str = "CURRICULUM_STORE_";
/// Variable with a snapshot that is to be archived, as a manifest.
pub const ENV_SNAPSHOT: &str = "CURRICULUM_SNAPSHOT";
/// Variable with its place on the store.
pub const ENV_ARCHIVE_PATH: &str = "CURRICULUM_ARCHIVE_PATH";
/// Variables whose names begin so are set by the operator.
pub const ENV_PREFIX: &str = "CURRICULUM_";
