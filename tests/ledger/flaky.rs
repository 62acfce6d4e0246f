//! Stores that fail now and then: before they did what they were asked, or after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tollgate::gate::call::EventKey;
use tollgate::ledger::events::{
    Amended, AmendedRow, Amendment, EventSearch, Events, InsertedRow, ListedRefusal, ListedRow, RefusalRow,
    Row,
};
use tollgate::ledger::rollups::{Detail, RollupKey, Rollups, StoredRollup};
use tollgate::store::{Document, Documents, Found, Inserted, Replaced, Search, StoreError};
use tollgate::time::Timestamp;

/// Says of each write whether it fails: about two of five do. The same seed says the same.
#[derive(Debug)]
pub(crate) struct Luck(AtomicU64);

/// When a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Never,
    Before,
    After,
}

impl Luck {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seed)))
    }

    /// From here on writes fail.
    pub(crate) fn begin(&self, seed: u64) {
        self.0.store(seed, Ordering::SeqCst);
    }

    /// From here on nothing fails.
    pub(crate) fn end(&self) {
        self.0.store(u64::MAX, Ordering::SeqCst);
    }

    fn draw(&self) -> Fate {
        let step = |state: u64| {
            (state != u64::MAX).then(|| {
                state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
            })
        };
        let Ok(state) = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) else {
            return Fate::Never;
        };
        match (state >> 33) % 5 {
            0 => Fate::Before,
            1 => Fate::After,
            _ => Fate::Never,
        }
    }

    async fn run<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let fate = self.draw();
        if fate == Fate::Before {
            return Err(StoreError::unavailable("it fails before the write"));
        }
        let answer = work.await?;
        if fate == Fate::After {
            Err(StoreError::unavailable("it fails after the write"))
        } else {
            Ok(answer)
        }
    }
}

/// A store with that luck.
#[derive(Debug)]
pub(crate) struct Flaky<S> {
    pub(crate) store: S,
    pub(crate) luck: Arc<Luck>,
}

#[async_trait]
impl<S: Events> Events for Flaky<S> {
    async fn insert(&self, rows: Vec<Row>) -> Result<Vec<InsertedRow>, StoreError> {
        self.luck.run(self.store.insert(rows)).await
    }

    async fn amend(&self, amendments: Vec<Amendment>) -> Result<Vec<Amended>, StoreError> {
        self.luck.run(self.store.amend(amendments)).await
    }

    async fn refuse(&self, refusals: Vec<RefusalRow>) -> Result<(), StoreError> {
        self.luck.run(self.store.refuse(refusals)).await
    }

    async fn get(&self, keys: &[EventKey]) -> Result<Vec<Option<AmendedRow>>, StoreError> {
        self.store.get(keys).await
    }

    async fn amendment(&self, key: EventKey) -> Result<Option<Amendment>, StoreError> {
        self.store.amendment(key).await
    }

    async fn list(&self, search: EventSearch<'_>) -> Result<Vec<ListedRow>, StoreError> {
        self.store.list(search).await
    }

    async fn list_refusals(&self, search: EventSearch<'_>) -> Result<Vec<ListedRefusal>, StoreError> {
        self.store.list_refusals(search).await
    }

    async fn purge(&self, received_before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.luck.run(self.store.purge(received_before, limit)).await
    }

    async fn sync(&self) -> Result<(), StoreError> {
        self.store.sync().await
    }
}

#[async_trait]
impl<S: Rollups> Rollups for Flaky<S> {
    async fn get(&self, keys: &[RollupKey]) -> Result<Vec<Option<StoredRollup>>, StoreError> {
        self.store.get(keys).await
    }

    async fn replace(&self, rollups: Vec<StoredRollup>) -> Result<Vec<bool>, StoreError> {
        self.luck.run(self.store.replace(rollups)).await
    }

    async fn range(
        &self,
        tenant: &str,
        start: Timestamp,
        end: Timestamp,
        detail: Detail,
        limit: usize,
    ) -> Result<Vec<StoredRollup>, StoreError> {
        self.store.range(tenant, start, end, detail, limit).await
    }
}

#[async_trait]
impl<S: Documents> Documents for Flaky<S> {
    async fn insert(&self, document: Document) -> Result<Inserted, StoreError> {
        self.store.insert(document).await
    }

    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Document>, StoreError> {
        self.store.get(kind, id).await
    }

    async fn get_many(
        &self,
        kind: &'static str,
        ids: &[String],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        self.store.get_many(kind, ids).await
    }

    async fn get_by(
        &self,
        kind: &'static str,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Document>, StoreError> {
        self.store.get_by(kind, index, value).await
    }

    async fn replace_many(&self, documents: Vec<Document>) -> Result<Vec<Replaced>, StoreError> {
        self.luck.run(self.store.replace_many(documents)).await
    }

    async fn delete(&self, kind: &'static str, id: &str, revision: u64) -> Result<bool, StoreError> {
        self.store.delete(kind, id, revision).await
    }

    async fn find(&self, search: Search<'_>) -> Result<Vec<Found>, StoreError> {
        self.store.find(search).await
    }
}
