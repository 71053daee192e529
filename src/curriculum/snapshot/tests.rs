use super::*;

fn state(phase: u32, previous: Option<&State>) -> State {
    State {
        version: SNAPSHOT_VERSION,
        previous: previous.map(State::digest),
        plan_digest: canonical::sha256(format!("plan {phase}")),
        score_digest: Some(canonical::sha256("scores")),
        phase_index: phase,
        phase_name: format!("phase-{phase}"),
        visit: 0,
        step: 300 * u64::from(phase + 1),
        decision: None,
        seed: 42,
        rows: 1797,
        overrides: None,
        exposure: vec![9600, 9600],
        tokens: None,
        sequence_digest: Some(canonical::sha256("rows")),
        metrics: [(
            "val_accuracy".to_owned(),
            MetricState {
                value: "0.883".to_owned(),
                step: 299,
            },
        )]
        .into(),
    }
}

/// A state as stored: bytes, digest, previous.
type Stored = (String, String, Option<String>);

fn stored() -> Vec<Stored> {
    let first = state(0, None);
    let second = state(1, Some(&first));
    let third = state(2, Some(&second));
    [first, second, third]
        .iter()
        .map(|s| (s.to_canonical_json(), s.digest(), s.previous.clone()))
        .collect()
}

fn check(stored: &[Stored]) -> Result<Vec<State>, ChainError> {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let links: Vec<Link<'_>> = NAMES
        .iter()
        .zip(stored)
        .map(|(name, (state, digest, previous))| Link {
            name,
            state,
            digest,
            previous: previous.as_deref(),
        })
        .collect();
    verify(&links)
}

/// The stored form of a changed state whose own digest fits.
fn forged(stored: &str, change: impl FnOnce(&mut State)) -> Stored {
    let mut state: State = serde_json::from_str(stored).unwrap();
    change(&mut state);
    (state.to_canonical_json(), state.digest(), state.previous)
}

#[test]
fn canonical_json_has_only_what_is_known() {
    let bare = State {
        score_digest: None,
        exposure: vec![],
        sequence_digest: None,
        metrics: BTreeMap::new(),
        plan_digest: "p".into(),
        ..state(0, None)
    };
    let json = r#"{"phaseIndex":0,"phaseName":"phase-0","planDigest":"p","rows":1797,"seed":42,"step":300,"version":2,"visit":0}"#;
    assert_eq!(bare.to_canonical_json(), json);
    assert_eq!(bare.digest(), canonical::sha256(json));
    assert_eq!(serde_json::from_str::<State>(json).unwrap(), bare);
}

#[test]
fn an_unbroken_chain_is_read() {
    let stored = stored();
    let states = check(&stored).unwrap();
    assert_eq!(states.iter().map(|s| s.step).collect::<Vec<_>>(), [300, 600, 900]);
    assert_eq!(states[2].previous.as_ref(), Some(&stored[1].1));
    // The oldest may have been removed.
    assert_eq!(check(&stored[1..]).unwrap().len(), 2);
    assert!(check(&[]).unwrap().is_empty());
}

#[test]
fn refusals_name_the_snapshot_and_what_is_wrong() {
    let good = stored();
    let refuse = |change: &dyn Fn(&mut Vec<Stored>)| {
        let mut stored = good.clone();
        change(&mut stored);
        check(&stored).unwrap_err().to_string()
    };

    let tampered = good[1].0.replace("0.883", "0.999");
    assert_eq!(
        refuse(&|s| s[1].0 = tampered.clone()),
        format!(
            "snapshot b: the state's digest is {}, but the snapshot says {}; the state was changed",
            canonical::sha256(&tampered),
            good[1].1
        )
    );
    // The digest is brought in line, but the next snapshot remembers.
    let forgery = forged(&good[1].0, |s| s.metrics.clear());
    assert_eq!(
        refuse(&|s| s[1] = forgery.clone()),
        format!(
            "snapshot c: it follows {}, but the one before it is b with {}; one is missing or was replaced",
            good[1].1, forgery.1
        )
    );
    assert!(refuse(&|s| s.swap(1, 2)).starts_with("snapshot b: it follows "));
    assert!(refuse(&|s| drop(s.remove(1))).starts_with("snapshot b: it follows "));
    assert!(
        refuse(&|s| s[2] = forged(&good[2].0, |s| s.previous = None)).starts_with("snapshot c: it follows none, but ")
    );
    assert_eq!(
        refuse(&|s| s[1].2 = None),
        format!(
            "snapshot b: it says that the one before is none, but its state says {}",
            good[0].1
        )
    );
    assert_eq!(
        refuse(&|s| s[1] = forged(&s[1].0, |s| s.seed = 7)),
        "snapshot b: seed is 7, but a has 42"
    );
    assert_eq!(
        refuse(&|s| s[1] = forged(&s[1].0, |s| s.rows = 7)),
        "snapshot b: rows is 7, but a has 1797"
    );
    assert_eq!(
        refuse(&|s| s[1] = forged(&s[1].0, |s| s.step = 300)),
        "snapshot b: step is 300, but a has 300"
    );
    assert_eq!(
        refuse(&|s| s[0] = forged(&s[0].0, |s| s.version = 3)),
        "snapshot a: version 3 is not 2, the only one that this build reads"
    );
    let unreadable = ("{}".to_owned(), canonical::sha256("{}"), None);
    assert!(refuse(&|s| s[0] = unreadable.clone()).starts_with("snapshot a: the state cannot be read: missing field"));
}
