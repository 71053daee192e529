//! A CurriculumJob whose spec was parsed: what deciding and building go by. Every choice is made and every
//! number fits, so that nobody below asks again what a field that is left out, or set beside another one,
//! would mean.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, PersistentVolumeClaimSpec, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::head::Head;
use crate::api::curriculum::{Fraction, Score};
use crate::api::dataset::VolumeSpec;
use crate::api::object_store::TrainerReads;
use crate::api::overrides::OverridesSpec;
use crate::api::scoring::{
    CentreDistanceScorer, ColumnScorer, Combine, ContainerScorer, FileScorer, OnFailure, RarityScorer, ScoringPodSpec,
    TokenizerSpec,
};
use crate::api::training::{CheckpointSpec, Sampling};
use crate::curriculum::plan::Curriculum;
use crate::scoring::task::{Format, Join, Unit};
use crate::store::place::{Objects, Place};

/// One run, as its user wants it. What has become of it so far is in the status, which stands beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Which CurriculumJob it is, and what of it changes while it runs.
    pub head: Head,
    /// Labels by which a queueing controller knows the queue and the priority of its Jobs.
    pub queue_labels: BTreeMap<String, String>,
    /// Seed of every random choice.
    pub seed: u64,
    /// The training data.
    pub dataset: Dataset,
    /// How difficulty is measured.
    pub scoring: Scoring,
    /// Where the score index lives.
    pub store: Store,
    /// What is shown to the model, and when.
    pub curriculum: Curriculum,
    /// The training pods.
    pub training: Training,
    /// How many of its snapshots are kept, at least one.
    pub snapshots_to_keep: usize,
    /// Whether snapshots are put on the store too.
    pub archives_snapshots: bool,
    /// How long it stays once it is over; `None`: for ever.
    pub time_to_live: Option<Duration>,
}

impl Run {
    /// Whether some rows may be in no batch, not counting those that are held out: the inspection writes down which ones are left.
    pub fn leaves_rows_out(&self) -> bool {
        let by_people = self.scoring.overrides.as_ref();
        !self.dataset.filter.is_empty() || by_people.is_some_and(|overrides| overrides.spec.leave_out)
    }
}

impl AsRef<Head> for Run {
    fn as_ref(&self) -> &Head {
        &self.head
    }
}

/// The rows to train on.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What holds the files.
    pub source: Source,
    /// Where they are within it.
    pub paths: Paths,
    /// Its format, given or by its extension.
    pub format: Format,
    /// What separates the fields of CSV, given or by the extension.
    pub delimiter: char,
    /// Most lines that may be no rows of the format.
    pub max_bad_rows: u64,
    /// The user's name for this content.
    pub revision: Option<String>,
    /// Conditions that a row must meet to be trained on; none: all rows are.
    pub filter: Vec<Condition>,
    /// Rows that are held out of training.
    pub split: Option<Split>,
    /// Column that says to which group a row belongs.
    pub group_column: Option<String>,
}

impl Dataset {
    /// The object store that holds the files, if one does.
    pub fn objects(&self) -> Option<&ObjectStore> {
        match &self.source {
            Source::Objects(store) => Some(store),
            Source::Volume(_) => None,
        }
    }

    /// The same, if the trainer reads from it by itself.
    pub fn objects_of_trainer(&self) -> Option<&ObjectStore> {
        self.objects()
            .filter(|store| store.trainer_reads == TrainerReads::Store)
    }
}

/// What holds the files of a data set.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A volume, mounted into every pod.
    Volume(Box<VolumeSpec>),
    /// An object store; its URL is an address.
    Objects(ObjectStore),
}

/// `dataset.objectStore`.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStore {
    /// What the scoring pods read from.
    pub place: Objects,
    /// Secrets and ConfigMaps with the credentials.
    pub env_from: Vec<EnvFromSource>,
    /// How the trainer gets at its rows.
    pub trainer_reads: TrainerReads,
    /// Most bytes that are copied to a node.
    pub size_limit: Quantity,
}

/// A condition of `dataset.filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Name of the column.
    pub column: String,
    /// What the value must be.
    pub test: Test,
}

/// What a value must be; bounds are in the user's own digits: the key of the scores is taken of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// One of these texts.
    In(Vec<String>),
    /// None of these texts.
    NotIn(Vec<String>),
    /// A number of at least that.
    AtLeast(Score),
    /// A number of at most that.
    AtMost(Score),
    /// A number from the first to the second.
    Between(Score, Score),
}

/// `dataset.split`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Fraction of the rows that are held out, greater than 0 and less than 1, as the user wrote it.
    pub held_out: Fraction,
    /// Seed of the choice.
    pub seed: u64,
}

/// Files, folders and patterns within a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// `dataset.path`.
    One(String),
    /// `dataset.paths`.
    Several(Vec<String>),
}

