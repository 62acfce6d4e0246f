//! The port `Events` on SQLite: rows in the order of their arrival, found through indexes that are written in bulk.

mod amendments;
mod lists;
mod purge;
mod refusals;
mod rows;
mod tail;
mod tenants;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tracing::instrument;

use crate::adapters::sqlite::events::lists::Span;
use crate::adapters::sqlite::events::tail::Tail;
use crate::adapters::sqlite::events::tenants::Tenants;
use crate::adapters::sqlite::open::{Database, on_blocking_thread};
use crate::gate::call::EventKey;
use crate::ledger::events::{
    Amended, AmendedRow, Amendment, EventSearch, Events, InsertedRow, ListedRefusal, ListedRow, RefusalRow,
    Row,
};
use crate::store::StoreError;
use crate::time::Timestamp;

pub(super) use amendments::SCHEMA as AMENDMENTS;
pub(super) use purge::SCHEMA as AGES;
pub(super) use refusals::SCHEMA as REFUSALS;
pub(super) use rows::SCHEMA as ROWS;
pub(super) use tail::SCHEMA as INDEXES;
pub(super) use tenants::SCHEMA as TENANTS;

/// Events in the ledger's file.
#[derive(Clone, Debug)]
pub struct SqliteEvents {
    database: Database,
    /// Held from the first look at the tail to its change after the commit.
    turn: Arc<Mutex<()>>,
    tail: Arc<Tail>,
    tenants: Arc<Tenants>,
}

impl SqliteEvents {
    /// The events in an open file.
    pub fn new(database: &Database) -> Result<Self, StoreError> {
        let tail = Arc::new(database.read_now(Tail::load)?);
        Ok(Self { database: database.clone(), turn: Arc::default(), tail, tenants: Arc::default() })
    }

    /// Writes, one at a time, on a thread that may wait.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let events = self.clone();
        on_blocking_thread(move || {
            // It guards no data of its own, so a poisoned lock is still good.
            let _turn = events.turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&events)
        })
        .await
    }
}

#[async_trait]
impl Events for SqliteEvents {
    #[instrument(level = "debug", skip_all, name = "events.insert", target = "tollgate::store")]
    async fn insert(&self, rows: Vec<Row>) -> Result<Vec<InsertedRow>, StoreError> {
        self.write(move |events| {
            let (answer, arrived) =
                events.database.write_now(|db| rows::insert(db, &events.tail, &events.tenants, &rows))?;
            events.tail.append(arrived);
            if events.tail.is_full() {
                let moved = events.database.write_now(|db| events.tail.index(db))?;
                events.tail.forget(&moved);
            }
            Ok(answer)
        })
        .await
    }

    #[instrument(level = "debug", skip_all, name = "events.amend", target = "tollgate::store")]
    async fn amend(&self, amendments: Vec<Amendment>) -> Result<Vec<Amended>, StoreError> {
        self.write(move |events| {
            events.database.write_now(|db| amendments::amend(db, &events.tail, &amendments))
        })
        .await
    }

    #[instrument(level = "debug", skip_all, name = "events.refuse", target = "tollgate::store")]
    async fn refuse(&self, refusals: Vec<RefusalRow>) -> Result<(), StoreError> {
        let tenants = Arc::clone(&self.tenants);
        self.database.write(move |db| refusals::insert(db, &tenants, &refusals)).await
    }

    #[instrument(level = "debug", skip_all, name = "events.get", target = "tollgate::store")]
    async fn get(&self, keys: &[EventKey]) -> Result<Vec<Option<AmendedRow>>, StoreError> {
        // The tail first: what leaves it from here on is in the file by the time that is read.
        let places: Vec<_> = keys.iter().map(|key| (*key, self.tail.find(*key))).collect();
        self.database
            .read(move |db| {
                let get = |(key, arrival): (EventKey, Option<i64>)| {
                    let arrival = match arrival {
                        Some(arrival) => Some(arrival),
                        None => tail::find_indexed(db, key)?,
                    };
                    let found = arrival.map_or(Ok(None), |arrival| rows::get(db, arrival))?;
                    // A row that was deleted meanwhile may have left its number to another one.
                    Ok(found.filter(|found| found.row.key == key))
                };
                places.into_iter().map(get).collect()
            })
            .await
    }

    #[instrument(level = "debug", skip_all, name = "events.amendment", target = "tollgate::store")]
    async fn amendment(&self, key: EventKey) -> Result<Option<Amendment>, StoreError> {
        self.database.read(move |db| amendments::get(db, key)).await
    }

    #[instrument(level = "debug", skip_all, name = "events.list", target = "tollgate::store")]
    async fn list(&self, search: EventSearch<'_>) -> Result<Vec<ListedRow>, StoreError> {
        let name = search.tenant.to_owned();
        let Some(tenant) = self.database.read(move |db| tenants::find(db, &name)).await? else {
            return Ok(Vec::new());
        };
        let span = Span::of(&search);
        // The tail first, as in `get`.
        let newest = self.tail.places(tenant, span, search.limit);
        let limit = i64::try_from(search.limit).unwrap_or(i64::MAX);
        let mut listed = self.database.read(move |db| lists::list(db, tenant, span, limit, newest)).await?;
        // As in `get`: nothing of another tenant's is ever answered.
        listed.retain(|listed| &*listed.row.row.tenant == search.tenant);
        Ok(listed)
    }

    #[instrument(level = "debug", skip_all, name = "events.list_refusals", target = "tollgate::store")]
    async fn list_refusals(&self, search: EventSearch<'_>) -> Result<Vec<ListedRefusal>, StoreError> {
        let (name, span) = (Arc::<str>::from(search.tenant), Span::of(&search));
        let limit = i64::try_from(search.limit).unwrap_or(i64::MAX);
        self.database
            .read(move |db| match tenants::find(db, &name)? {
                Some(tenant) => refusals::list(db, (tenant, &name), span, limit),
                None => Ok(Vec::new()),
            })
            .await
    }

    #[instrument(level = "debug", skip_all, name = "events.purge", target = "tollgate::store")]
    async fn purge(&self, received_before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.write(move |events| {
            let purged = events.database.write_now(|db| purge::purge(db, received_before, limit))?;
            events.tail.forget(&purged.rows);
            Ok(purged.count)
        })
        .await
    }

    #[instrument(level = "debug", skip_all, name = "events.sync", target = "tollgate::store")]
    async fn sync(&self) -> Result<(), StoreError> {
        self.database.sync().await
    }
}
