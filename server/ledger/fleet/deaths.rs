//! Who has died, and what becomes of what they leave (rules B, M).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{LEASE, Pulse};
use crate::ledger::fold::{Fold, FoldError, FoldParts};
use crate::ledger::journal::{Journal, JournalError};
use crate::ledger::progress::Progress;
use crate::ledger::slots::{Other, Slots};
use crate::ledger::stamp::Position;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes of a dead writer's journal that are searched at once for tenants, about.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// Looks after the dead.
#[derive(Debug)]
pub struct Deaths {
    parts: FoldParts,
    slots: Arc<Slots>,
    progress: Arc<Progress>,
    pulse: Arc<Pulse>,
    lives: HashMap<u32, Life>,
}

/// The last sign of life of a slot: of its writer, or of whoever folds what is left of it.
#[derive(Clone, Copy, Debug)]
struct Life {
    beat: u64,
    head: Position,
    folded: Position,
    since: Instant,
}

impl Deaths {
    /// Looks after the dead over the fold's parts.
    #[must_use]
    pub fn new(parts: FoldParts, slots: Arc<Slots>, progress: Arc<Progress>, pulse: Arc<Pulse>) -> Self {
        Self { parts, slots, progress, pulse, lives: HashMap::new() }
    }

    /// Before anybody is answered: folds what sealed slots have left, and waits until each other one has given a sign of life
    /// or was taken up. Their tails would hold up the first calls.
    pub async fn recover(&mut self) -> Result<(), FoldError> {
        let mut first: HashMap<u32, (Position, u64)> = HashMap::new();
        loop {
            let mut waits = false;
            for other in self.slots.others().await? {
                let number = other.last.slot;
                if other.slot.sealed {
                    self.take_up(other.last).await?;
                    continue;
                }
                let now = (other.slot.head, other.slot.beat);
                let lives = *first.entry(number).or_insert(now) != now;
                if !lives && !self.bury_if_silent(&other, Instant::now()).await? {
                    waits = true;
                }
            }
            if !waits {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks after the dead until `stopping`.
    pub async fn run(mut self, stopping: CancellationToken) {
        while stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let asked_at = Instant::now();
        let others = match self.slots.others().await {
            Ok(others) if self.pulse.is_fresh() => others,
            asked => {
                // Whoever could not be asked for a while, or cannot write either, may have lived all the while.
                self.lives.clear();
                if let Err(failure) = asked {
                    error!(error = %failure, "could not look at the other writers: {failure}");
                }
                return;
            }
        };
        for other in others {
            if let Err(failure) = self.bury_if_silent(&other, asked_at).await {
                let number = other.last.slot;
                error!(slot = number, error = %failure, "could not take slot {number} up: {failure}");
                self.lives.remove(&number);
            }
        }
    }

    /// Seals and folds the slot if nobody lives who will; answers whether it did.
    async fn bury_if_silent(&mut self, other: &Other, asked_at: Instant) -> Result<bool, FoldError> {
        if !self.is_silent(other, asked_at) {
            return Ok(false);
        }
        let last = if other.slot.sealed { other.last } else { self.seal(other).await? };
        self.take_up(last).await?;
        Ok(true)
    }

    /// Whether nobody lives who will go on with that slot: its writer is silent, or nobody folds what it has left.
    fn is_silent(&mut self, other: &Other, asked_at: Instant) -> bool {
        let (slot, number) = (&other.slot, other.last.slot);
        let folded = self.progress.folded_of(number);
        if slot.sealed && folded >= other.last {
            self.lives.remove(&number);
            return false;
        }
        let now = Life { beat: slot.beat, head: slot.head, folded, since: asked_at };
        let life = self.lives.entry(number).or_insert(now);
        let is_same =
            (life.beat, life.head) == (now.beat, now.head) && (!slot.sealed || life.folded == folded);
        if !is_same {
            *life = now;
        }
        asked_at.saturating_duration_since(life.since) >= LEASE
    }

    async fn seal(&self, other: &Other) -> Result<Position, JournalError> {
        let Position { slot, epoch, .. } = other.slot.head;
        warn!(slot, epoch, "the writer of slot {slot} has died; its journal is sealed");
        let last = self.slots.journal().seal(other.slot.head).await?;
        self.parts.cuts.mourn();
        Ok(last)
    }

    /// Folds what a dead writer has left, up to its seal, and suspects the tenants that it had: what it charged and did not
    /// append, the counters have and the ledger does not.
    async fn take_up(&mut self, last: Position) -> Result<(), FoldError> {
        if self.progress.folded_of(last.slot) >= last {
            return Ok(());
        }
        let mut fold = Fold::open(self.parts.clone(), Arc::clone(&self.progress), last.slot).await?;
        fold.catch_up_to(last).await?;
        self.lives.remove(&last.slot);
        let mut after = Position { slot: last.slot, ..Position::default() };
        while after < last {
            let batches = self.parts.journal.read(after, READ_BYTES).await?;
            let Some(newest) = batches.last() else { return Ok(()) };
            after = newest.position;
            for batch in &batches {
                self.parts.cuts.suspect_all(batch)?;
            }
        }
        Ok(())
    }
}

/// Where every slot has an owner: seals those whose owners are silent, so that their slots are free.
pub async fn seal_silent(journal: &dyn Journal) -> Result<(), JournalError> {
    let before = journal.slots().await?;
    tokio::time::sleep(LEASE).await;
    let after = journal.slots().await?;
    for slot in after.iter().filter(|slot| !slot.sealed && before.contains(slot)) {
        let number = slot.head.slot;
        warn!(slot = number, "all slots are taken, and the writer of slot {number} is silent: it is sealed");
        journal.seal(slot.head).await?;
    }
    Ok(())
}
