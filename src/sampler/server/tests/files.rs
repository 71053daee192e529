//! What the trainer is told of the data set's files.

use std::fs;

use super::*;
use crate::curriculum::split::{HeldOut, Split};
use crate::store::Shared;

const MANIFEST: &str = r#"{"version":3,"format":"Csv","delimiter":",","rows":3,
    "source":{"bytes":14,"edges":"sha256:00"},"groupNames":[],"groupRows":[],"files":[
        {"path":"d/a.csv","rows":2,"bytes":8,"edges":"sha256:01"},
        {"path":"d/b.csv","rows":1,"bytes":6,"edges":"sha256:02"}]}"#;

fn files(manifest: &str, offsets: Option<&[u64]>) -> Served {
    let mut served = serve(attempt_plan());
    let path = served.state.path().join("manifest.json");
    fs::write(&path, manifest).unwrap();
    if let Some(offsets) = offsets {
        let bytes: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        fs::write(path.with_file_name("offsets.u64"), bytes).unwrap();
    }
    let files = Arc::new(DatasetFiles::new(Shared::volume(path.parent().unwrap()), Some(path)));
    served.app = trainer_router(Arc::clone(&served.attempt), files);
    served
}

#[tokio::test]
async fn files_and_offsets_are_told() {
    let s = files(MANIFEST, Some(&[2, 5, 2]));
    let reply = s.get("/v1/dataset").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.json(),
        json!({"format": "Csv", "delimiter": ",", "rows": 3, "files": [
            {"path": "d/a.csv", "rows": 2, "bytes": 8},
            {"path": "d/b.csv", "rows": 1, "bytes": 6},
        ]})
    );
    for (query, expected) in [
        ("from=0&count=3", &[2, 5, 2][..]),
        ("from=1&count=65536", &[5, 2]),
        ("from=3&count=1", &[]),
        ("from=18446744073709551615&count=1", &[]),
    ] {
        assert_eq!(s.get(&format!("/v1/offsets?{query}")).await.rows(), expected, "{query}");
    }
    let refused = s.get("/v1/offsets?from=0&count=65537").await;
    assert_eq!(refused.error(), "`count` is 65537; a reply has at most 65536 rows");
    let refused = s.get("/v1/offsets?from=x&count=1").await;
    assert_eq!(refused.error(), "`from` is `x`; it must be a whole number");
}

#[tokio::test]
async fn rows_that_are_held_out_are_told() {
    let words = serve(attempt_plan())
        .get("/v1/held-out")
        .await
        .refusal(StatusCode::NOT_FOUND);
    assert_eq!(words, "the job has no `dataset.split`: no rows are held out");
    let held_out = HeldOut { rows: 7, seed: 1 };
    let s = serve(Plan {
        rows: 993,
        group_rows: vec![993],
        scores: None,
        held_out: Some(held_out),
        ..attempt_plan().uniform()
    });
    let mut expected: Vec<u64> = Split::new(1000, held_out).held_out().collect();
    expected.sort_unstable();
    assert_eq!(s.get("/v1/held-out").await.rows(), expected);
    let plan = s.get("/v1/plan").await.json();
    assert_eq!(
        (plan["rows"].as_u64(), plan["heldOutRows"].as_u64()),
        (Some(1000), Some(7))
    );
    let many = HeldOut { rows: 1 << 24, seed: 1 };
    let s = serve(Plan {
        held_out: Some(many),
        ..s.attempt.opened().plan.clone()
    });
    let words = s.get("/v1/held-out").await.error();
    assert!(
        words.starts_with("16777216 rows are held out, more than the 8388608 of a reply"),
        "{words}"
    );
}

#[tokio::test]
async fn what_is_not_known_is_said_to_be() {
    let untold = serve(attempt_plan());
    let parquet = files(&MANIFEST.replace("Csv", "Parquet"), None);
    let earlier = files(
        &MANIFEST
            .replace("\"version\":3", "\"version\":2")
            .replace("\"format\":\"Csv\",\"delimiter\":\",\",", ""),
        None,
    );
    let swept = files(MANIFEST, None);
    fs::remove_file(swept.state.path().join("manifest.json")).unwrap();
    for (s, path, why) in [
        (&untold, "/v1/dataset", "no scores are in use"),
        (&parquet, "/v1/offsets?from=0&count=1", "Parquet needs none"),
        (&earlier, "/v1/dataset", "an earlier version"),
        (&swept, "/v1/dataset", "no manifest of the inspection any more"),
    ] {
        let words = s.get(path).await.refusal(StatusCode::NOT_FOUND);
        assert!(words.contains(why), "{words}");
    }
    // A store that may be in order the next time is asked again.
    let damaged = files(MANIFEST, Some(&[2, 5]));
    let words = damaged
        .get("/v1/dataset")
        .await
        .refusal(StatusCode::INTERNAL_SERVER_ERROR);
    assert!(words.contains("which are not the offsets of 3 rows"), "{words}");
    fs::write(damaged.state.path().join("offsets.u64"), [0; 24]).unwrap();
    assert_eq!(damaged.get("/v1/dataset").await.status, StatusCode::OK);
}
