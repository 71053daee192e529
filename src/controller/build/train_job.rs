//! The Job of one visit: the user's pod template and the sampler.

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Container, ContainerPort, EnvVar, HTTPGetAction, PodSpec, PodTemplateSpec, Probe, SecurityContext,
            VolumeMount,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use serde_json::json;

use super::{
    Settings, Visit,
    copies::{self, Wanted},
    job_metadata, key, labels, names,
    plan::PLAN_FILE,
    pod::{FALLBACK_TO_LOGS, USER, env, failure_policy, own_container, requests},
    remote,
    volumes::{self, Volumes, mount, mount_read_only},
};
use crate::{
    api::{
        names::{
            MOUNT_CHECKPOINT, MOUNT_DATASET, MOUNT_PLAN, MOUNT_SHARED, MOUNT_STORE, SAMPLER, SAMPLER_PORT,
            SAMPLER_STATUS_PORT,
        },
        status::ScoreSource,
        training::Sampling,
    },
    controller::validate::{Dataset, Paths, Run, Template},
    curriculum::plan::PhasePlan,
    scoring::task::Format,
};

const COMPONENT: &str = "train";
const STATUS_PORT_NAME: &str = "sampler-status";
/// Seconds that the sampler may take to verify the index and, for `sampling: File`, to write the phase's rows.
const SAMPLER_START_SECONDS: i32 = 1800;

