//! Who asks, and what it got: sessions in, `servedStep` out. Pure.
//!
//! A *rank* of a *world* (the number of ranks that share each global batch) opens a *session* before it asks for batches, and announces
//! the step that it begins at: the phase's first, or its checkpoint's. What counts for it is the stretch without a hole from there;
//! a step is served once every rank of the world got it.
//!
//! ```text
//! open(rank, world, step) ─► a session of the current generation   all its sessions have one world and one first step
//!        │ the rank has a session already, or the world has another size: the trainer was started again
//!        └─► the next generation: every session of before is displaced, and what it got counts no more
//! ```
//!
//! A displaced session that asks again is a second process with the same name: that is a *collision*, from which no attempt recovers,
//! because rows were trained twice and others not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::part::Part;
use super::report::BadRequest;
use super::stretches::{Mark, Stretches};

/// Greatest accepted world.
pub const MAX_WORLD: u32 = 4096;
/// Characters of the longest `run` and `key`.
pub const MAX_TEXT: usize = 128;

/// What a trainer says when it opens a session: the body of `POST /v1/sessions`.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// This process among those that share each batch, from 0.
    pub rank: u32,
    /// Processes that share each batch.
    pub world: u32,
    /// Step to begin with: the checkpoint's. Default: the phase's first.
    #[serde(default)]
    pub step: Option<u64>,
    /// The run that the checkpoint is of, as the checkpoint has it. Needed to begin after the phase's first step.
    #[serde(default)]
    pub run: Option<String>,
    /// Rows of the trainer's data set, to be compared with the plan's.
    #[serde(default)]
    pub rows: Option<u64>,
    /// Any text that no other process uses: asked again with the same one, as after a reply that was lost, it is the same session.
    #[serde(default)]
    pub key: Option<String>,
}

/// Name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    epoch: u64,
    generation: u32,
    /// The rank and the world that it asks for.
    pub part: Part,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            epoch,
            generation,
            part,
        } = self;
        write!(f, "{epoch:016x}-{generation}-{}-{}", part.rank, part.world)
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fields: Vec<&str> = text.split('-').collect();
        let [epoch, generation, rank, world] = fields[..] else {
            return Err(());
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| ());
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| ())?,
            generation: number(generation)?,
            part: Part {
                rank: number(rank)?,
                world: number(world)?,
            },
        })
    }
}

/// Why a trainer's request is refused, in words that name what would be right.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something in the request itself is wrong: status 400.
    #[error(transparent)]
    Bad(#[from] BadRequest),
    /// There is no such session, or nothing is known of what was asked for: status 404.
    #[error("{0}")]
    Unknown(String),
    /// The request contradicts the plan or another process: status 409.
    #[error("{0}")]
    Conflict(String),
}

/// What the plan says that sessions are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Steps of the phase.
    pub steps: Range<u64>,
    /// Fewest rows of a global batch.
    pub batch: u64,
    /// Rows of the data set.
    pub rows: u64,
    /// The run; `None` where nothing is known of it, and then nothing is compared.
    pub run: Option<String>,
}

/// The sessions of an attempt.
#[derive(Clone, Debug)]
pub struct Sessions {
    facts: Facts,
    /// Of this sampler's journal: sessions of another one are unknown.
    epoch: u64,
    generation: u32,
    world: u32,
    /// The rank that opened the generation.
    opener: Part,
    ranks: BTreeMap<u32, Rank>,
    collision: Option<String>,
}

/// What was handed out to one rank.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rank {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    got: Stretches,
}

/// The sessions as the journal keeps them.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionsRecord {
    epoch: u64,
    generation: u32,
    world: u32,
    opener: u32,
    ranks: BTreeMap<u32, Rank>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collision: Option<String>,
}

/// A session that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// Its name.
    pub id: SessionId,
    /// The step that it begins at.
    pub step: u64,
    /// It is the first one of its generation.
    pub new_generation: bool,
}

impl Sessions {
    /// No sessions yet. `epoch` is a number that no other attempt has.
    pub fn new(facts: Facts, epoch: u64) -> Self {
        Self {
            facts,
            epoch,
            generation: 0,
            world: 0,
            opener: Part::WHOLE,
            ranks: BTreeMap::new(),
            collision: None,
        }
    }

