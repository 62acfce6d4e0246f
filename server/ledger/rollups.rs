//! The port `Rollups`: one document for each tenant and hour (rule G).

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Which rollup.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// Whose.
    pub tenant: Arc<str>,
    /// The first moment of the hour.
    pub hour: Timestamp,
}

/// A rollup as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRollup {
    /// Which.
    pub key: RollupKey,
    /// Grows by one with each replacement; 0: not kept yet.
    pub revision: u64,
    /// What it has absorbed of each slot (rule F).
    pub positions: Vec<Position>,
    /// Encoded sums of the hour.
    pub totals: Vec<u8>,
    /// Encoded sums by minute; empty where they were not asked for.
    pub minutes: Vec<u8>,
    /// Encoded sums by dimension; empty where they were not asked for.
    pub dimensions: Vec<u8>,
}

/// What of a rollup is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The hours' sums alone.
    Totals,
    /// The hours' sums and the minutes'.
    Minutes,
    /// The hours' sums and those by dimension.
    Dimensions,
}

/// The rollups.
///
/// # Contract
///
/// One rollup is the unit of atomicity: its positions change together with its sums or not at all.
#[async_trait]
pub trait Rollups: Send + Sync + Debug {
    /// The rollups with those keys, in that order.
    async fn get(&self, keys: &[RollupKey]) -> Result<Vec<Option<StoredRollup>>, StoreError>;

    /// Replaces each rollup whose revision is still the given one, each on its own; answers which were, in order.
    async fn replace(&self, rollups: Vec<StoredRollup>) -> Result<Vec<bool>, StoreError>;

    /// A tenant's rollups of the hours from `start` to before `end`, in order: the first `limit` of them.
    async fn range(
        &self,
        tenant: &str,
        start: Timestamp,
        end: Timestamp,
        detail: Detail,
        limit: usize,
    ) -> Result<Vec<StoredRollup>, StoreError>;
}