/// The Job that trains `phase` in that visit. Its failure costs the run's own budget, so it never retries itself.
///
/// The template stays as it is but for: the sidecar `sampler` as first init container, the operator's
/// volumes, mounts and `CURRICULUM_*` environment of the trainer (they replace the user's of the same name or
/// path), `restartPolicy: Never`, and labels. The store is not mounted where every row is equally likely,
/// unless a filter leaves rows out: training does not wait for a volume that it does not need.
pub fn train_job(settings: &Settings, run: &Run, phase: &PhasePlan, visit: u32, scores: ScoreSource) -> Job {
    let of = Some(Visit {
        number: visit,
        phase: &phase.name,
    });
    let mut metadata = run.training.template.metadata.clone();
    let pod_labels = metadata.labels.get_or_insert_default();
    pod_labels.extend(labels(&run.head.id, COMPONENT, of));
    let template = PodTemplateSpec {
        metadata: Some(metadata),
        spec: Some(pod(settings, run, phase, visit, scores)),
    };
    Job {
        metadata: job_metadata(run, names::train(&run.head.id.name, visit), COMPONENT, of),
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            pod_failure_policy: Some(failure_policy(&[])),
            pod_replacement_policy: Some("Failed".to_owned()),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn pod(settings: &Settings, run: &Run, phase: &PhasePlan, visit: u32, scores: ScoreSource) -> PodSpec {
    let Template {
        pod,
        before,
        trainer,
        after,
        ..
    } = run.training.template.clone();
    let mut volumes = Volumes::new(pod.volumes.unwrap_or_default());
    let plan = volumes::config_map(volumes::PLAN, names::plan(&run.head.id.name, visit));
    let mut of_sampler = vec![mount_read_only(volumes.add(plan), MOUNT_PLAN)];
    let has_store = needs_store(run, scores);
    let store = has_store.then(|| volumes::store_to_read(run, volumes.add(volumes::store(run, true))));
    of_sampler.extend(store.clone());
    let shared = volumes.add(volumes::empty_dir(volumes::SHARED));
    of_sampler.push(mount(shared.clone(), MOUNT_SHARED));

    let mut of_trainer = vec![];
    let direct = run.dataset.objects_of_trainer();
    let copied = run.dataset.objects().filter(|_| direct.is_none());
    if direct.is_none() {
        of_trainer.push(mount_read_only(volumes.add(volumes::dataset(run)), MOUNT_DATASET));
    }
    let mut copy = copied.map(|objects| {
        let wanted = Wanted::All(store.clone());
        let copy = copies::container(settings, objects, &key::task(run), wanted);
        Container {
            security_context: as_own_user(copy.security_context.clone()),
            ..copy
        }
    });
    of_trainer.extend(checkpoint_mount(run, &mut volumes));
    // A trainer that reads a file leaves marks of how far it is beside it.
    of_trainer.push(match run.training.sampling {
        Sampling::Http => mount_read_only(shared, MOUNT_SHARED),
        Sampling::File => mount(shared, MOUNT_SHARED),
    });

    let mut sampler = sampler(settings, run, scores, of_sampler);
    if has_store {
        for container in std::iter::once(&mut sampler).chain(&mut copy) {
            remote::let_ask(run, &mut volumes, container);
        }
    }
    let mut trainer = extended(trainer, trainer_env(run, phase), of_trainer);
    if let Some(store) = direct {
        trainer
            .env_from
            .get_or_insert_default()
            .extend(store.env_from.iter().cloned());
    }
    let init_containers = pod.init_containers.unwrap_or_default();
    PodSpec {
        volumes: Some(volumes.into_vec()),
        restart_policy: Some("Never".to_owned()),
        init_containers: Some(std::iter::once(sampler).chain(copy).chain(init_containers).collect()),
        containers: before.into_iter().chain([trainer]).chain(after).collect(),
        ..pod
    }
}

/// Mounts only the checkpoint's folder, which makes the kubelet create it with the permissions of the volume's root.
fn checkpoint_mount(run: &Run, volumes: &mut Volumes) -> Option<VolumeMount> {
    let checkpoint = run.training.checkpoint.as_ref()?;
    let name = volumes.add(volumes::checkpoint(run)?);
    Some(VolumeMount {
        sub_path: checkpoint.path.clone(),
        ..mount(name, &checkpoint_dir(checkpoint.path.as_deref()))
    })
}

fn checkpoint_dir(path: Option<&str>) -> String {
    path.map_or_else(
        || MOUNT_CHECKPOINT.to_owned(),
        |path| format!("{MOUNT_CHECKPOINT}/{path}"),
    )
}

/// The store has the score index, and the list of the rows that filter and people leave.
fn needs_store(run: &Run, scores: ScoreSource) -> bool {
    scores != ScoreSource::Uniform || run.leaves_rows_out()
}

fn rows_file() -> String {
    format!("{MOUNT_SHARED}/rows.u64")
}

fn sampler(settings: &Settings, run: &Run, scores: ScoreSource, mounts: Vec<VolumeMount>) -> Container {
    let training = &run.training;
    let mut args = vec![
        "sampler".to_owned(),
        format!("--plan={MOUNT_PLAN}/{PLAN_FILE}"),
        format!("--run={}", run.head.id.uid),
        format!("--store={MOUNT_STORE}"),
        format!("--state={MOUNT_SHARED}/.sampler"),
        // Only the pod's own trainer decides what was trained.
        format!("--listen=127.0.0.1:{SAMPLER_PORT}"),
        format!("--status-listen=0.0.0.0:{SAMPLER_STATUS_PORT}"),
    ];
    if needs_store(run, scores) {
        let key = key::task(run).key;
        args.push(format!("--manifest={MOUNT_STORE}/scores/{key}/manifest.json"));
    }
    if training.sampling == Sampling::File {
        args.push(format!("--rows-file={}", rows_file()));
    }
    let own = own_container(settings, SAMPLER, args);
    Container {
        // A native sidecar: started before the trainer, stopped after it, and never in the way of the Job's completion.
        restart_policy: Some("Always".to_owned()),
        ports: Some(vec![ContainerPort {
            name: Some(STATUS_PORT_NAME.to_owned()),
            container_port: i32::from(SAMPLER_STATUS_PORT),
            ..ContainerPort::default()
        }]),
        startup_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/healthz".to_owned()),
                port: IntOrString::Int(i32::from(SAMPLER_STATUS_PORT)),
                ..HTTPGetAction::default()
            }),
            period_seconds: Some(1),
            failure_threshold: Some(SAMPLER_START_SECONDS),
            ..Probe::default()
        }),
        resources: Some(
            training
                .sampler_resources
                .clone()
                .unwrap_or_else(|| requests("50m", "64Mi")),
        ),
        // Its own user whatever the template's is: the trainer may need root, the sampler does not.
        security_context: as_own_user(own.security_context.clone()),
        volume_mounts: Some(mounts),
        ..own
    }
}

