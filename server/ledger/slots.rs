//! All writers of the journals: how far each has come, and what none of them will ever append again (rules A, C).

use std::sync::Arc;

use crate::ledger::journal::{Journal, JournalError, Slot};
use crate::ledger::queue::Queue;
use crate::ledger::stamp::Position;
use crate::time::{SECOND, Timestamp};

/// How far this process's idea of the counters' clock may be off, in microseconds.
pub const CLOCK_ERROR: i64 = SECOND;

/// This process's slot among all others.
#[derive(Debug)]
pub struct Slots {
    own: Position,
    journal: Arc<dyn Journal>,
    queue: Arc<Queue>,
}

/// Another writer's slot.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// How it stands.
    pub slot: Slot,
    /// Its last batch: where its newest epoch has none yet, the seal of the epoch before, which may not be folded.
    pub last: Position,
}

impl Other {
    /// Whether its last batch is a seal.
    #[must_use]
    pub fn ends_sealed(&self) -> bool {
        self.slot.sealed || self.last != self.slot.head
    }
}

impl Slots {
    /// The slots of a journal, of which this process has taken `own`.
    #[must_use]
    pub const fn new(own: Position, journal: Arc<dyn Journal>, queue: Arc<Queue>) -> Self {
        Self { own, journal, queue }
    }

    /// The epoch that this process writes.
    #[must_use]
    pub const fn own(&self) -> Position {
        self.own
    }

    /// The last batch that this process has made durable.
    #[must_use]
    pub fn own_head(&self) -> Position {
        self.queue.head()
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &dyn Journal {
        self.journal.as_ref()
    }

    /// The other slots that were ever taken.
    pub async fn others(&self) -> Result<Vec<Other>, JournalError> {
        if !self.journal.is_shared() {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        for slot in self.journal.slots().await? {
            if slot.head.slot == self.own.slot {
                continue;
            }
            let begun = slot.head.batch == 0 && slot.head.epoch > 1;
            let last = if begun { self.journal.head(slot.head.slot).await? } else { slot.head };
            others.push(Other { slot, last });
        }
        Ok(others)
    }

    /// The last batch of every journal at this moment: all that was acknowledged before it is in them.
    pub async fn heads(&self) -> Result<Vec<Position>, JournalError> {
        let others = self.others().await?;
        let heads = others.into_iter().map(|other| other.last);
        Ok(heads.chain([self.own_head()]).collect())
    }

    /// A moment before which no process will ever again append a decision. What a sealed slot has is under its head.
    pub async fn low_water(&self) -> Result<Timestamp, JournalError> {
        let others = self.others().await?;
        let living = others.iter().filter(|other| !other.slot.sealed).map(|other| other.slot.low_water);
        Ok(living.fold(self.own_low_water(), Timestamp::min))
    }

    /// A moment before which this process will never again append a decision. Where the counters are elsewhere, their clock
    /// is known a little less than exactly.
    #[must_use]
    pub fn own_low_water(&self) -> Timestamp {
        let low_water = self.queue.low_water();
        if self.journal.is_shared() { low_water.minus(CLOCK_ERROR) } else { low_water }
    }

    /// Whether this process has the lowest slot of all that live: it does what one should do for all.
    pub async fn is_first(&self) -> Result<bool, JournalError> {
        let others = self.others().await?;
        Ok(others.iter().all(|other| other.slot.sealed || other.slot.head.slot > self.own.slot))
    }
}
