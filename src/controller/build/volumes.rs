//! The operator's volumes in a pod and their mounts.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::names;
use crate::api::dataset::VolumeSpec;
use crate::api::names::{MOUNT_SHARED_MEMORY, MOUNT_STORE};
use crate::api::scorer_volume::ScorerVolume;
use crate::api::scoring::ContainerScorer;
use crate::controller::validate::{RemoteCredentials, Run, Scorer, ScorerKind, Source, Store};

/// Names of the volumes that the operator adds to pods.
pub(super) const DATASET: &str = "curriculum-dataset";
pub(super) const STORE: &str = "curriculum-store";
pub(super) const CHECKPOINT: &str = "curriculum-checkpoint";
pub(super) const PLAN: &str = "curriculum-plan";
pub(super) const SHARED: &str = "curriculum-shared";
pub(super) const TOOLS: &str = "curriculum-tools";
pub(super) const CREDENTIALS: &str = "curriculum-credentials";

/// The volumes of a pod. A claim that is needed twice becomes one volume with two mounts.
pub(super) struct Volumes(Vec<Volume>);

impl Volumes {
    /// Starts with the volumes of a template; those with one of the operator's names go.
    pub(super) fn new(template: Vec<Volume>) -> Self {
        let ours = [DATASET, STORE, CHECKPOINT, PLAN, SHARED, TOOLS, CREDENTIALS];
        Self(
            template
                .into_iter()
                .filter(|volume| !ours.contains(&volume.name.as_str()))
                .collect(),
        )
    }

    /// Adds `volume` unless there is one of the same claim, and returns the name to mount. Where one of the two is to
    /// be written to, so is the volume: what must not be written to is mounted read-only.
    pub(super) fn add(&mut self, volume: Volume) -> String {
        if let Some(claim) = &volume.persistent_volume_claim {
            for other in &mut self.0 {
                if let Some(existing) = &mut other.persistent_volume_claim
                    && existing.claim_name == claim.claim_name
                {
                    if claim.read_only != Some(true) {
                        existing.read_only = None;
                    }
                    return other.name.clone();
                }
            }
        }
        let name = volume.name.clone();
        self.0.push(volume);
        name
    }

    /// Adds one of the operator's own volumes unless it is there, and returns its name.
    pub(super) fn add_once(&mut self, volume: Volume) -> String {
        if self.0.iter().any(|other| other.name == volume.name) {
            return volume.name;
        }
        self.add(volume)
    }

    pub(super) fn into_vec(self) -> Vec<Volume> {
        self.0
    }
}

/// The data set, or the place for its copies. Read-only in the source where the source can say so: then no `fsGroup` changes the
/// owner of the user's files.
pub(crate) fn dataset(run: &Run) -> Volume {
    match &run.dataset.source {
        Source::Volume(volume) => read_only(from_spec(DATASET, volume)),
        Source::Objects(store) => Volume {
            name: DATASET.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(store.size_limit.clone()),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        },
    }
}

/// As it is, but not to be written to; there is no such word for the other kinds.
fn read_only(mut volume: Volume) -> Volume {
    if let Some(claim) = &mut volume.persistent_volume_claim {
        claim.read_only = Some(true);
    }
    if let Some(nfs) = &mut volume.nfs {
        nfs.read_only = Some(true);
    }
    if let Some(csi) = &mut volume.csi {
        csi.read_only = Some(true);
    }
    volume
}

/// A volume and where a container has it.
pub(crate) struct Mounted {
    pub(crate) volume: Volume,
    pub(super) mount: VolumeMount,
}

/// What a scorer's own container mounts beside what all have; nothing of a built-in scorer.
///
/// Names of volumes have no `--` of their own: so no two scorers have one, and none is the operator's.
pub(crate) fn of_scorer(scorer: &Scorer) -> Vec<Mounted> {
    let ScorerKind::Container(program) = &scorer.kind else {
        return vec![];
    };
    let name = |name: &str| format!("{}--{name}", scorer.name);
    let volumes = program.volumes.iter().map(|volume| mounted(name(&volume.name), volume));
    volumes.chain(shared_memory(name("shared-memory"), program)).collect()
}

fn mounted(name: String, spec: &ScorerVolume) -> Mounted {
    let is_read_only = spec.read_only == Some(true);
    let volume = Volume {
        name: name.clone(),
        persistent_volume_claim: spec.persistent_volume_claim.clone(),
        nfs: spec.nfs.clone(),
        csi: spec.csi.clone(),
        host_path: spec.host_path.clone(),
        config_map: spec.config_map.clone(),
        secret: spec.secret.clone(),
        image: spec.image.clone(),
        empty_dir: spec.empty_dir.clone(),
        ..Volume::default()
    };
    Mounted {
        volume: if is_read_only { read_only(volume) } else { volume },
        mount: VolumeMount {
            name,
            mount_path: spec.mount_path.clone(),
            sub_path: spec.sub_path.clone(),
            read_only: is_read_only.then_some(true),
            ..VolumeMount::default()
        },
    }
}

fn shared_memory(name: String, program: &ContainerScorer) -> Option<Mounted> {
    let size: Quantity = program.shared_memory.clone()?;
    let volume = Volume {
        name: name.clone(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(size),
        }),
        ..Volume::default()
    };
    Some(Mounted {
        volume,
        mount: mount(name, MOUNT_SHARED_MEMORY),
    })
}

/// The checkpoint's volume, if the run has one.
pub(crate) fn checkpoint(run: &Run) -> Option<Volume> {
    let checkpoint = run.training.checkpoint.as_ref()?;
    Some(from_spec(CHECKPOINT, &checkpoint.volume))
}

/// The claim of the store, the user's or the one made for this job; or the place for the pod's copies.
pub(super) fn store(run: &Run, read_only: bool) -> Volume {
    let claim_name = match &run.store {
        Store::Claim(name) => name.clone(),
        Store::Own(_) => names::store_claim(&run.head.id.name),
        Store::Remote(_) => return empty_dir(STORE),
    };
    Volume {
        name: STORE.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name,
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}

/// The store for who only reads it. Copies are made by who reads them.
pub(super) fn store_to_read(run: &Run, volume: String) -> VolumeMount {
    match run.store.remote() {
        None => mount_read_only(volume, MOUNT_STORE),
        Some(_) => mount(volume, MOUNT_STORE),
    }
}

/// The Secret with which the store is asked. A pod starts without it too: then the store refuses it, and training goes on uniformly.
pub(crate) fn credentials(run: &Run) -> Option<Volume> {
    let RemoteCredentials::Secret(name) = &run.store.remote()?.credentials else {
        return None;
    };
    Some(Volume {
        name: CREDENTIALS.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.clone()?),
            optional: Some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    })
}

pub(super) fn from_spec(name: &str, spec: &VolumeSpec) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: spec.persistent_volume_claim.clone(),
        nfs: spec.nfs.clone(),
        csi: spec.csi.clone(),
        host_path: spec.host_path.clone(),
        config_map: spec.config_map.clone(),
        image: spec.image.clone(),
        ..Volume::default()
    }
}

pub(super) fn config_map(name: &str, of: String) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: of,
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn empty_dir(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

pub(super) fn mount(name: String, path: &str) -> VolumeMount {
    VolumeMount {
        name,
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

pub(super) fn mount_read_only(name: String, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(name, path)
    }
}
