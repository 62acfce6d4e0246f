//! Locks as they are kept: what the counts have led to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::records::{Kept, Range, Record, Records};
use crate::store::{Documents, Inserted, Order, StoreError};
use crate::time::Timestamp;

/// The index of locks by account.
const ACCOUNT: &str = "account";
/// The index of locks by when they say nothing any longer.
const END: &str = "end";
/// Locks of one account that are looked at at once.
const PAGE: usize = 1_000;

/// No try is looked at before a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lock {
    /// The digest of what is locked.
    pub(super) id: String,
    /// The digest of its account; empty: it is a network's.
    pub(super) account: String,
    /// When the next try may be looked at.
    pub(super) until: Timestamp,
    /// How many tries there were.
    pub(super) failures: u32,
    /// When it says nothing any longer.
    pub(super) ends_at: Timestamp,
}

impl Record for Lock {
    const KIND: &'static str = "login_lock";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(ACCOUNT, self.account.clone()), (END, moment(self.ends_at))]
    }
}

/// Locks.
#[derive(Debug)]
pub(super) struct Locks {
    locks: Records<Lock>,
}

/// A lock as one try has left it.
#[derive(Debug)]
pub(super) struct Taken {
    kept: Kept<Lock>,
}

impl Taken {
    /// When the next try may be looked at.
    pub(super) const fn until(&self) -> Timestamp {
        self.kept.record.until
    }
}

impl Locks {
    pub(super) fn new(documents: &Arc<dyn Documents>) -> Self {
        Self { locks: Records::new(Arc::clone(documents)) }
    }

    /// The locks with those ids, in that order.
    pub(super) async fn of(&self, ids: &[String]) -> Result<Vec<Option<Kept<Lock>>>, StoreError> {
        self.locks.get_many(ids).await
    }

    /// Puts a lock in the place of the one that was read. `None`: it has changed since.
    pub(super) async fn take(
        &self,
        before: Option<&Kept<Lock>>,
        next: Lock,
    ) -> Result<Option<Taken>, StoreError> {
        let Some(before) = before else {
            let inserted = self.locks.insert(&next).await?;
            return Ok(
                (inserted == Inserted::Yes).then_some(Taken { kept: Kept { record: next, revision: 1 } })
            );
        };
        let kept = Kept { record: next, revision: before.revision };
        let is_taken = self.locks.replace(&kept).await?;
        let revision = before.revision.saturating_add(1);
        Ok(is_taken.then_some(Taken { kept: Kept { revision, ..kept } }))
    }

    /// Opens a lock, unless another try has left it otherwise since.
    pub(super) async fn give_back(&self, taken: &Taken, now: Timestamp) -> Result<(), StoreError> {
        let mut kept = taken.kept.clone();
        kept.record.until = now;
        kept.record.failures = kept.record.failures.saturating_sub(1);
        self.locks.replace(&kept).await.map(|_| ())
    }

    /// Deletes a lock as it stands.
    pub(super) async fn delete(&self, id: &str) -> Result<(), StoreError> {
        match self.locks.get(id).await? {
            Some(kept) => self.locks.delete(id, kept.revision).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// The ids of an account's locks, the first thousand: whoever has more of them gets the rest open with time.
    pub(super) async fn on(&self, account: &str) -> Result<Vec<String>, StoreError> {
        let range = Range { index: ACCOUNT, prefix: account, order: Order::Ascending, after: None };
        let page = self.locks.page(range, PAGE).await?;
        Ok(page.records.into_iter().map(|lock| lock.id).collect())
    }

    pub(super) async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.locks.purge(END, &moment(now), limit).await
    }
}

/// A moment as a value of an index.
pub(super) fn moment(at: Timestamp) -> String {
    format!("{:020}", at.micros().max(0))
}
