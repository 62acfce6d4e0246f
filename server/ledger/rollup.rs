//! A tenant's usage of one hour: totals by minute, and sums by the values of each dimension (rules F, G).

mod breakdown;
mod stored;

use crate::failpoint::{self, Mutant};
use crate::ledger::rollup::breakdown::Breakdowns;
use crate::ledger::rollup::stored::Minutes;
use crate::ledger::rollups::RollupKey;
use crate::ledger::stamp::Position;
use crate::ledger::sums::{Change, Sums};
use crate::time::MINUTE;

pub use breakdown::{Breakdown, Dimension, NAMES_MAX, NONE, OTHER, VALUES_MAX};
pub use stored::{decode_breakdown, decode_breakdowns, decode_minutes, decode_totals};

/// The usage of one tenant in one hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// Whose, and which hour.
    pub key: RollupKey,
    /// The revision at which the store has it; 0: not yet.
    pub revision: u64,
    /// What it has absorbed of each slot (rule F).
    pub positions: Vec<Position>,
    hour: Sums,
    minutes: Minutes,
    breakdowns: Breakdowns,
}

impl Rollup {
    /// One without usage, that no store has.
    #[must_use]
    pub fn new(key: RollupKey) -> Self {
        Self {
            key,
            revision: 0,
            positions: Vec::new(),
            hour: Sums::default(),
            minutes: Minutes::default(),
            breakdowns: Breakdowns::default(),
        }
    }

    /// Makes the changes of batches that it has not absorbed yet, and answers whether there were any (rule F). All changes
    /// that a batch makes to this hour come in one call, and the batches of a slot in their order.
    pub fn absorb(&mut self, changes: &[(Position, Change<'_>)]) -> bool {
        let mut changed = false;
        for (position, change) in changes {
            // Positions move only afterwards: one batch makes several changes.
            if !position.is_absorbed(&self.positions) || failpoint::is(Mutant::FoldWithoutPosition) {
                self.apply(change);
                changed = true;
            }
        }
        for (position, _) in changes {
            position.advance(&mut self.positions);
        }
        changed
    }

    fn apply(&mut self, change: &Change<'_>) {
        // Before the hour's own sums: a breakdown begins with those of the events that were before it.
        self.breakdowns.apply(&self.hour, &change.effect);
        self.hour.apply(&change.effect);
        let minute = change.occurred_at.since(self.key.hour).div_euclid(MINUTE).clamp(0, 59);
        let minute = u32::try_from(minute).unwrap_or(0);
        self.minutes.by_minute.entry(minute).or_default().apply(&change.effect);
    }
}

#[cfg(test)]
mod tests;
