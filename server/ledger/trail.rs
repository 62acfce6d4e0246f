//! Which traced calls stand in which batch, for those who go on with a batch after its calls were answered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::Span;

use crate::ledger::stamp::Position;
use crate::trace::{self, Origin};

/// Batches that are remembered. Who comes later than that points to no call.
const BATCHES_MAX: usize = 256;

/// The newest batches with traced calls, oldest first. Empty where nobody traces.
#[derive(Debug, Default)]
pub struct Trail(Mutex<VecDeque<(Position, Vec<Origin>)>>);

impl Trail {
    /// Remembers the traced calls of a batch.
    pub fn leave<'a>(&self, batch: Position, calls: impl Iterator<Item = &'a Origin>) {
        let traced = trace::linkable(calls).cloned().collect::<Vec<_>>();
        if traced.is_empty() {
            return;
        }
        let mut batches = self.batches();
        if batches.len() >= BATCHES_MAX {
            batches.pop_front();
        }
        batches.push_back((batch, traced));
    }

    /// Points from work on all batches of a slot up to `through` to their calls.
    pub fn link(&self, work: &Span, through: Position) {
        let batches = self.batches();
        let until = batches.iter().filter(|(batch, _)| is_until(*batch, through));
        trace::link(work, until.flat_map(|(_, calls)| calls));
    }

    /// Forgets those batches.
    pub fn forget(&self, through: Position) {
        self.batches().retain(|(batch, _)| !is_until(*batch, through));
    }

    fn batches(&self) -> MutexGuard<'_, VecDeque<(Position, Vec<Origin>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_until(batch: Position, through: Position) -> bool {
    batch.slot == through.slot && batch <= through
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(slot: u32, batch: u64) -> Position {
        Position { slot, epoch: 1, batch }
    }

    fn left(trail: &Trail) -> Vec<Position> {
        trail.batches().iter().map(|(batch, _)| *batch).collect()
    }

    #[test]
    fn a_trail_has_an_end_and_is_forgotten_slot_by_slot() {
        let trail = Trail::default();
        let (traced, other) = (Origin::sampled(), Origin::default());
        trail.leave(at(0, 1), [&other].into_iter());
        assert_eq!(left(&trail), [], "nobody traces it");
        for batch in 1..=3 {
            trail.leave(at(0, batch), [&other, &traced].into_iter());
        }
        trail.leave(at(1, 1), [&traced].into_iter());
        trail.forget(at(0, 2));
        assert_eq!(left(&trail), [at(0, 3), at(1, 1)]);
        for batch in 0..1_000 {
            trail.leave(at(2, batch), [&traced].into_iter());
        }
        assert_eq!((left(&trail).len(), left(&trail)[0]), (BATCHES_MAX, at(2, 744)));
    }
}
