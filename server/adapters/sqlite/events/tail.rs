//! The newest rows, found in memory until they are many enough to be written into the indexes at once.
//!
//! Keys are random, and so are tenants: with a plain index each new row dirties two pages of its own, which costs ten times
//! what the row itself does once there are millions. So the indexes are tables, written in order and in bulk. What they
//! lack yet is here, and is loaded anew from the rows themselves when the file is opened.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::adapters::sqlite::convert::wide;
use crate::adapters::sqlite::events::lists::Span;
use crate::gate::call::EventKey;

pub(in crate::adapters::sqlite) const SCHEMA: &str = "
    CREATE TABLE event_keys (key BLOB PRIMARY KEY, arrival INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE event_places (
        tenant INTEGER NOT NULL, occurred_at INTEGER NOT NULL, arrival INTEGER NOT NULL,
        PRIMARY KEY (tenant, occurred_at, arrival)) STRICT, WITHOUT ROWID;
    CREATE TABLE event_tail (one INTEGER PRIMARY KEY CHECK (one = 1), indexed_through INTEGER NOT NULL) STRICT;
    INSERT INTO event_tail VALUES (1, 0);
";

/// At so many rows the tail is written into the indexes: some 10 MiB of memory.
const ROWS_MAX: usize = 128 * 1024;

/// The rows that no index has yet.
///
/// A reader looks here first and into the file after: what has left the tail in between is in the file by then.
#[derive(Debug, Default)]
pub(super) struct Tail {
    rows: RwLock<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    arrivals: HashMap<EventKey, i64>,
    /// Tenant, `occurred_at` and arrival of the rows that are listed.
    places: BTreeSet<(i64, i64, i64)>,
}

/// A row that was inserted just now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) key: EventKey,
    pub(super) arrival: i64,
    pub(super) tenant: i64,
    /// `None`: it is not listed.
    pub(super) listed_at: Option<i64>,
}

/// What the tail need not hold any longer: it was written into the indexes, or is gone.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) keys: Vec<(EventKey, i64)>,
    pub(super) places: Vec<(i64, i64, i64)>,
}

impl Tail {
    /// The tail as it was when the file was closed.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut statement = db.prepare(
            "SELECT key, arrival, tenant, CASE kind WHEN 0 THEN occurred_at END FROM events
             WHERE arrival > (SELECT indexed_through FROM event_tail)",
        )?;
        let rows = statement.query_map([], |row| {
            let (arrival, tenant, listed_at) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Arrived { key: EventKey(wide(row, 0)?), arrival, tenant, listed_at })
        })?;
        let tail = Self::default();
        tail.append(rows.collect::<Result<Vec<_>, _>>()?);
        Ok(tail)
    }

    /// Adds rows that were committed.
    pub(super) fn append(&self, arrived: Vec<Arrived>) {
        let mut rows = self.rows_mut();
        for row in arrived {
            rows.arrivals.insert(row.key, row.arrival);
            if let Some(occurred_at) = row.listed_at {
                rows.places.insert((row.tenant, occurred_at, row.arrival));
            }
        }
    }

    /// Whether it is time to write it into the indexes.
    pub(super) fn is_full(&self) -> bool {
        self.rows().arrivals.len() >= ROWS_MAX
    }

    /// The row with that key, if it is here.
    pub(super) fn find(&self, key: EventKey) -> Option<i64> {
        self.rows().arrivals.get(&key).copied()
    }

    /// The first places of a tenant in a span, `limit` from each end.
    pub(super) fn places(&self, tenant: i64, span: Span, limit: usize) -> Vec<(i64, i64)> {
        let bound = |(occurred_at, arrival)| Bound::Excluded((tenant, occurred_at, arrival));
        let rows = self.rows();
        if span.low >= span.high {
            return Vec::new();
        }
        let found = rows.places.range((bound(span.low), bound(span.high)));
        let found = found.map(|(_, occurred_at, arrival)| (*occurred_at, *arrival));
        if span.is_descending { found.rev().take(limit).collect() } else { found.take(limit).collect() }
    }

    /// Writes it into the indexes.
    pub(super) fn index(&self, db: &Connection) -> rusqlite::Result<Moved> {
        let rows = self.rows();
        let mut keys: Vec<_> = rows.arrivals.iter().map(|(key, arrival)| (*key, *arrival)).collect();
        let places: Vec<_> = rows.places.iter().copied().collect();
        drop(rows);
        // In the order of the index, so that each of its pages is written once.
        keys.sort_unstable();
        let mut statement = db.prepare_cached("INSERT INTO event_keys (key, arrival) VALUES (?, ?)")?;
        for (key, arrival) in &keys {
            statement.execute(params![key.0.to_be_bytes(), arrival])?;
        }
        let mut statement =
            db.prepare_cached("INSERT INTO event_places (tenant, occurred_at, arrival) VALUES (?, ?, ?)")?;
        for (tenant, occurred_at, arrival) in &places {
            statement.execute(params![tenant, occurred_at, arrival])?;
        }
        db.prepare_cached("UPDATE event_tail SET indexed_through = (SELECT max(arrival) FROM events)")?
            .execute([])?;
        Ok(Moved { keys, places })
    }

    /// Drops what was written into the indexes or deleted, once that is committed.
    pub(super) fn forget(&self, moved: &Moved) {
        let mut rows = self.rows_mut();
        for (key, _) in &moved.keys {
            rows.arrivals.remove(key);
        }
        for place in &moved.places {
            rows.places.remove(place);
        }
    }

    fn rows(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows_mut(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row with that key, among those that are in the index.
pub(super) fn find_indexed(db: &Connection, key: EventKey) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT arrival FROM event_keys WHERE key = ?")?
        .query_row([key.0.to_be_bytes()], |row| row.get(0))
        .optional()
}
