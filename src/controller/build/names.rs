//! Names of child objects: functions of the job, so that creating one twice meets the same object.

use crate::curriculum::canonical;

/// Longest name of a child. Below the 63 characters of a DNS label, because an Indexed Job's pods are named
/// `<job>-<index>` and have to be one too.
const MAX_LENGTH: usize = 58;
/// Characters of a key or hash in a name.
const SHORT: usize = 8;

/// Claim of the store, unless the user names one: `<job>-store`.
pub fn store_claim(job_name: &str) -> String {
    child(job_name, "store")
}

/// ConfigMap of the scores' metadata: `<job>-scores`.
pub fn scores(job_name: &str) -> String {
    child(job_name, "scores")
}

/// Job that inspects the data set: `<job>-inspect-<key8>`.
pub fn inspect(job_name: &str, key: &str) -> String {
    keyed(job_name, "inspect", key)
}

/// Job that counts tokens: `<job>-count-<key8>`.
pub fn count(job_name: &str, key: &str) -> String {
    keyed(job_name, "count", key)
}

/// Job that scores the rows: `<job>-score-<key8>`.
pub fn score(job_name: &str, key: &str) -> String {
    keyed(job_name, "score", key)
}

/// Job that makes the score index: `<job>-index-<key8>`.
pub fn index(job_name: &str, key: &str) -> String {
    keyed(job_name, "index", key)
}

/// Training Job of one visit: `<job>-train-<visit>`.
pub fn train(job_name: &str, visit: u32) -> String {
    child(job_name, &format!("train-{visit}"))
}

/// Job that puts the snapshot of one visit on the store: `<job>-archive-<visit>`.
pub fn archive(job_name: &str, visit: u32) -> String {
    child(job_name, &format!("archive-{visit}"))
}

/// ConfigMap of the plan of one visit: `<job>-plan-<visit>`.
pub fn plan(job_name: &str, visit: u32) -> String {
    child(job_name, &format!("plan-{visit}"))
}

/// Snapshot at the end of a visit: `<job>-<visit>`.
pub fn snapshot(job_name: &str, visit: u32) -> String {
    child(job_name, &visit.to_string())
}

fn keyed(job_name: &str, component: &str, key: &str) -> String {
    let short: String = key.chars().take(SHORT).collect();
    child(job_name, &format!("{component}-{short}"))
}

/// `<job>-<suffix>`, or where that is no DNS label or too long `<start of the job's name>-<hash of it>-<suffix>`.
fn child(job_name: &str, suffix: &str) -> String {
    let plain = job_name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && job_name.len() + 1 + suffix.len() <= MAX_LENGTH {
        return format!("{job_name}-{suffix}");
    }
    let hash = &hex(job_name)[..SHORT];
    let room = MAX_LENGTH.saturating_sub(SHORT + suffix.len() + 2);
    let start: String = job_name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(room)
        .collect();
    format!("{}-{hash}-{suffix}", start.trim_end_matches('-'))
}

/// SHA-256 as 64 lower-case hexadecimal digits.
pub(super) fn hex(text: &str) -> String {
    canonical::sha256(text).trim_start_matches("sha256:").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn all(job: &str, visit: u32) -> Vec<String> {
        vec![
            store_claim(job),
            scores(job),
            inspect(job, KEY),
            count(job, KEY),
            score(job, KEY),
            index(job, KEY),
            train(job, visit),
            archive(job, visit),
            plan(job, visit),
            snapshot(job, visit),
        ]
    }

    fn is_label(name: &str) -> bool {
        let inner = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-') && !name.is_empty()
    }

    proptest! {
        #[test]
        fn every_name_is_a_label_with_room_for_an_index(
            job in "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", visit in 0_u32..=100_000
        ) {
            for name in all(&job, visit) {
                prop_assert!(is_label(&format!("{name}-999")), "{name}");
            }
        }

        #[test]
        fn a_name_of_an_allowed_length_stays_readable(
            job in "[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", visit in 0_u32..=100_000
        ) {
            for name in all(&job, visit) {
                prop_assert!(name.starts_with(&format!("{job}-")), "{name}");
            }
        }

        #[test]
        fn different_jobs_and_visits_have_different_names(
            left in "[ab]([-ab.]{0,60}[ab])?", right in "[ab]([-ab.]{0,60}[ab])?",
            visit in 0_u32..=100_000
        ) {
            prop_assume!(left != right);
            let names: Vec<String> = [all(&left, visit), all(&right, visit)].concat();
            prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
            for name in [train, archive, plan, snapshot] {
                prop_assert_ne!(name(&left, visit), name(&left, visit + 1));
            }
        }
    }

    #[test]
    fn names_are_what_the_documentation_says() {
        let expected = [
            "digits-store",
            "digits-scores",
            "digits-inspect-01234567",
            "digits-count-01234567",
            "digits-score-01234567",
            "digits-index-01234567",
            "digits-train-3",
            "digits-archive-3",
            "digits-plan-3",
            "digits-3",
        ];
        assert_eq!(all("digits", 3), expected);
        assert_eq!(train("a.b", 0), "a-b-2e7336dc-train-0");
        assert_eq!(
            train(&"long-name-".repeat(6), 0),
            "long-name-long-name-long-name-long-name-l-a3d735d3-train-0"
        );
    }
}
