//! The condition types of a CurriculumJob and every reason they can carry. Documented in `docs/api.md`.

macro_rules! condition_types {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Type of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConditionType { $($(#[doc = $doc])+ $name),+ }

        impl ConditionType {
            /// All types, in the order in which they stand in the status.
            pub const ALL: [Self; [$(stringify!($name)),+].len()] = [$(Self::$name),+];

            /// The name in `status.conditions[].type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What it says, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

condition_types! {
    /// True while the run is on course or has succeeded.
    Ready,
    /// True while the operator still works towards the end of the run.
    Reconciling,
    /// True when the run failed for good and only the user can help.
    Stalled,
    /// True while `spec.suspend` holds the run.
    Suspended,
    /// True once a score index, or a decision to go without, is in use; False when scoring failed.
    ScoresReady,
    /// True while a fallback is in use.
    Degraded,
    /// True once every phase has completed.
    Succeeded,
    /// True once the run failed for good.
    Failed,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Reason of a condition or event: a closed list, so that people and alerts can rely on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name),+ }

        impl Reason {
            /// Every reason with its meaning, in the order of the documentation.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, concat!($($doc),+).trim_ascii())),+];

            /// The text in `reason` fields.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// The reason of that name, if it is one of ours.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().map(|(reason, _)| *reason).find(|reason| reason.as_str() == name)
            }
        }
    };
}

reasons! {
    /// The job was accepted; nothing runs yet.
    Pending,
    /// The data set is being inspected, and its rows are being scored and indexed.
    Scoring,
    /// A score index computed for this job is in use.
    Scored,
    /// A score index of the same key was found on the claim.
    Cached,
    /// A phase is being trained.
    Training,
    /// An attempt failed; the next one waits for its back-off.
    Retrying,
    /// `spec.suspend` is true.
    Suspended,
    /// `spec.suspend` is false.
    NotSuspended,
    /// `spec.suspend` is true, and pods of the run are still ending.
    Suspending,
    /// Every phase completed.
    Completed,
    /// The run has not ended.
    InProgress,
    /// Nothing is wrong.
    AsExpected,
    /// Scoring failed and every row is equally likely.
    UniformFallback,
    /// Scoring failed and the newest earlier index is in use.
    LastGoodFallback,
    /// The score index was unreadable or did not match its digest; the sampler went on uniformly.
    IndexUnusable,
    /// The score index can be used again.
    IndexUsable,
    /// The score store does not answer; training goes on with the copy of the index that its pod has.
    StoreUnavailable,
    /// The score store answers again.
    StoreAvailable,
    /// A snapshot could not be put on the store; it is in the cluster only, and training goes on.
    SnapshotNotArchived,
    /// A scoring Job failed: the scorer's own message is in the condition's message.
    ScorerFailed,
    /// A scoring Job ran longer than `scoring.timeoutSeconds`.
    ScoringTimedOut,
    /// An image could not be pulled, or a container could not be created.
    ImageUnavailable,
    /// Scores were missing, duplicate, not finite or in a wrong shape.
    ScoresInvalid,
    /// Fewer rows than `scoring.minCoverage` have a finite score.
    CoverageTooLow,
    /// Scores on the claim are of other data, or of an earlier content of the file: the rows are scored anew.
    StaleIndex,
    /// A scoring Job ended with exit code 0 but left no summary.
    SummaryMissing,
    /// The data set's file does not exist.
    DatasetNotFound,
    /// The data set's file cannot be read in its format.
    DatasetUnreadable,
    /// The data set has no rows.
    DatasetEmpty,
    /// A column named in the spec does not exist or has an unsuitable type.
    ColumnNotFound,
    /// `dataset.groupColumn` has more than 256 distinct values.
    TooManyGroups,
    /// The data set could not be inspected, through no fault of its own; it is tried again.
    InspectionFailed,
    /// The spec contradicts itself or the data; the message names the field.
    InvalidSpec,
    /// By what the trainer reported, an earlier phase begins anew.
    Regressed,
    /// A phase ran to its last step because the trainer reported none of the metrics that may end it early.
    MetricsMissing,
    /// A training attempt failed.
    TrainerFailed,
    /// The trainer ended with exit code 0 without having used the sampler to the phase's last step.
    ResultMismatch,
    /// A training Job disappeared.
    JobLost,
    /// Something outside of the trainer ended a training pod: an eviction, a preemption, a drain, a lost node. It costs nothing.
    Interrupted,
    /// The trainer made no step and reported no metric for `training.progressDeadlineSeconds`.
    NoProgress,
    /// The scheduler finds no node for a pod; its words are in the message.
    Unschedulable,
    /// A queueing controller holds a Job of this run.
    Queued,
    /// A Job cannot make its pod, as by a quota, a policy or a missing service account.
    PodRefused,
    /// A volume of a pod cannot be attached or mounted, or nothing provides one for a claim.
    VolumeUnavailable,
    /// A pod has a node, but its containers do not start there.
    PodNotStarted,
    /// A container of a training pod, such as the sampler, crashes again and again.
    CrashLooping,
    /// The node of a training pod does not answer, so that nobody knows whether the trainer still runs.
    NodeLost,
    /// Every retry of a phase is used up.
    BackoffLimitExceeded,
    /// An object of a name that this job needs belongs to somebody else.
    NameConflict,
    /// The API server refuses an object that this job needs, as by a quota or a policy; its words are in the message.
    ObjectRefused,
}
