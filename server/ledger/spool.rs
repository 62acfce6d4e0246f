//! The port `Spool`: where batches wait on this machine's own disk while the shared journal cannot be reached (rule E).

use std::fmt::Debug;

use async_trait::async_trait;
use prost::bytes::Bytes;

use crate::store::StoreError;

/// A batch that waits. It has no number yet: it gets one when it is shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Names it in this spool. Later ones have larger tickets, also after a restart.
    pub ticket: u64,
    /// The records, each preceded by its length as a varint.
    pub records: Bytes,
}

/// Batches on the local disk, in order.
///
/// # Contract
///
/// - What [`Spool::append`] answered is durable on this machine, through the loss of power too.
/// - What was not forgotten is there after the end of the process, in order. A batch whose append was not answered may be
///   there or not, but never in part.
/// - Its size has a bound: what is above it is refused, and nothing that was kept makes room.
#[async_trait]
pub trait Spool: Send + Sync + Debug {
    /// Keeps a batch behind all others; answers its ticket.
    async fn append(&self, records: Bytes) -> Result<u64, SpoolError>;

    /// The first batch.
    async fn front(&self) -> Result<Option<Spooled>, SpoolError>;

    /// Forgets the batches up to and with this ticket: they are in the journal.
    async fn forget(&self, through: u64) -> Result<(), SpoolError>;

    /// Bytes of records that wait.
    fn bytes(&self) -> u64;
}

/// The spool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// There is no room.
    #[error("the spool has {bytes_max} bytes, which is all that it may have")]
    Full {
        /// The bound.
        bytes_max: u64,
    },
    /// The disk failed, or has something that cannot be read.
    #[error("the spool cannot be written or read")]
    Store(#[from] StoreError),
}
