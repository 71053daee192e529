//! What was asked of the API and when, from the API server's audit log: one JSON line per finished write, and per list by a
//! service account.

use std::env;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::case::Case;
use crate::{OPERATOR_NAMESPACE, Result};

/// One write or list.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// `create`, `update`, `patch`, `delete`, `deletecollection` or `list`.
    pub verb: String,
    /// Who asked.
    pub user: User,
    /// What was written or listed.
    #[serde(default)]
    pub object_ref: ObjectRef,
    /// From where: the pod's address.
    #[serde(rename = "sourceIPs", default)]
    pub source_ips: Vec<String>,
    /// When the answer was sent.
    pub stage_timestamp: Timestamp,
}

/// Who asked.
#[derive(Deserialize, Clone, Debug)]
pub struct User {
    /// Name of the account.
    pub username: String,
}

/// What was written or listed.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct ObjectRef {
    /// Plural name of the kind.
    pub resource: String,
    /// `status`, or empty.
    pub subresource: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl Request {
    /// Whether the operator asked.
    pub fn is_by_operator(&self) -> bool {
        self.user
            .username
            .strip_prefix("system:serviceaccount:")
            .is_some_and(|account| {
                account
                    .strip_prefix(OPERATOR_NAMESPACE)
                    .is_some_and(|account| account.starts_with(':'))
            })
    }

    /// In a few words, without the object's name.
    pub fn kind(&self) -> String {
        let ObjectRef {
            resource, subresource, ..
        } = &self.object_ref;
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("{} {resource}{slash}{subresource}", self.verb)
    }
}

impl Case {
    /// All writes in the case's namespace, in the order of their answers.
    ///
    /// # Errors
    /// When `E2E_AUDIT_LOG` does not name a file that can be read, or a line is no audit event.
    pub fn writes(&self) -> Result<Vec<Request>> {
        let mut writes = read(&format!("\"namespace\":\"{}\"", self.namespace))?;
        writes.retain(|write| {
            write.object_ref.namespace == self.namespace && write.stage_timestamp >= self.since && write.verb != "list"
        });
        Ok(writes)
    }
}

/// All writes and lists by the operator since then, but for those that keep its lease, in the order of their answers.
///
/// # Errors
/// As [`Case::writes`].
pub fn by_operator_since(time: Timestamp) -> Result<Vec<Request>> {
    let mut writes = read(&format!("system:serviceaccount:{OPERATOR_NAMESPACE}:"))?;
    writes.retain(|write| {
        write.is_by_operator() && write.stage_timestamp >= time && write.object_ref.resource != "leases"
    });
    Ok(writes)
}

/// The requests whose line has that text: most lines are about others, and parsing them all takes seconds.
fn read(needle: &str) -> Result<Vec<Request>> {
    let log = env::var("E2E_AUDIT_LOG").map_err(|_| "E2E_AUDIT_LOG must name the local cluster's audit log")?;
    let text = std::fs::read_to_string(&log).map_err(|error| format!("{log}: {error}"))?;
    // A last line without its end is still being written.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let lines = whole.lines().filter(|line| line.contains(needle));
    let mut writes = lines
        .map(serde_json::from_str)
        .collect::<std::result::Result<Vec<Request>, _>>()?;
    writes.sort_by_key(|write| write.stage_timestamp);
    Ok(writes)
}
