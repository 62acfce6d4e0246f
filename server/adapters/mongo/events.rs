//! The port `Events` on MongoDB: a document for each row, whose `_id` is its key, with its amendments in it (rule H).
//!
//! One document decides of a row and of its amendments which came first. An amendment whose row is not there yet makes the
//! document and waits in it; the row says how many had waited, and that never changes.

mod amendments;
mod kept;
mod lists;
mod pointers;
mod purge;
mod refusals;
mod rows;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::Document;
use mongodb::{Collection, IndexModel};
use tracing::instrument;

use crate::adapters::mongo::connect::MongoStore;
use crate::adapters::mongo::convert::wide;
use crate::adapters::mongo::events::kept::Kept;
use crate::adapters::mongo::failure::{failed, nonsense};
use crate::gate::call::EventKey;
use crate::ledger::events::{
    Amended, AmendedRow, Amendment, EventSearch, Events, InsertedRow, ListedRefusal, ListedRow, RefusalRow,
    Row,
};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Documents in one insertion.
const COUNT_MAX: usize = 1_000;
/// Bytes of documents in one insertion, about.
const BYTES_MAX: usize = 6 * 1024 * 1024;
/// How often a change is tried against a document that others change, or that no majority has yet.
const ATTEMPTS_MAX: u32 = 100;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Events in collections.
#[derive(Clone, Debug)]
pub struct MongoEvents {
    store: MongoStore,
    rows: Collection<Document>,
    pointers: Collection<Document>,
    refusals: Collection<Document>,
}

impl MongoEvents {
    /// The events of a store; makes their indexes.
    pub async fn open(store: &MongoStore) -> Result<Self, StoreError> {
        let events = Self {
            store: store.clone(),
            rows: store.collection("events"),
            pointers: store.collection("amendments"),
            refusals: store.collection("refusals"),
        };
        // One command for each: FerretDB does not survive several that are there already.
        for (collection, keys) in [
            (&events.rows, lists::rows_index()),
            (&events.rows, purge::rows_index()),
            (&events.refusals, lists::refusals_index()),
            (&events.refusals, purge::refusals_index()),
        ] {
            let index = IndexModel::builder().keys(keys).build();
            store.run(collection.create_index(index)).await.map_err(failed)?;
        }
        Ok(events)
    }

    /// The documents with those keys, by key.
    async fn find(&self, keys: &[EventKey]) -> Result<HashMap<EventKey, Kept>, StoreError> {
        let ids: Vec<_> = keys.iter().map(|key| wide(key.0)).collect();
        let mut found = HashMap::with_capacity(ids.len());
        for kept in self.store.find_ids(&self.rows, &ids, None).await? {
            let kept = Kept::read(kept)?;
            found.insert(kept.key, kept);
        }
        Ok(found)
    }
}

#[async_trait]
impl Events for MongoEvents {
    #[instrument(level = "debug", skip_all, name = "events.insert", target = "tollgate::store")]
    async fn insert(&self, rows: Vec<Row>) -> Result<Vec<InsertedRow>, StoreError> {
        self.insert_rows(&rows).await
    }

    #[instrument(level = "debug", skip_all, name = "events.amend", target = "tollgate::store")]
    async fn amend(&self, amendments: Vec<Amendment>) -> Result<Vec<Amended>, StoreError> {
        self.amend_rows(&amendments).await
    }

    #[instrument(level = "debug", skip_all, name = "events.refuse", target = "tollgate::store")]
    async fn refuse(&self, refusals: Vec<RefusalRow>) -> Result<(), StoreError> {
        self.keep_refusals(&refusals).await
    }

    #[instrument(level = "debug", skip_all, name = "events.get", target = "tollgate::store")]
    async fn get(&self, keys: &[EventKey]) -> Result<Vec<Option<AmendedRow>>, StoreError> {
        let found = self.find(keys).await?;
        Ok(keys.iter().map(|key| found.get(key).and_then(Kept::amended)).collect())
    }

    #[instrument(level = "debug", skip_all, name = "events.amendment", target = "tollgate::store")]
    async fn amendment(&self, key: EventKey) -> Result<Option<Amendment>, StoreError> {
        let Some(target) = self.target(key).await? else { return Ok(None) };
        let found = self.find(&[target]).await?;
        let kept = found.get(&target);
        Ok(kept.and_then(|kept| kept.place(key).map(|place| kept.amendments[place].clone())))
    }

    #[instrument(level = "debug", skip_all, name = "events.list", target = "tollgate::store")]
    async fn list(&self, search: EventSearch<'_>) -> Result<Vec<ListedRow>, StoreError> {
        self.list_rows(&search).await
    }

    #[instrument(level = "debug", skip_all, name = "events.list_refusals", target = "tollgate::store")]
    async fn list_refusals(&self, search: EventSearch<'_>) -> Result<Vec<ListedRefusal>, StoreError> {
        self.list_refused(&search).await
    }

    #[instrument(level = "debug", skip_all, name = "events.purge", target = "tollgate::store")]
    async fn purge(&self, received_before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.purge_old(received_before, limit).await
    }

    #[instrument(level = "debug", skip_all, name = "events.sync", target = "tollgate::store")]
    async fn sync(&self) -> Result<(), StoreError> {
        // What was answered is in the journals of a majority already.
        Ok(())
    }
}

/// Parts of `all` that fit one insertion; `size` says how large each is, about.
fn parts<T>(all: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut rest) = (Vec::new(), all);
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fitting = rest.iter().take(COUNT_MAX).take_while(|each| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(size(each).max(1));
            is_first || bytes <= BYTES_MAX
        });
        let (part, after) = rest.split_at(fitting.count().max(1));
        parts.push(part);
        rest = after;
    }
    parts
}

/// A change was tried for too long.
fn contended(key: EventKey) -> StoreError {
    nonsense(format!("the event {} is changed by others all the time", wide(key.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_there_is_and_each_fits() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let parts = parts(sizes, |size| *size);
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), expected);
            assert_eq!(parts.concat(), sizes);
        };
        check(&[], &[]);
        check(&[1, 2, 3], &[3]);
        check(&[BYTES_MAX + 1, 1, BYTES_MAX, 1], &[1, 1, 1, 1]);
        check(&[BYTES_MAX / 2, BYTES_MAX / 2, 1], &[2, 1]);
        check(&vec![0; COUNT_MAX + 1], &[COUNT_MAX, 1]);
    }
}
