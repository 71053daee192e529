//! Which batches a request asks for: its parameters, checked, and how they are cut into replies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use super::part::Part;
use super::report::BadRequest;
use super::sessions::{Refusal, SessionId};

/// Bytes of one reply in binary; one batch is returned even when it is longer.
pub const REPLY_BYTES: u64 = 64 << 20;
/// Rows of one reply in JSON.
pub const JSON_ROWS: u64 = 1 << 17;

/// Steps `from..to` of one rank. Empty at or past the phase's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRequest {
    /// First step.
    pub from: u64,
    /// First step after them.
    pub to: u64,
    /// The rank that asks.
    pub part: Part,
    /// Slots of the rank in each batch.
    pub width: u64,
    /// The session that gets them; `None` when somebody only looks, and then nothing counts as handed out.
    pub session: Option<SessionId>,
    /// The phase's last step does not count yet: it was asked for before it was wanted.
    pub holds_last: bool,
}

impl BatchRequest {
    /// Reads the parameters of a request about the steps `start..end` with `batch` slots each, at least `fewest` of them with a row: `from`, `count` (default 1), and either
    /// `session`, which `find` knows, or `rank` (0) and `world` (1) of somebody who looks. With `peek=true` a session only looks too, with
    /// `hold=true` it only looks at the phase's last step.
    /// At most `max_rows` rows, but at least one batch, are returned.
    ///
    /// # Errors
    /// Names the parameter, its value and what would be right.
    pub fn parse(
        query: &BTreeMap<String, String>,
        steps: &Range<u64>,
        (batch, fewest): (u64, u64),
        max_rows: u64,
        find: impl FnOnce(&str) -> Result<SessionId, Refusal>,
    ) -> Result<Self, Refusal> {
        let known = ["session", "from", "count", "rank", "world", "peek", "hold"];
        if let Some(name) = query.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(BadRequest(format!(
                "`{}` is no parameter; expected {}",
                cut(name),
                known.join(", ")
            ))
            .into());
        }
        let range = format!(
            "a step from {} on; {} is the first after the phase",
            steps.start, steps.end
        );
        let from: u64 = number(query, "from", None, &range)?;
        let count: u64 = number(query, "count", Some(1), "a number of batches from 1 on")?;
        if from < steps.start {
            return Err(wrong("from", &from.to_string(), &range).into());
        }
        if count == 0 {
            return Err(wrong("count", "0", "a number of batches from 1 on").into());
        }
        let (part, session) = who(query, fewest, find)?;
        let width = part.rows(batch);
        let from = from.min(steps.end);
        let fits = (max_rows / width).max(1);
        Ok(Self {
            from,
            to: from + count.min(fits).min(steps.end - from),
            part,
            width,
            session,
            holds_last: flag(query, "hold")? == Some(true),
        })
    }

    /// The same request where the phase ends at `end`; `is_early`: before its last planned step. Then its last step is asked for
    /// alone, by whoever knows then that it is the last.
    pub fn up_to(mut self, end: u64, is_early: bool) -> Self {
        self.from = self.from.min(end);
        self.to = self.to.min(end);
        if self.to != end || self.from == self.to {
            return self;
        }
        if self.to - self.from > 1 && (is_early || self.holds_last) {
            self.to -= 1;
        } else if self.holds_last {
            self.session = None;
        }
        self
    }

    /// Slots of all of the batches.
    pub fn rows(&self) -> u64 {
        (self.to - self.from) * self.width
    }
}

/// The rank that asks, and its session if what it gets counts.
fn who(
    query: &BTreeMap<String, String>,
    fewest: u64,
    find: impl FnOnce(&str) -> Result<SessionId, Refusal>,
) -> Result<(Part, Option<SessionId>), Refusal> {
    let peek = flag(query, "peek")?;
    let Some(name) = query.get("session") else {
        if peek == Some(false) {
            let right = "a `session`, which `POST /v1/sessions` opens: without one nothing counts as handed out";
            return Err(wrong("peek", "false", right).into());
        }
        let world: u32 = number(query, "world", Some(1), "the number of ranks that share a batch")?;
        let rank: u32 = number(query, "rank", Some(0), "a rank, counted from 0")?;
        return Ok((Part { rank, world }.check(fewest)?, None));
    };
    for name in ["rank", "world"] {
        if let Some(value) = query.get(name) {
            return Err(wrong(name, value, "nothing: the session says it").into());
        }
    }
    let id = find(name)?;
    Ok((id.part, (peek != Some(true)).then_some(id)))
}

fn flag(query: &BTreeMap<String, String>, name: &str) -> Result<Option<bool>, BadRequest> {
    match query.get(name).map(String::as_str) {
        None => Ok(None),
        Some("false") => Ok(Some(false)),
        Some("true") => Ok(Some(true)),
        Some(other) => Err(wrong(name, other, "`true` or `false`")),
    }
}

fn number<T: FromStr>(
    query: &BTreeMap<String, String>,
    name: &str,
    default: Option<T>,
    expected: &str,
) -> Result<T, BadRequest> {
    match (query.get(name), default) {
        (Some(text), _) => text.parse().map_err(|_| wrong(name, text, expected)),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(BadRequest(format!("`{name}` is missing; expected {expected}"))),
    }
}

