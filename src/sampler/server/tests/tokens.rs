//! Batches that tokens bound: fewer rows than slots.

use super::*;
use crate::curriculum::plan::TokenBudget;
use crate::sampler::contract::Source;
use crate::sampler::part::Part;

/// The rows of the other tests, of which row r has 1 + (r mod 50) tokens.
struct Long(crate::sampler::source::SharedOrder);

impl crate::curriculum::order::RowOrder for Long {
    fn row(&self, scope: crate::curriculum::order::OrderScope, position: u64) -> u64 {
        self.0.row(scope, position)
    }

    fn lengths(&self, rows: &[u64], out: &mut [u32]) {
        for (length, row) in out.iter_mut().zip(rows) {
            *length = u32::try_from(length_of(*row)).unwrap();
        }
    }
}

fn length_of(row: u64) -> u64 {
    1 + row % 50
}

fn plan() -> Plan {
    Plan {
        tokens: Some(TokenBudget {
            budget: 120,
            max_length: 40,
        }),
        ..attempt_plan()
    }
}

fn with_lengths(scores: &PlanScores) -> Result<Index, Unusable> {
    let index = index(scores)?;
    Ok(Index {
        order: Arc::new(Long(index.order)),
        ..index
    })
}

fn tokens(rows: &[u64]) -> u64 {
    rows.iter().map(|row| length_of(*row).min(40)).sum()
}

fn filled(slots: &[u64]) -> Vec<u64> {
    slots.iter().copied().filter(|row| *row != EMPTY_SLOT).collect()
}

#[tokio::test]
async fn slots_without_a_row_come_last_and_tokens_are_counted() {
    let s = serve_with(plan(), with_lengths);
    let told = s.get("/v1/plan").await.json();
    assert_eq!(told["tokens"], json!({"budget": 120, "maxLength": 40}));
    assert_eq!(told["batchSize"], 12);
    let id = s.session(0, 1).await;
    let slots = s
        .get(&format!("/v1/batches?session={id}&from=10&count=20"))
        .await
        .rows();
    assert_eq!(slots.len(), 20 * 12);
    let batches: Vec<Vec<u64>> = slots.chunks(12).map(filled).collect();
    for (slots, rows) in slots.chunks(12).zip(&batches) {
        assert_eq!(&slots[..rows.len()], rows);
        assert!((81..=120).contains(&tokens(rows)) || rows.len() == 12, "{rows:?}");
    }
    assert!(batches.iter().any(|rows| rows.len() < 12));

    let json = s.get("/v1/batches.json?from=10&count=20").await.json();
    assert_eq!(json["batches"], json!(batches));
    let each: Vec<u64> = batches.iter().map(|rows| tokens(rows)).collect();
    assert_eq!(json["tokens"], json!(each));

    let limit = std::time::Duration::from_secs(60);
    let result = s.attempt.result(limit);
    assert_eq!(result.tokens, Some(each.iter().sum()));
    assert_eq!(
        result.exposure.iter().sum::<u64>(),
        batches.iter().map(Vec::len).sum::<usize>() as u64
    );
    let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
    assert_eq!(
        result.sequence_digest,
        Some(crate::curriculum::canonical::sha256(bytes))
    );
    let rows = batches.iter().map(Vec::len).sum::<usize>();
    assert!(
        s.metrics()
            .await
            .contains(&format!("curriculum_sampler_rows_total {}", 2 * rows))
    );
}

#[tokio::test]
async fn ranks_share_a_batch_and_each_has_a_row() {
    let s = serve_with(plan(), with_lengths);
    let whole = s.get("/v1/batches.json?from=10&count=20").await.json();
    for world in 1..=3 {
        let mut parts: Vec<Vec<u64>> = vec![Vec::new(); 20];
        for rank in 0..world {
            let path = format!("/v1/batches?from=10&count=20&rank={rank}&world={world}");
            let slots = s.get(&path).await.rows();
            let width = Part { rank, world }.rows(12) as usize;
            for (part, slots) in parts.iter_mut().zip(slots.chunks(width)) {
                assert_ne!(slots[0], EMPTY_SLOT);
                part.extend(filled(slots));
            }
        }
        assert_eq!(json!(parts), whole["batches"], "world {world}");
    }
    let refused = s.get("/v1/batches?from=10&world=4").await.error();
    assert_eq!(
        refused,
        "`world` is `4`; expected 1 to 3: a batch has 3 rows, and every rank needs one"
    );
}

/// A batch has as many slots as with lengths, and as many rows as fit whatever their lengths are.
#[tokio::test]
async fn without_lengths_a_row_counts_as_the_longest() {
    let broken = |_: &PlanScores| {
        Err(Unusable {
            fault: crate::sampler::contract::IndexFault::Missing,
            message: "gone".to_owned(),
        })
    };
    for (open, source) in [
        (index as fn(&PlanScores) -> Result<Index, Unusable>, Source::Index),
        (broken, Source::UniformIndexUnusable),
    ] {
        let s = serve_with(plan(), open);
        assert_eq!(s.attempt.status().source, source);
        let slots = s.get("/v1/batches?from=10").await.rows();
        assert_eq!((slots.len(), filled(&slots).len()), (12, 3));
        assert_eq!(s.get("/v1/batches.json?from=10").await.json()["tokens"], json!([120]));
        assert_eq!(s.get("/v1/plan").await.json()["batchSize"], 12);
    }
}
