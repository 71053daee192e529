//! Runs one pod: its containers as programs, one after the other or side by side as the kubelet does it.
//!
//! ```text
//! init containers in turn ─► containers side by side ─► sidecars are asked to end ─► Succeeded or Failed
//!        └─ sidecars (restartPolicy: Always) stay, and are started again when they end
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Container, ContainerStatus, Pod, PodCondition, PodStatus, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cluster::LocalCluster;
use super::error::LocalError;
use super::places::{Place, Places};
use super::process::{self, Stop};
use super::program::{Commands, Here, from_folders, program};
use super::run::PROGRAMS;
use crate::api::names::{
    ENV_CREDENTIALS, MOUNT_CREDENTIALS, MOUNT_DATASET, MOUNT_SHARED_MEMORY, MOUNT_STORE, SAMPLER, SAMPLER_PORT,
    SAMPLER_STATUS_PORT,
};
use crate::controller::cluster::Cluster as _;

/// Where containers leave their last words, unless they name another file.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Seconds from the request to end to the kill, unless the pod says otherwise.
const GRACE: i64 = 30;
/// Wait between two questions of a startup probe.
const PROBE: Duration = Duration::from_millis(50);
/// Wait before a sidecar that has ended is started again.
const RESTART: Duration = Duration::from_secs(1);

/// What all pods of a run have in common.
pub(super) struct Host {
    pub(super) cluster: LocalCluster,
    /// Those beside the CurriculumJob in its file.
    pub(super) config_maps: BTreeMap<String, ConfigMap>,
    pub(super) places: Places,
    pub(super) commands: Commands,
    /// The run's folder.
    pub(super) folder: PathBuf,
    /// The binary of this process.
    pub(super) binary: PathBuf,
    /// For startup probes.
    pub(super) http: reqwest::Client,
}

/// A container that is about to be started.
struct Started {
    process: process::Spec,
    status: ContainerStatus,
}

struct Sidecar {
    status: watch::Receiver<ContainerStatus>,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Host {
    /// Runs a pod to its end, or until it is told to stop; its state is in the cluster all the time.
    ///
    /// # Errors
    /// When something that it needs cannot be had on this machine.
    pub(super) async fn run(&self, mut pod: Pod, stop: &Stop) -> Result<Pod, LocalError> {
        let uid = pod.uid().unwrap_or_default();
        let result = self.run_containers(&mut pod, stop).await;
        self.cluster.set_address(&uid, None);
        result.map(|()| pod)
    }

    async fn run_containers(&self, pod: &mut Pod, stop: &Stop) -> Result<(), LocalError> {
        let spec = pod.spec.clone().unwrap_or_default();
        let grace = spec.termination_grace_period_seconds.unwrap_or(GRACE);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let scratch = self.folder.join("pods").join(pod.name_any());
        // What a pod of this name left before: this one begins with nothing, as every pod does.
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(LocalError::io(&scratch, error)),
            _ => {}
        }
        let places = self.places_of(&scratch, spec.volumes.as_deref().unwrap_or_default())?;
        let ports = Ports::take().map_err(|source| LocalError::Process(format!("no free port: {source}")))?;
        self.begin(pod);
        let mut sidecars = Vec::new();
        let mut init = Vec::new();
        let mut failed = false;
        for container in spec.init_containers.iter().flatten() {
            let started = self.prepare(pod, container, &places, &ports, &scratch)?;
            if container.restart_policy.as_deref() == Some("Always") {
                if container.name == SAMPLER {
                    self.cluster
                        .set_address(&pod.uid().unwrap_or_default(), Some(ports.status()));
                }
                let sidecar = sidecar(started, grace);
                self.wait_until_started(container, &ports, stop).await;
                sidecars.push(sidecar);
                continue;
            }
            let status = once(started, grace, stop).await;
            failed = process::exit_code(&status) != 0;
            init.push(status);
            if failed || stop.is_asked() {
                break;
            }
        }
        let mut main = Vec::new();
        if !failed && !stop.is_asked() {
            let started = spec
                .containers
                .iter()
                .map(|container| self.prepare(pod, container, &places, &ports, &scratch));
            let started = started.collect::<Result<Vec<_>, _>>()?;
            let running = started
                .iter()
                .map(|started| process::running(started.status.clone(), self.cluster.now()));
            self.show(pod, "Running", &all(&init, &sidecars), &running.collect::<Vec<_>>());
            main = join_all(started.into_iter().map(|started| once(started, grace, stop))).await;
            failed = main.iter().any(|status| process::exit_code(status) != 0);
        }
        for sidecar in &sidecars {
            sidecar.stop.ask();
        }
        for sidecar in &mut sidecars {
            // A panic of the task leaves the last status that it told.
            let _ = (&mut sidecar.task).await;
        }
        self.show(
            pod,
            if failed { "Failed" } else { "Succeeded" },
            &all(&init, &sidecars),
            &main,
        );
        // Files of the sampler and the like; logs are elsewhere. What stays is removed with the run.
        let _ = fs::remove_dir_all(&scratch);
        Ok(())
    }