fn wrong(name: &str, value: &str, expected: &str) -> BadRequest {
    BadRequest(format!("`{name}` is `{}`; expected {expected}", cut(value)))
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000000000ab-1-2-4";

    fn find(name: &str) -> Result<SessionId, Refusal> {
        name.parse().map_err(|()| Refusal::Unknown("no such session".into()))
    }

    fn parse(query: &str) -> Result<BatchRequest, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        BatchRequest::parse(&query, &(100..200), (10, 10), 1000, find).map_err(|e| e.to_string())
    }

    #[test]
    fn parameters_have_defaults() {
        let expected = BatchRequest {
            from: 120,
            to: 121,
            part: Part::WHOLE,
            width: 10,
            session: None,
            holds_last: false,
        };
        assert_eq!(parse("from=120").unwrap(), expected);
        let expected = BatchRequest {
            from: 120,
            to: 125,
            part: Part { rank: 2, world: 4 },
            width: 2,
            session: None,
            holds_last: false,
        };
        assert_eq!(parse("from=120&count=5&rank=2&world=4&peek=true").unwrap(), expected);
        assert_eq!(
            parse(&format!("from=120&count=5&session={ID}&peek=true")).unwrap(),
            expected
        );
        let counts = BatchRequest {
            session: ID.parse().ok(),
            ..expected
        };
        assert_eq!(parse(&format!("from=120&count=5&session={ID}")).unwrap(), counts);
    }

    #[test]
    fn fewer_batches_at_the_end_and_where_a_reply_is_full() {
        let steps = |query: &str| parse(query).map(|r| r.from..r.to).unwrap();
        assert_eq!(steps("from=195&count=10"), 195..200);
        assert_eq!(steps("from=200&count=10"), 200..200);
        assert_eq!(steps("from=18446744073709551615&count=18446744073709551615"), 200..200);
        assert_eq!(steps("from=100&count=18446744073709551615&world=10"), 100..200);
        let full = BatchRequest::parse(
            &[("from".into(), "0".into()), ("count".into(), "99".into())].into(),
            &(0..99),
            (300, 300),
            1000,
            find,
        );
        assert_eq!(full.map(|r| r.from..r.to), Ok(0..3));
        let huge = BatchRequest::parse(
            &[("from".into(), "0".into()), ("count".into(), "99".into())].into(),
            &(0..99),
            (3000, 3000),
            1000,
            find,
        );
        assert_eq!(huge.map(|r| r.from..r.to), Ok(0..1), "one batch is always returned");
    }

    /// A phase of the steps 100 to 200 that ends at 150 gives its last step alone; who holds the last step back only looks at it.
    #[test]
    fn the_last_step_of_a_phase_that_ends_early_is_asked_for_alone() {
        let at = |query: &str, end, is_early| {
            let request = parse(&format!("{query}&session={ID}")).unwrap().up_to(end, is_early);
            (request.from..request.to, request.session.is_some())
        };
        assert_eq!(at("from=140&count=64", 150, true), (140..149, true));
        assert_eq!(at("from=149&count=64", 150, true), (149..150, true));
        assert_eq!(at("from=149&count=64&hold=true", 150, true), (149..150, false));
        assert_eq!(at("from=150&count=64", 150, true), (150..150, true));
        assert_eq!(at("from=170&count=64", 150, true), (150..150, true));
        assert_eq!(at("from=190&count=64", 200, false), (190..200, true), "as planned");
        assert_eq!(at("from=190&count=64&hold=true", 200, false), (190..199, true));
        assert_eq!(at("from=199&count=1&hold=true", 200, false), (199..200, false));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let cases = [
            (
                "",
                "`from` is missing; expected a step from 100 on; 200 is the first after the phase",
            ),
            (
                "from=99",
                "`from` is `99`; expected a step from 100 on; 200 is the first after the phase",
            ),
            (
                "from=-1",
                "`from` is `-1`; expected a step from 100 on; 200 is the first after the phase",
            ),
            (
                "from=100&count=0",
                "`count` is `0`; expected a number of batches from 1 on",
            ),
            (
                "from=100&count=x",
                "`count` is `x`; expected a number of batches from 1 on",
            ),
            (
                "from=100&world=0",
                "`world` is `0`; expected 1 to 10: a batch has 10 rows, and every rank needs one",
            ),
            (
                "from=100&world=11",
                "`world` is `11`; expected 1 to 10: a batch has 10 rows, and every rank needs one",
            ),
            (
                "from=100&rank=1",
                "`rank` is `1`; expected less than `world`, which is 1",
            ),
            ("from=100&peek=1", "`peek` is `1`; expected `true` or `false`"),
            (
                "from=100&form=100",
                "`form` is no parameter; expected session, from, count, rank, world, peek, hold",
            ),
            ("from=100&session=mine", "no such session"),
            (
                "from=100&peek=false",
                "`peek` is `false`; expected a `session`, which `POST /v1/sessions` opens: without one nothing counts as handed out",
            ),
            (
                "from=100&session=00000000000000ab-1-2-4&rank=0",
                "`rank` is `0`; expected nothing: the session says it",
            ),
        ];
        for (query, message) in cases {
            assert_eq!(parse(query).unwrap_err(), message);
        }
    }
}