    /// What [`Sessions::record`] gave; `None` when it cannot be of this phase.
    pub fn restore(facts: Facts, record: SessionsRecord) -> Option<Self> {
        let Range { start, end } = facts.steps;
        let fits = record.world <= MAX_WORLD
            && record
                .ranks
                .iter()
                .all(|(&rank, r)| rank < record.world && r.got.fits(start, end));
        fits.then_some(Self {
            facts,
            epoch: record.epoch,
            generation: record.generation,
            world: record.world,
            opener: Part {
                rank: record.opener,
                world: record.world,
            },
            ranks: record.ranks,
            collision: record.collision,
        })
    }

    /// What the journal keeps.
    pub fn record(&self) -> SessionsRecord {
        SessionsRecord {
            epoch: self.epoch,
            generation: self.generation,
            world: self.world,
            opener: self.opener.rank,
            ranks: self.ranks.clone(),
            collision: self.collision.clone(),
        }
    }

    /// What the plan says.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Notes what is known of a rank beside the record: it got every step from its first on to before `step`.
    pub fn fill(&mut self, rank: u32, step: u64) {
        if let Some(rank) = self.ranks.get_mut(&rank)
            && (rank.got.first()..=self.facts.steps.end).contains(&step)
        {
            rank.got.add(rank.got.first(), step);
        }
    }

    /// Ranks of the current world; 0 before there is one.
    pub fn world(&self) -> u32 {
        self.world
    }

    /// Counts the generations.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When the request contradicts the plan, the run or the other ranks. Then nothing changes.
    pub fn open(&mut self, opening: &Opening) -> Result<OpenSession, Refusal> {
        let part = self.place(opening)?;
        let step = self.first_step(opening)?;
        self.compare_rows(opening)?;
        check_text("key", opening.key.as_deref())?;
        let known = self.ranks.get(&part.rank).filter(|_| self.world == part.world);
        let again = known.is_some_and(|rank| rank.key.is_some() && rank.key == opening.key && rank.got.first() == step);
        let new_generation = known.is_some() && !again || self.world != part.world;
        if !new_generation
            && let Some((other, first)) = self.ranks.iter().map(|(r, rank)| (r, rank.got.first())).next()
            && first != step
        {
            return Err(Refusal::Conflict(format!(
                "rank {} begins at step {step}, but rank {other} of the same world at step {first}; \
                 expected all ranks to go on from the same checkpoint",
                part.rank
            )));
        }
        if new_generation {
            (self.generation, self.world, self.opener) = (self.generation.saturating_add(1), part.world, part);
            self.ranks.clear();
        }
        if !again {
            let (key, got) = (opening.key.clone(), Stretches::new(step));
            self.ranks.insert(part.rank, Rank { key, got });
        }
        let id = SessionId {
            epoch: self.epoch,
            generation: self.generation,
            part,
        };
        Ok(OpenSession {
            id,
            step,
            new_generation,
        })
    }

    fn place(&self, opening: &Opening) -> Result<Part, BadRequest> {
        let &Opening { rank, world, .. } = opening;
        Part { rank, world }.check(self.facts.batch)
    }

    fn first_step(&self, opening: &Opening) -> Result<u64, Refusal> {
        let Range { start, end } = self.facts.steps;
        let step = opening.step.unwrap_or(start);
        if step < start {
            return Err(Refusal::Conflict(format!(
                "`step` is {step}, before the phase: the checkpoint is of an earlier phase; expected {start} to {end}. \
                 Begin at the phase's first step, {start}, to train on its weights"
            )));
        }
        if step > end {
            return Err(Refusal::Conflict(format!(
                "`step` is {step}, after the phase's end; expected {start} to {end}"
            )));
        }
        check_text("run", opening.run.as_deref())?;
        if step == start || self.facts.run.is_none() || self.facts.run == opening.run {
            return Ok(step);
        }
        let run = self.facts.run.as_deref().unwrap_or_default();
        let whose = opening.run.as_ref().map_or_else(
            || "no run is given".to_owned(),
            |theirs| format!("the checkpoint is of run `{theirs}`"),
        );
        Err(Refusal::Conflict(format!(
            "`step` is {step}, after the phase's first step {start}, but {whose}; expected a checkpoint of this run, `{run}`. \
             Begin at the phase's first step, {start}, to train on the weights of another run"
        )))
    }

