//! Where scores live: the claim, and the ConfigMap that says what is known of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimSpec};
use serde_json::{Value, json};

use super::{metadata, names};
use crate::{
    controller::validate::{JobId, Run, Store},
    index::summary::IndexSummary,
};

/// Bytes that the ConfigMap's data may take.
const MAX_DATA: usize = 64 * 1024;
/// Characters of a group's value in the group table.
const MAX_GROUP_NAME: usize = 64;

/// The claim of the store; `None` when the user names one.
pub fn claim(run: &Run) -> Option<PersistentVolumeClaim> {
    let Store::Own(spec) = &run.store else { return None };
    let of = &run.head.id;
    Some(PersistentVolumeClaim {
        metadata: metadata(of, names::store_claim(&of.name), "store", None),
        spec: Some(PersistentVolumeClaimSpec::clone(spec)),
        status: None,
    })
}

/// What is known of the scores in use: for people and dashboards; nothing reads it back. Aggregates only, never a row or the score of one.
pub fn scores_config_map(of: &JobId, summary: &IndexSummary) -> ConfigMap {
    let mut data = BTreeMap::from([
        ("key".to_owned(), summary.key.clone()),
        ("digest".to_owned(), summary.digest.clone()),
        ("rows".to_owned(), summary.rows.to_string()),
        ("coverage".to_owned(), coverage(summary.scored_rows, summary.rows)),
        ("quantiles.json".to_owned(), json!(summary.quantiles).to_string()),
        ("histogram.json".to_owned(), json!(summary.histogram).to_string()),
    ]);
    if let Some(lengths) = &summary.lengths {
        data.insert("lengths.json".to_owned(), json!(lengths).to_string());
    }
    if let Some(overrides) = &summary.overrides {
        data.insert("overrides.json".to_owned(), json!(overrides).to_string());
    }
    if !summary.group_rows.is_empty() {
        data.insert("groups.json".to_owned(), group_table(summary, MAX_GROUP_NAME));
        if data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_DATA {
            data.insert("groups.json".to_owned(), group_table(summary, 0));
        }
    }
    ConfigMap {
        metadata: metadata(of, names::scores(&of.name), "scores", None),
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// `scored / rows` as a decimal string with at most 9 digits after the point, rounded down: `"1"` means every row.
pub fn coverage(scored: u64, rows: u64) -> String {
    const UNIT: u128 = 1_000_000_000;
    if scored >= rows {
        return "1".to_owned();
    }
    let billionths = u128::from(scored) * UNIT / u128::from(rows);
    let digits = format!("{billionths:09}");
    match digits.trim_end_matches('0') {
        "" => "0".to_owned(),
        significant => format!("0.{significant}"),
    }
}

/// One entry per group, in the order of the groups: value (its first `name_length` characters), rows, mean rank.
fn group_table(summary: &IndexSummary, name_length: usize) -> String {
    let group = |(index, rows): (usize, &u64)| {
        let mut group = json!({"rows": rows});
        if let Some(name) = summary.group_names.get(index).filter(|_| name_length > 0) {
            group["name"] = Value::String(name.chars().take(name_length).collect());
        }
        if let Some(rank) = summary.group_mean_ranks.get(index) {
            group["meanRank"] = json!(rank);
        }
        group
    };
    Value::Array(summary.group_rows.iter().enumerate().map(group).collect()).to_string()
}
