//! The other writers of the journals: this process tells them that it lives, follows their folds, and takes up what the dead
//! leave behind (rules A, B, J).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::ledger::accounts::Accounts;
use crate::ledger::fold::{self, Fold, FoldError, FoldParts, FoldedRound};
use crate::ledger::journal::{Batch, JournalError, Slot};
use crate::ledger::progress::Progress;
use crate::ledger::queue::Queue;
use crate::ledger::record::Record;
use crate::ledger::slots::Slots;
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// A writer that gave no sign of life for this long, while the store could be asked, is taken for dead.
const LEASE: Duration = Duration::from_secs(5);
/// Between two looks at the others.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks while somebody waits.
const LOOK_HURRIED: Duration = Duration::from_millis(20);
/// Watched accounts that are read at once.
const ACCOUNTS_MAX: usize = 1_000;
/// Bytes of a dead writer's journal that are searched at once for tenants, about.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// This process among all that write the journals.
#[derive(Debug)]
pub struct Fleet {
    parts: FoldParts,
    accounts: Accounts,
    slots: Arc<Slots>,
    progress: Arc<Progress>,
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

impl Fleet {
    /// The fleet over the fold's parts.
    #[must_use]
    pub fn new(parts: FoldParts, slots: Arc<Slots>, progress: Arc<Progress>) -> Self {
        let accounts = Accounts::new(Arc::clone(&parts.documents));
        Self { parts, accounts, slots, progress, lives: HashMap::new() }
    }

    /// Folds what sealed slots have left: before anybody is answered.
    pub async fn recover(&mut self) -> Result<(), FoldError> {
        for slot in self.follow().await?.into_iter().filter(|slot| slot.sealed) {
            self.take_up(slot.head).await?;
        }
        Ok(())
    }

    /// Looks at the others until `stopping`.
    pub async fn run(mut self, stopping: CancellationToken) {
        loop {
            if let Err(failure) = self.look().await {
                // Whoever could not be asked for a while may have lived all the while.
                self.lives.clear();
                error!(error = %failure, "could not look at the other writers: {failure}");
            }
            let pause = async {
                tokio::time::sleep(LOOK_HURRIED).await;
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.progress.hurried_to_look() => {}
                }
            };
            if stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn look(&mut self) -> Result<(), FoldError> {
        let others = self.follow().await?;
        for slot in others {
            if !self.is_silent(&slot) {
                continue;
            }
            let head = if slot.sealed { slot.head } else { self.seal(&slot).await? };
            self.take_up(head).await?;
        }
        Ok(())
    }

    /// Learns how far the others are.
    async fn follow(&mut self) -> Result<Vec<Slot>, FoldError> {
        // Heads and low-water times first: what is folded is read after them.
        let others = self.slots.others().await?;
        let numbers = others.iter().map(|slot| slot.head.slot).collect::<Vec<_>>();
        let folded = fold::positions(self.parts.documents.as_ref(), &numbers).await?;
        let moved =
            folded.slots.into_iter().fold(false, |moved, position| self.progress.advance(position) | moved);
        self.progress.others_until(self.as_of(&others));
        if moved {
            self.show().await?;
        }
        Ok(others)
    }

    /// A time before which all that others acknowledged is folded. Where one of them lags, it stays where it was.
    fn as_of(&self, others: &[Slot]) -> Timestamp {
        let is_folded = |slot: &Slot| self.progress.folded_of(slot.head.slot) >= slot.head;
        if !others.iter().all(is_folded) {
            return self.progress.others_as_of();
        }
        let living = others.iter().filter(|slot| !slot.sealed);
        living.map(|slot| slot.low_water).min().unwrap_or(Timestamp::MAX)
    }

    /// Shows those who watch what others have folded.
    async fn show(&self) -> Result<(), FoldError> {
        for observer in &self.parts.observers {
            let watched = observer.watched();
            for some in watched.chunks(ACCOUNTS_MAX) {
                let positions = self.progress.folded();
                let kept = self.accounts.get_many(some).await?;
                let accounts = kept.iter().map(|kept| (&kept.tenant, &kept.account)).collect();
                observer.folded(&FoldedRound { positions, accounts });
            }
        }
        Ok(())
    }

    /// Whether nobody lives who will go on with that slot: its writer is silent, or nobody folds what it has left.
    fn is_silent(&mut self, slot: &Slot) -> bool {
        let folded = self.progress.folded_of(slot.head.slot);
        if slot.sealed && folded >= slot.head {
            self.lives.remove(&slot.head.slot);
            return false;
        }
        let now = Life { beat: slot.beat, head: slot.head, folded, since: Instant::now() };
        let life = self.lives.entry(slot.head.slot).or_insert(now);
        let is_same =
            (life.beat, life.head) == (now.beat, now.head) && (!slot.sealed || life.folded == folded);
        if !is_same {
            *life = now;
        }
        life.since.elapsed() >= LEASE
    }

    async fn seal(&self, slot: &Slot) -> Result<Position, JournalError> {
        let Position { slot: number, epoch, .. } = slot.head;
        warn!(slot = number, epoch, "the writer of slot {number} has died; its journal is sealed");
        self.slots.journal().seal(slot.head).await
    }

    /// Folds what a dead writer has left, and suspects the tenants that it had: what it charged and did not append, the
    /// counters have and the ledger does not.
    async fn take_up(&mut self, head: Position) -> Result<(), FoldError> {
        if self.progress.folded_of(head.slot) >= head {
            return Ok(());
        }
        let mut fold = Fold::open(self.parts.clone(), Arc::clone(&self.progress), head.slot).await?;
        fold.catch_up().await?;
        self.lives.remove(&head.slot);
        let mut after = Position { slot: head.slot, ..Position::default() };
        loop {
            let batches = self.parts.journal.read(after, READ_BYTES).await?;
            let Some(last) = batches.last() else { return Ok(()) };
            after = last.position;
            self.suspect(&batches)?;
        }
    }

    fn suspect(&self, batches: &[Batch]) -> Result<(), StoreError> {
        for batch in batches {
            for (_, body) in batch.stamped()? {
                let record = Record::decode(body).map_err(|error| batch.corrupt(error))?;
                if record.number > 0 {
                    self.parts.cuts.suspect(&Arc::from(record.tenant));
                }
            }
        }
        Ok(())
    }
}

/// Tells the others that this process lives, until `stopping`. If its slot was sealed, it must end.
pub async fn live(slots: Arc<Slots>, queue: Arc<Queue>, stopping: CancellationToken) {
    loop {
        match slots.journal().beat(slots.own(), slots.own_low_water()).await {
            Ok(()) => {}
            Err(JournalError::Taken(_) | JournalError::NoSlot | JournalError::Spool(_)) => {
                error!("another process has taken this one for dead, and its slot of the journal over");
                return queue.fail();
            }
            Err(failure @ JournalError::Store(_)) => {
                warn!(error = %failure, "could not say that this process lives: {failure}");
            }
        }
        if stopping.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_none() {
            return;
        }
    }
}
