//! Parts of a batch, and how a large one is drawn piece by piece: a batch of 2²⁰ rows has 8 MiB, and several clients want one at once.

use super::report::BadRequest;
use super::sessions::MAX_WORLD;
use crate::curriculum::sampler::rank_slots;

/// Most rows that are drawn at once: half a MiB.
pub const PIECE: u64 = 1 << 16;

/// The slots of one rank of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The rank.
    pub rank: u32,
    /// Ranks that share each batch.
    pub world: u32,
}

impl Part {
    /// The whole batch.
    pub const WHOLE: Self = Self { rank: 0, world: 1 };

    /// Itself, if it is a rank of a world that can share a batch of `batch` rows or more.
    ///
    /// # Errors
    /// Names the number that is wrong and what would be right.
    pub fn check(self, batch: u64) -> Result<Self, BadRequest> {
        let Self { rank, world } = self;
        let most = u32::try_from(batch).map_or(MAX_WORLD, |batch| batch.min(MAX_WORLD));
        if world == 0 || world > most {
            return Err(BadRequest(format!(
                "`world` is `{world}`; expected 1 to {most}: a batch has {batch} rows, and every rank needs one"
            )));
        }
        if rank >= world {
            return Err(BadRequest(format!(
                "`rank` is `{rank}`; expected less than `world`, which is {world}"
            )));
        }
        Ok(self)
    }

    /// Its slots of a batch's `batch`.
    pub fn rows(self, batch: u64) -> u64 {
        let slots = rank_slots(batch, self.rank, self.world);
        slots.end - slots.start
    }

    /// Parts of at most [`PIECE`] rows that make it up, in order; itself if it is no larger.
    ///
    /// Rank r of W has the slots of the ranks rK to before (r+1)K of W·K together, whatever K is: the bounds are the same fractions of the batch.
    pub fn pieces(self, batch: u64) -> impl ExactSizeIterator<Item = Self> {
        // No piece has a row too many: they differ by one row at most, and K of them have at most K·PIECE together.
        let count = u32::try_from(self.rows(batch).div_ceil(PIECE))
            .unwrap_or(u32::MAX)
            .max(1);
        let world = self.world.saturating_mul(count);
        (0..count).map(move |i| Self {
            rank: self.rank.saturating_mul(count).saturating_add(i),
            world,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curriculum::plan::MAX_BATCH;

    #[test]
    fn pieces_follow_each_other_without_a_gap_and_none_is_large() {
        for batch in [1, 1000, PIECE, PIECE + 1, 3 * PIECE - 1, 1_000_003, MAX_BATCH] {
            for world in [1, 2, 3, 7, MAX_WORLD] {
                for rank in [0, world / 2, world - 1] {
                    let part = Part { rank, world };
                    let slots = rank_slots(batch, rank, world);
                    let mut next = slots.start;
                    for piece in part.pieces(batch) {
                        let slots = rank_slots(batch, piece.rank, piece.world);
                        assert_eq!(slots.start, next, "{batch} {part:?} {piece:?}");
                        assert!(piece.rows(batch) <= PIECE, "{batch} {part:?} {piece:?}");
                        next = slots.end;
                    }
                    assert_eq!(next, slots.end, "{batch} {part:?}");
                }
            }
        }
    }

    #[test]
    fn a_small_part_is_one_piece() {
        let part = Part { rank: 3, world: 8 };
        assert_eq!(part.pieces(8 * PIECE).collect::<Vec<_>>(), [part]);
        assert_eq!(Part::WHOLE.pieces(MAX_BATCH).len(), 16);
    }
}