    fn compare_rows(&self, opening: &Opening) -> Result<(), Refusal> {
        match opening.rows {
            Some(rows) if rows != self.facts.rows => Err(Refusal::Conflict(format!(
                "the trainer's data set has {rows} rows, the plan's {}; expected the same rows in the same order",
                self.facts.rows
            ))),
            _ => Ok(()),
        }
    }

    /// The session of a name, once more.
    ///
    /// # Errors
    /// When it is unknown, and when a later one displaced it: from then on the attempt is in collision.
    pub fn find(&mut self, name: &str) -> Result<SessionId, Refusal> {
        let id = name.parse::<SessionId>().ok().filter(|id| id.epoch == self.epoch);
        let unknown = || {
            Refusal::Unknown(format!(
                "`session` is `{}`, which this sampler did not open; expected one that `POST /v1/sessions` gave",
                name.chars().take(64).collect::<String>()
            ))
        };
        let id = id.ok_or_else(unknown)?;
        if self.is_current(id) {
            return Ok(id);
        }
        if id.generation >= self.generation {
            return Err(unknown());
        }
        let message = self.displaced(id.part);
        self.collision.get_or_insert_with(|| message.clone());
        Err(Refusal::Conflict(message))
    }

    fn is_current(&self, id: SessionId) -> bool {
        id.epoch == self.epoch
            && id.generation == self.generation
            && id.part.world == self.world
            && self.ranks.contains_key(&id.part.rank)
    }

    fn displaced(&self, of: Part) -> String {
        let Part { rank, world } = self.opener;
        if of == self.opener {
            return format!(
                "two processes claim rank {rank} of world {world}: give each process that trains its own RANK and WORLD_SIZE \
                 (torchrun does; spawned processes need `rank` and `world_size` of the client), or start only one"
            );
        }
        format!(
            "the session of rank {} of world {} ended when rank {rank} of world {world} opened one: \
             all processes that train must agree on the world's size and start again together",
            of.rank, of.world
        )
    }

    /// Notes that a session got the steps `from..to`; steps outside of the phase are cut off. `None` when it was displaced meanwhile.
    pub fn mark(&mut self, id: SessionId, from: u64, to: u64) -> Option<Mark> {
        if !self.is_current(id) {
            return None;
        }
        let Range { start, end } = self.facts.steps;
        let (from, to) = (from.clamp(start, end), to.clamp(start, end));
        let rank = self.ranks.get_mut(&id.part.rank)?;
        Some(rank.got.add(from, to.max(from)))
    }

    /// First step that a rank did not get; `None` for a rank without a session.
    pub fn served_of(&self, rank: u32) -> Option<u64> {
        self.ranks.get(&rank).map(|rank| rank.got.served())
    }

    /// First step that was not handed out to every rank of the world. The phase's first step while a rank is missing, and after a collision.
    pub fn served(&self) -> u64 {
        let all = self.world > 0 && self.ranks.len() == self.world as usize;
        let least = self.ranks.values().map(|rank| rank.got.served()).min();
        least
            .filter(|_| all && self.collision.is_none())
            .unwrap_or(self.facts.steps.start)
    }

    /// First step that no rank got.
    pub fn furthest(&self) -> u64 {
        let most = self.ranks.values().map(|rank| rank.got.served()).max();
        most.unwrap_or(self.facts.steps.start)
    }

    /// The step of the checkpoint that the world went on from; `None` when it began at the phase's first step, or not yet.
    pub fn resumed_at(&self) -> Option<u64> {
        let first = self.ranks.values().next()?.got.first();
        (first > self.facts.steps.start).then_some(first)
    }

    /// What happened when two processes claimed one rank.
    pub fn collision(&self) -> Option<&str> {
        self.collision.as_deref()
    }
}

fn check_text(field: &str, text: Option<&str>) -> Result<(), BadRequest> {
    match text {
        Some(text) if text.is_empty() || text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) => {
            Err(BadRequest(format!(
                "`{field}` has {} characters; expected 1 to {MAX_TEXT} of a single line",
                text.chars().count()
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
