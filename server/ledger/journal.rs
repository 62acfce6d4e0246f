//! The port `Journal`: batches of records, durable in order (rules A, B, F).

use std::fmt::Debug;

use async_trait::async_trait;
use prost::bytes::Bytes;

use crate::ledger::stamp::Position;
use crate::store::StoreError;

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

/// The journals of all slots.
///
/// # Contract
///
/// - What [`Journal::append`] answered is durable, through the loss of power too.
/// - A batch's position is taken once; who comes second is told so (rule B).
/// - [`Journal::read`] answers batches in order and without a gap.
#[async_trait]
pub trait Journal: Send + Sync + Debug {
    /// Takes a slot over: seals its last epoch and begins the next. The answer's batch is 0: the first to append is 1.
    async fn take_slot(&self) -> Result<Position, JournalError>;

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
    /// The store failed.
    #[error("the journal cannot be written or read")]
    Store(#[from] StoreError),
}
