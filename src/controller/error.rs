//! What can go wrong around a decision. Waiting, being told no, and being overtaken are no errors: see `act::Ended`.

/// Why a reconcile did not come to its end. Every variant is retried with a back-off.
#[derive(thiserror::Error, Debug)]
pub(crate) enum Error {
    /// A request to the API server failed.
    #[error("{verb} {resource} '{name}': {source}")]
    Api {
        verb: &'static str,
        resource: &'static str,
        name: String,
        source: Box<kube::Error>,
    },
    /// An object of ours is on its way out; its name is free once it is gone.
    #[error("{resource} '{name}' is still being deleted")]
    Terminating { resource: &'static str, name: String },
    /// The API server would not let an object be made; the status says so.
    #[error("blocked: {0}")]
    Blocked(String),
    /// Another process has taken the lead, or this one could not renew its lease: it must not write any more.
    #[error("the lease is lost")]
    LeaseLost,
    /// The reconcile took longer than its deadline.
    #[error("no end within {0} s")]
    Deadline(u64),
    /// A bug: the reconcile panicked.
    #[error("panicked: {0}")]
    Panicked(String),
}

impl Error {
    pub(crate) fn api(verb: &'static str, resource: &'static str, name: &str, source: kube::Error) -> Self {
        Self::Api {
            verb,
            resource,
            name: name.to_owned(),
            source: Box::new(source),
        }
    }

    /// The kind of error as a label of few values.
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => match status.code {
                    401 | 403 => "forbidden",
                    404 => "not_found",
                    409 => "conflict",
                    400 | 422 => "invalid",
                    429 => "throttled",
                    500.. => "server",
                    _ => "api",
                },
                kube::Error::SerdeError(_) => "serialization",
                _ => "connection",
            },
            Self::Terminating { .. } => "terminating",
            Self::Blocked(_) => "blocked",
            Self::LeaseLost => "lease_lost",
            Self::Deadline(_) => "deadline",
            Self::Panicked(_) => "panic",
        }
    }
}
