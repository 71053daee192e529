//! What takes the sampler long: sums over a whole phase, and an index that is not in memory.

use super::*;

#[tokio::test]
async fn sums_over_the_rows_are_those_of_what_was_served() {
    let s = serve(attempt_plan());
    let id = s.session(0, 1).await;
    s.get(&format!("/v1/batches?session={id}&from=10&count=10")).await;
    let limit = std::time::Duration::from_secs(60);
    let half = s.attempt.result(limit);
    assert_eq!(half.exposure.iter().sum::<u64>(), 120);
    assert_eq!((half.sequence_digest, s.attempt.ended()), (None, None));
    s.get(&format!("/v1/batches?session={id}&from=20&count=10")).await;
    let bytes: Vec<u8> = s
        .expected(10..30, 0, 1)
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    let whole = s.attempt.result(limit);
    assert_eq!(whole.sequence_digest, Some(crate::curriculum::canonical::sha256(bytes)));
    assert_eq!(whole.exposure, [60; 4]);
    assert_eq!(s.attempt.ended(), Some(whole));
}

/// Of a phase of more than 2²⁸ rows there are no sums to wait for.
#[tokio::test]
async fn a_phase_too_long_to_sum_up_gives_its_result_as_early() {
    let mut long = attempt_plan();
    long.batch_size = crate::curriculum::plan::MAX_BATCH;
    long.phases[0].end_step = 1000;
    let s = serve(long);
    s.open(json!({"rank": 0, "world": 1, "step": 999, "run": RUN})).await;
    assert_eq!(s.attempt.ended(), None);
    s.open(json!({"rank": 0, "world": 1, "step": 1000, "run": RUN})).await;
    let ended = s.attempt.ended().unwrap();
    assert_eq!((ended.served_step, ended.sequence_digest), (1000, None));
}

/// An order whose file system does not answer until it is let go on.
struct Cold(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl crate::curriculum::order::RowOrder for Cold {
    fn row(&self, _: crate::curriculum::order::OrderScope, position: u64) -> u64 {
        let limit = std::time::Duration::from_secs(60);
        self.0.lock().unwrap().recv_timeout(limit).unwrap();
        position
    }
}

/// On one thread: what waits for a file must not wait there.
#[tokio::test]
async fn a_cold_index_keeps_nobody_else_waiting() {
    let (go_on, cold) = std::sync::mpsc::channel();
    let order = Arc::new(Cold(std::sync::Mutex::new(cold)));
    let mut plan = attempt_plan();
    plan.group_rows = vec![1000];
    plan.phases[0].pools[0].scope = crate::curriculum::plan::Scope::All;
    let opened = Opened::new(
        plan,
        |_| {
            Ok(crate::sampler::source::Index {
                order,
                rows: 1000,
                group_rows: vec![1000],
            })
        },
        no_filter,
    );
    let registry = Registry::new();
    let state = tempfile::tempdir().unwrap();
    let meters = Meters::register(&registry).unwrap();
    let attempt = Attempt::new(opened.unwrap(), None, state.path().to_owned(), meters);
    let s = Served {
        attempt: Arc::new(attempt),
        app: Router::new(),
        status: Router::new(),
        state,
    };
    let s = Served {
        app: trainer_router(Arc::clone(&s.attempt), super::no_files()),
        ..s
    };
    let (batch, status) = tokio::join!(s.get("/v1/batches?from=10"), async {
        let status = s.get("/v1/status").await.status;
        (0..100_000).for_each(|_| go_on.send(()).unwrap());
        status
    });
    assert_eq!((batch.rows().len(), status), (12, StatusCode::OK));
}
