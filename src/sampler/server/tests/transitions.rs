//! A phase that ends by what the trainer reports.

use super::*;
use crate::curriculum::canonical;
use crate::curriculum::transition::{Kind, Transitions};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Steps 10 to 30, left once `val` is at least 0.9 for two values, after 4 steps at least.
pub(super) fn watched() -> Plan {
    let mut plan = attempt_plan();
    let transitions: Transitions = serde_json::from_value(json!({"advance": {
        "minimumSteps": 4,
        "quantifier": "All",
        "criteria": [{"metric": "val", "smoothing": 0, "consecutive": 2, "test": {"atLeast": 900_000}}],
    }}))
    .unwrap();
    plan.phases[0].transitions = Some(transitions);
    plan
}

impl Served {
    async fn tells(&self, step: u64, val: f64) -> Value {
        let reply = self
            .post(json!({"step": step, "metrics": {"val": val}}).to_string())
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        reply.json()
    }

    /// Steps of a reply to a session, and the end that it names.
    async fn gets(&self, session: &str, from: u64, more: &str) -> (u64, u64) {
        let reply = self
            .get(&format!("/v1/batches?session={session}&from={from}&count=64{more}"))
            .await;
        if reply.status == StatusCode::NO_CONTENT {
            return (0, reply.header(END_STEP));
        }
        (reply.header(BATCHES), reply.header(END_STEP))
    }
}

#[tokio::test]
async fn every_rank_gets_the_same_steps_of_a_phase_that_ends_early() {
    let s = serve(watched());
    let (a, b) = (s.session(0, 2).await, s.session(1, 2).await);
    for (session, count) in [(&a, 4), (&b, 2)] {
        s.get(&format!("/v1/batches?session={session}&from=10&count={count}"))
            .await;
    }
    assert_eq!(s.tells(12, 0.95).await["decision"], "continue", "one value");
    assert_eq!(s.tells(12, 0.95).await["decision"], "continue", "the same one");
    assert_eq!(s.tells(13, 0.95).await["decision"], "continue", "too early");
    let reply = s.tells(14, 0.95).await;
    assert_eq!(
        (&reply["decision"], &reply["endStep"]),
        (&json!("advance"), &json!(15)),
        "{reply}"
    );
    assert!(s.metrics().await.contains("curriculum_sampler_end_step 15"));

    assert_eq!(s.gets(&b, 12, "").await, (2, 15), "the last step alone");
    assert_eq!(s.gets(&b, 14, "").await, (1, 15));
    assert_eq!(s.gets(&a, 14, "&hold=true").await, (1, 15));
    let status = s.attempt.status();
    assert_eq!(
        (status.served_step, status.end_step, status.end()),
        (14, 30, 15),
        "one rank only looked at it"
    );
    assert_eq!(
        s.tells(14, 0.1).await["decision"],
        "advance",
        "what is decided stays so"
    );
    assert_eq!(s.gets(&a, 14, "").await, (1, 15));
    assert_eq!(s.gets(&a, 15, "").await, (0, 15));

    let result = s.attempt.result(LIMIT);
    let decision = result.decision.clone().unwrap();
    assert_eq!(
        (decision.kind, decision.step, decision.reported),
        (Kind::Advance, 15, 14)
    );
    assert_eq!(decision.because, "val is 0.95, at least 0.9, 2 times in a row");
    let bytes: Vec<u8> = s
        .expected(10..15, 0, 1)
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    assert_eq!(
        result.sequence_digest,
        Some(canonical::sha256(bytes)),
        "the rows are those of the plan"
    );
    assert_eq!(s.attempt.ended(), Some(result));
}

/// A trainer may go back to its checkpoint, and the container may be started again: the phase ends where it was decided.
#[tokio::test]
async fn a_decision_outlives_the_sampler_and_a_trainer_that_goes_back() {
    let s = serve(watched());
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=3")).await;
    let s = serve_from(watched(), s.state);
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=6")).await;
    s.tells(15, 0.95).await;
    // Killed at once after its reply: what the criterion knows is on file.
    let s = serve_from(watched(), s.state);
    assert_eq!(s.tells(16, 0.95).await["endStep"], 17);
    let s = serve_from(watched(), s.state);
    assert_eq!(s.attempt.end_step(), 17);
    let id = s.session(0, 1).await;
    assert_eq!(s.gets(&id, 10, "").await, (6, 17));
    assert_eq!(s.gets(&id, 16, "").await, (1, 17));
    assert_eq!(s.tells(17, 0.0).await["decision"], "advance");
    let result = s.attempt.result(LIMIT);
    assert_eq!((result.served_step, result.decision.unwrap().step), (17, 17));
    assert!(result.sequence_digest.is_some());
}

/// Rows that are on their way when it is decided are not taken back.
#[tokio::test]
async fn a_decision_takes_effect_behind_what_is_being_sent() {
    let s = serve(watched());
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=5")).await;
    s.tells(14, 0.95).await;
    let query: BTreeMap<String, String> = [("session", id.as_str()), ("from", "15"), ("count", "7")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let parsed = BatchRequest::parse(&query, &(10..30), (12, 12), 1000, |name| s.attempt.find(name)).unwrap();
    let request = s.attempt.claim(parsed);
    assert_eq!(s.tells(15, 0.95).await["endStep"], 23);
    let body = Body::new(BatchBody::new(Arc::clone(&s.attempt), request))
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body.len(), 7 * 12 * 8);
    assert_eq!(s.attempt.status().served_step, 22);
    assert_eq!(s.gets(&id, 22, "").await, (1, 23));
}

/// What a trainer got before it went back counts, also after a restart of the container: nobody is sent behind its own checkpoint.
#[tokio::test]
async fn a_decision_lies_behind_what_any_trainer_ever_got() {
    let s = serve(watched());
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=15")).await;
    let s = serve_from(watched(), s.state);
    let back = s
        .open(json!({"rank": 0, "world": 1, "step": 12, "run": RUN}))
        .await
        .json();
    let id = back["session"].as_str().unwrap().to_owned();
    s.get(&format!("/v1/batches?session={id}&from=12&count=3")).await;
    let s = serve_from(watched(), s.state);
    s.tells(14, 0.95).await;
    assert_eq!(s.tells(15, 0.95).await["endStep"], 26, "25 steps were handed out once");
    let beyond = s.open(json!({"rank": 0, "world": 1, "step": 27, "run": RUN})).await;
    let words = beyond.refusal(StatusCode::CONFLICT);
    assert!(words.contains("the phase ends at step 26"), "{words}");
}