fn as_own_user(context: Option<SecurityContext>) -> Option<SecurityContext> {
    context.map(|context| SecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        ..context
    })
}

/// The contract's environment of the trainer.
fn trainer_env(run: &Run, phase: &PhasePlan) -> Vec<EnvVar> {
    let Run {
        curriculum,
        dataset,
        training,
        ..
    } = run;
    let mut env = vec![
        env("CURRICULUM_SAMPLER", &format!("http://127.0.0.1:{SAMPLER_PORT}")),
        // What checkpoints are of: the same for all phases and attempts, and for no other CurriculumJob, even
        // of the same name.
        env("CURRICULUM_RUN", &run.head.id.uid),
        env("CURRICULUM_PHASE", &phase.name),
        env("CURRICULUM_PHASE_INDEX", &phase.index.to_string()),
        env("CURRICULUM_START_STEP", &phase.start_step.to_string()),
        env("CURRICULUM_END_STEP", &phase.end().to_string()),
        env("CURRICULUM_SEED", &run.seed.to_string()),
        env("CURRICULUM_BATCH_SIZE", &curriculum.batch_size.to_string()),
        env("CURRICULUM_DATASET", &dataset_path(dataset)),
        env("CURRICULUM_DATASET_ROOT", dataset_root(dataset)),
        env("CURRICULUM_FORMAT", key::format_name(dataset.format)),
    ];
    if let Paths::Several(paths) = &dataset.paths {
        env.push(self::env("CURRICULUM_DATASET_PATHS", &json!(paths).to_string()));
    }
    if dataset.format == Format::Csv {
        env.push(self::env("CURRICULUM_DELIMITER", &dataset.delimiter.to_string()));
    }
    if let Some(store) = dataset.objects_of_trainer() {
        let given = [
            ("CURRICULUM_DATASET_ENDPOINT", &store.place.endpoint),
            ("CURRICULUM_DATASET_REGION", &store.place.region),
        ];
        env.extend(
            given
                .into_iter()
                .filter_map(|(name, value)| Some(self::env(name, value.as_ref()?))),
        );
    }
    if let Some(checkpoint) = &training.checkpoint {
        env.push(self::env(
            "CURRICULUM_CHECKPOINT_DIR",
            &checkpoint_dir(checkpoint.path.as_deref()),
        ));
    }
    if training.sampling == Sampling::File {
        env.push(self::env("CURRICULUM_ROWS_FILE", &rows_file()));
    }
    env
}

/// The file, folder or pattern as the user gave it; of several the folder that all of them are below.
fn dataset_path(dataset: &Dataset) -> String {
    let root = dataset_root(dataset);
    match &dataset.paths {
        Paths::One(path) => format!("{}/{path}", root.trim_end_matches('/')),
        Paths::Several(_) => root.to_owned(),
    }
}

/// A folder, or the URL where the trainer reads objects by itself.
fn dataset_root(dataset: &Dataset) -> &str {
    dataset
        .objects_of_trainer()
        .map_or(MOUNT_DATASET, |store| &store.place.url)
}

fn extended(mut trainer: Container, env: Vec<EnvVar>, mounts: Vec<VolumeMount>) -> Container {
    let mut users_env = trainer.env.take().unwrap_or_default();
    users_env.retain(|theirs| env.iter().all(|ours| ours.name != theirs.name));
    // Ours first: the user's variables may refer to them as $(NAME).
    trainer.env = Some([env, users_env].concat());

    let mut users_mounts = trainer.volume_mounts.take().unwrap_or_default();
    users_mounts.retain(|theirs| mounts.iter().all(|ours| ours.mount_path != theirs.mount_path));
    trainer.volume_mounts = Some([users_mounts, mounts].concat());

    trainer
        .termination_message_policy
        .get_or_insert_with(|| FALLBACK_TO_LOGS.to_owned());
    trainer
}
