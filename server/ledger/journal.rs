//! The port `Journal`: batches of records, durable in order (rules A, B, F).

use std::fmt::Debug;

use async_trait::async_trait;
use prost::bytes::Bytes;
use prost::encoding::decode_varint;

use crate::ledger::spool::SpoolError;
use crate::ledger::stamp::{Position, Stamp};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Records that were committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where it stands.
    pub position: Position,
    /// The records, each preceded by its length as a varint. Empty in a seal.
    pub records: Bytes,
    /// Whether it is the last of its epoch (rule B).
    pub seal: bool,
}

impl Batch {
    /// Its records, encoded, each with its stamp.
    pub fn stamped(&self) -> Result<Vec<(Stamp, Bytes)>, StoreError> {
        let (mut rest, mut stamped) = (self.records.clone(), Vec::new());
        while !rest.is_empty() {
            let place = u32::try_from(stamped.len()).map_err(|error| self.corrupt(error))?;
            let length = decode_varint(&mut rest).map_err(|error| self.corrupt(error))?;
            let length = usize::try_from(length).map_err(|error| self.corrupt(error))?;
            if length > rest.len() {
                return Err(self.corrupt("a record is longer than its batch"));
            }
            stamped.push((Stamp { position: self.position, place }, rest.split_to(length)));
        }
        Ok(stamped)
    }

    /// One of its records cannot be read.
    pub fn corrupt(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        let Position { slot, epoch, batch } = self.position;
        StoreError::corrupt(format!("batch {batch} of slot {slot}, epoch {epoch}"), source)
    }
}

/// Slots that writers may have (rule A).
pub const SLOTS: u32 = 64;

/// How a slot stands that was ever taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its last batch; its epoch is the newest one, also where that has no batch yet.
    pub head: Position,
    /// Whether its newest epoch is sealed: then `head` is the seal.
    pub sealed: bool,
    /// Changes each time its owner says that it lives. Only that it changes means anything: no clocks are compared.
    pub beat: u64,
    /// A moment before which its owner will never again append a decision (rule C).
    pub low_water: Timestamp,
}

/// The journals of all slots.
///
/// # Contract
///
/// - What [`Journal::append`] answered is durable, through the loss of power too.
/// - A batch's position is taken once; who comes second is told so (rule B). So an append whose answer was lost may be made
///   again: `Taken` then means that this batch, or another writer's seal, is there.
/// - [`Journal::read`] answers batches in order and without a gap.
#[async_trait]
pub trait Journal: Send + Sync + Debug {
    /// Whether other processes write their slots to it too. Where none does, nobody asks it for what this process knows.
    fn is_shared(&self) -> bool;

    /// Takes the lowest slot that nobody has: one that was never taken, or whose last epoch is sealed. Begins its next epoch
    /// with the low-water time `low_water`. The answer's batch is 0: the first to append is 1. An adapter that knows that
    /// the last owner is gone may seal its epoch itself.
    async fn take_slot(&self, low_water: Timestamp) -> Result<Position, JournalError>;

    /// Says that the owner of that epoch lives, and that it will never again append a decision from before `low_water`.
    /// `Taken`: its epoch is sealed, or somebody is about to.
    async fn beat(&self, epoch: Position, low_water: Timestamp) -> Result<(), JournalError>;

    /// Seals an epoch: an empty batch at the next free number (rule B). Answers where the seal is, also where it was there.
    async fn seal(&self, epoch: Position) -> Result<Position, JournalError>;

    /// All slots that were ever taken, in order.
    async fn slots(&self) -> Result<Vec<Slot>, JournalError>;

    /// Makes a batch durable at its position.
    async fn append(&self, batch: Batch) -> Result<(), JournalError>;

    /// The batches of the slot after `after`, in order, over the ends of epochs; about `bytes_max` of records at once, and
    /// at least one batch if there is one.
    async fn read(&self, after: Position, bytes_max: usize) -> Result<Vec<Batch>, JournalError>;

    /// The last batch of the slot.
    async fn head(&self, slot: u32) -> Result<Position, JournalError>;

    /// Forgets the batches of the slot up to and with this one. All sinks have passed them.
    async fn trim(&self, through: Position) -> Result<(), JournalError>;
}

/// The journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The position is taken: another process has taken the slot over, and this one must stop (rule B).
    #[error("another writer has taken the journal's slot {} over", .0.slot)]
    Taken(Position),
    /// Every slot has an owner.
    #[error("all {SLOTS} slots of the journal have an owner")]
    NoSlot,
    /// The store failed.
    #[error("the journal cannot be written or read")]
    Store(#[from] StoreError),
    /// What waits for the journal on the local disk cannot be read.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}