    /// The pod has a place, and nothing of it runs yet.
    fn begin(&self, pod: &mut Pod) {
        let now = Time(self.cluster.now());
        pod.status = Some(PodStatus {
            phase: Some("Pending".to_owned()),
            pod_ip: Some(Ipv4Addr::LOCALHOST.to_string()),
            start_time: Some(now.clone()),
            conditions: Some(vec![PodCondition {
                type_: "PodScheduled".to_owned(),
                status: "True".to_owned(),
                last_transition_time: Some(now),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        });
        self.cluster.put_pod(pod);
    }

    fn show(&self, pod: &mut Pod, phase: &str, init: &[ContainerStatus], main: &[ContainerStatus]) {
        let status = pod.status.get_or_insert_default();
        status.phase = Some(phase.to_owned());
        status.init_container_statuses = Some(init.to_vec());
        status.container_statuses = Some(main.to_vec());
        self.cluster.put_pod(pod);
    }

    /// The folder of each volume, by its name; what is not there is made.
    fn places_of(&self, scratch: &Path, volumes: &[Volume]) -> Result<Vec<(String, PathBuf)>, LocalError> {
        let make = |folder: &Path| fs::create_dir_all(folder).map_err(|source| LocalError::io(folder, source));
        let mut places = Vec::new();
        for volume in volumes {
            let place = self.cluster.read(|world| {
                let is_known = |map: &str| world.config_maps.contains_key(map) || self.config_maps.contains_key(map);
                self.places.of(volume, is_known)
            });
            let folder = match place.map_err(|missing| LocalError::Missing(vec![missing]))? {
                Place::Folder(folder) => folder,
                Place::Scratch | Place::ConfigMap(_) => scratch.join(&volume.name),
            };
            make(&folder)?;
            if let Some(map) = volume.config_map.as_ref().map(|map| &map.name)
                && self.places.given(map).is_none()
            {
                let of_run = self.cluster.read(|world| world.config_maps.get(map).cloned());
                let map = of_run
                    .or_else(|| self.config_maps.get(map).cloned())
                    .unwrap_or_default();
                let texts = map
                    .data
                    .into_iter()
                    .flatten()
                    .map(|(name, text)| (name, text.into_bytes()));
                let bytes = map
                    .binary_data
                    .into_iter()
                    .flatten()
                    .map(|(name, bytes)| (name, bytes.0));
                for (name, content) in texts.chain(bytes) {
                    let path = folder.join(name);
                    fs::write(&path, content).map_err(|source| LocalError::io(&path, source))?;
                }
            }
            places.push((volume.name.clone(), folder));
        }
        Ok(places)
    }

    /// A container's program, with its files.
    fn prepare(
        &self,
        pod: &Pod,
        container: &Container,
        places: &[(String, PathBuf)],
        ports: &Ports,
        scratch: &Path,
    ) -> Result<Started, LocalError> {
        let make = |folder: &Path| fs::create_dir_all(folder).map_err(|source| LocalError::io(folder, source));
        let logs = self.folder.join("logs").join(pod.name_any());
        make(&logs)?;
        make(scratch)?;
        let last_words = scratch.join(format!("{}.termination-log", container.name));
        fs::write(&last_words, "").map_err(|source| LocalError::io(&last_words, source))?;
        let mut here = Here {
            addresses: ports.addresses(),
            ..Here::default()
        };
        let mut dataset_root = None;
        let mut store_root = None;
        let mut credentials_root = None;
        // This machine has shared memory of its own.
        let mounts = container.volume_mounts.iter().flatten();
        for mount in mounts.filter(|mount| mount.mount_path != MOUNT_SHARED_MEMORY) {
            let Some((_, folder)) = places.iter().find(|(name, _)| *name == mount.name) else {
                continue;
            };
            let folder = mount
                .sub_path
                .as_ref()
                .map_or_else(|| folder.clone(), |path| folder.join(path));
            // It may be a file.
            if mount.sub_path.is_some() && !folder.exists() {
                make(&folder)?;
            }
            here.paths.add(&mount.mount_path, &folder);
            match mount.mount_path.as_str() {
                MOUNT_DATASET => dataset_root = Some(folder),
                MOUNT_STORE => store_root = Some(folder),
                MOUNT_CREDENTIALS => credentials_root = Some(folder),
                _ => {}
            }
        }
        for (path, folder) in self.places.of_images() {
            here.paths.add(path, folder);
        }
        let own = container.termination_message_path.as_deref().unwrap_or(TERMINATION_LOG);
        here.paths.add(own, &last_words);
        here.paths.add(crate::controller::build::BINARY, &self.binary);
        let extra = [
            ("CURRICULUM_DATASET_ROOT", dataset_root),
            ("CURRICULUM_STORE_ROOT", store_root),
            (ENV_CREDENTIALS, credentials_root),
            ("CURRICULUM_TERMINATION_LOG", Some(last_words.clone())),
        ];
        let mut extra: Vec<(String, String)> = extra
            .into_iter()
            .filter_map(|(name, path)| Some((name.to_owned(), path?.to_string_lossy().into_owned())))
            .collect();
        if let Some(index) = pod.annotations().get(COMPLETION_INDEX) {
            extra.push(("JOB_COMPLETION_INDEX".to_owned(), index.clone()));
        }
        let whole = from_folders(container.env_from.as_deref().unwrap_or_default(), &self.places)?;
        let program = program(container, pod, &self.commands, &here, whole, &extra);
        Ok(Started {
            process: process::Spec {
                attend: self.binary.clone(),
                lock: self.folder.join(PROGRAMS),
                program,
                log: logs.join(format!("{}.log", container.name)),
                last_words,
                words_from_log: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
            },
            status: ContainerStatus {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                ..ContainerStatus::default()
            },
        })
    }

    /// Waits until a sidecar answers its startup probe, if it has one.
    async fn wait_until_started(&self, container: &Container, ports: &Ports, stop: &Stop) {
        let probe = container
            .startup_probe
            .as_ref()
            .and_then(|probe| probe.http_get.as_ref());
        let Some(probe) = probe else { return };
        let port = match &probe.port {
            IntOrString::Int(port) => u16::try_from(*port).unwrap_or_default(),
            IntOrString::String(_) => return,
        };
        let path = probe.path.as_deref().unwrap_or("/");
        let url = format!("http://{}{path}", ports.of(port));
        while !stop.is_asked() {
            let answer = self.http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(PROBE).await;
        }
    }
}

/// Annotation of a pod of an Indexed Job.
pub(super) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

fn all(init: &[ContainerStatus], sidecars: &[Sidecar]) -> Vec<ContainerStatus> {
    let sidecars = sidecars.iter().map(|sidecar| sidecar.status.borrow().clone());
    sidecars.chain(init.iter().cloned()).collect()
}

/// Runs a container once.
async fn once(started: Started, grace: Duration, stop: &Stop) -> ContainerStatus {
    let Started { process, status } = started;
    process::ended(status, process::run(&process, grace, stop).await)
}

/// Starts a container that is started again whenever it ends, until it is told to stop.
fn sidecar(started: Started, grace: Duration) -> Sidecar {
    let stop = Stop::default();
    let (tell, status) = watch::channel(process::running(started.status.clone(), process::now()));
    let asked = stop.clone();
    let task = tokio::spawn(async move {
        loop {
            tell.send_modify(|status| *status = process::running(status.clone(), process::now()));
            let exit = process::run(&started.process, grace, &asked).await;
            tell.send_modify(|status| *status = process::ended(status.clone(), exit));
            if asked.is_asked() {
                return;
            }
            tell.send_modify(|status| {
                status.restart_count += 1;
                status.last_state = status.state.clone();
            });
            asked.asked_within(RESTART).await;
            if asked.is_asked() {
                return;
            }
        }
    });
    Sidecar { status, stop, task }
}

/// Free ports of this machine in place of those of the pod.
struct Ports {
    trainer: u16,
    status: u16,
}

impl Ports {
    /// Somebody else may take them before the sampler does; then it says so and is started again.
    fn take() -> std::io::Result<Self> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (trainer, status) = (free()?, free()?);
        Ok(Self {
            trainer: trainer.local_addr()?.port(),
            status: status.local_addr()?.port(),
        })
    }

    fn of(&self, port: u16) -> SocketAddr {
        let port = match port {
            SAMPLER_PORT => self.trainer,
            SAMPLER_STATUS_PORT => self.status,
            other => other,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn status(&self) -> SocketAddr {
        self.of(SAMPLER_STATUS_PORT)
    }

    fn addresses(&self) -> Vec<(String, String)> {
        vec![
            (format!("127.0.0.1:{SAMPLER_PORT}"), self.of(SAMPLER_PORT).to_string()),
            (format!("0.0.0.0:{SAMPLER_STATUS_PORT}"), self.status().to_string()),
        ]
    }
}