impl Paths {
    /// `dataset.path`, if that is given.
    pub fn one(&self) -> Option<&str> {
        match self {
            Self::One(path) => Some(path),
            Self::Several(_) => None,
        }
    }

    /// `dataset.paths`, if they are given.
    pub fn several(&self) -> &[String] {
        match self {
            Self::One(_) => &[],
            Self::Several(paths) => paths,
        }
    }
}

/// How difficulty is measured, and what happens when that fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Scoring {
    /// The scorers.
    pub scorers: Vec<Scorer>,
    /// How their scores become one.
    pub combine: Combine,
    /// What people say of rows, above the scores.
    pub overrides: Option<Overrides>,
    /// Fraction of the rows that must get a score, in the user's own digits: the key of the scores is taken
    /// of them.
    pub min_coverage: String,
    /// Parts into which the rows are cut, at least one.
    pub shards: u32,
    /// Shards scored at the same time, at least one.
    pub parallelism: u32,
    /// Retries of one shard.
    pub backoff_limit: u32,
    /// How long a scoring Job may take.
    pub timeout: Duration,
    /// What training uses when scoring fails.
    pub on_failure: OnFailure,
    /// Settings of the scoring pods.
    pub pod: ScoringPodSpec,
}

/// One measure of difficulty.
#[derive(Clone, Debug, PartialEq)]
pub struct Scorer {
    /// Its name.
    pub name: String,
    /// Its weight in the combination, in the user's own digits: the key of the scores is taken of them.
    pub weight: String,
    /// What it does.
    pub kind: ScorerKind,
}

/// What a scorer does.
#[derive(Clone, Debug, PartialEq)]
pub enum ScorerKind {
    /// Reads a numeric column.
    Column(ColumnScorer),
    /// Measures the length of a text.
    Length {
        /// Name of the text column.
        column: String,
        /// What is counted.
        unit: Unit,
    },
    /// Measures the length of a text in tokens.
    Tokens {
        /// Name of the text column.
        column: String,
        /// What makes tokens of a text.
        tokenizer: TokenizerSpec,
    },
    /// Measures how rare the tokens of a text are.
    Rarity(RarityScorer),
    /// Measures how much of a text an earlier row has already.
    Duplicates {
        /// Name of the text column.
        column: String,
        /// Words of a shingle.
        shingle: u32,
    },
    /// Measures the distance of an embedding from the centre of its group.
    CentreDistance(CentreDistanceScorer),
    /// Reads scores that somebody has already.
    File {
        /// The file and its columns as the user names them.
        spec: FileScorer,
        /// How it is read.
        file: FileOfRows,
    },
    /// Runs a program; of each of its volumes `readOnly` is set.
    Container(Box<ContainerScorer>),
}

/// A file beside the data whose lines are joined to rows, as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct FileOfRows {
    /// Its format, given or by its extension.
    pub format: Format,
    /// What separates the fields of CSV.
    pub delimiter: char,
    /// How its lines are joined to rows.
    pub join: Join,
}

/// `scoring.overrides`.
#[derive(Clone, Debug, PartialEq)]
pub struct Overrides {
    /// The file and its columns as the user names them.
    pub spec: OverridesSpec,
    /// How it is read.
    pub file: FileOfRows,
}

/// Where the score index lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    /// On a claim of the user's, by its name.
    Claim(String),
    /// On a claim made for this run.
    Own(Box<PersistentVolumeClaimSpec>),
    /// On no volume.
    Remote(Remote),
}

/// A store that no volume holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// Where it is.
    pub place: Place,
    /// With what it is asked.
    pub credentials: RemoteCredentials,
}

/// What the containers that ask a store get.
#[derive(Clone, Debug, PartialEq)]
pub enum RemoteCredentials {
    /// Variables of these Secrets and ConfigMaps.
    Variables(Vec<EnvFromSource>),
    /// The files of that Secret.
    Secret(Option<String>),
}

impl Store {
    /// The store, if no volume holds it.
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Claim(_) | Self::Own(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }
}

/// The training pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The pod.
    pub template: Template,
    /// Retries of one phase.
    pub backoff_limit: u32,
    /// How long a trainer may go without progress; `None`: for ever.
    pub progress_deadline: Option<Duration>,
    /// How the trainer gets its rows.
    pub sampling: Sampling,
    /// Where the trainer keeps its checkpoint.
    pub checkpoint: Option<CheckpointSpec>,
    /// Compute resources of the sampler; `None`: small requests.
    pub sampler_resources: Option<ResourceRequirements>,
}

/// The user's pod, with the trainer picked out from its containers.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Labels and annotations.
    pub metadata: ObjectMeta,
    /// The pod without its containers.
    pub pod: PodSpec,
    /// Containers that stand before the trainer.
    pub before: Vec<Container>,
    /// The trainer.
    pub trainer: Container,
    /// Containers that stand behind the trainer.
    pub after: Vec<Container>,
}
