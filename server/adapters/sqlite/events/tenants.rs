//! Tenants by number, so that a row and its places are small.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};

pub(in crate::adapters::sqlite) const SCHEMA: &str = "
    CREATE TABLE tenants (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
";

/// Numbers that are kept in memory.
const KNOWN_MAX: usize = 100_000;

/// The numbers of tenants that are in the file for certain.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    known: Mutex<HashMap<Arc<str>, i64>>,
}

/// The numbers given out in one transaction. If it is not committed, nobody may know them.
#[derive(Debug, Default)]
pub(super) struct NewTenants {
    numbers: HashMap<Arc<str>, i64>,
}

impl Tenants {
    /// The tenant's number, given out now if it has none.
    pub(super) fn number(
        &self,
        db: &Connection,
        new: &mut NewTenants,
        name: &Arc<str>,
    ) -> rusqlite::Result<i64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.get(name).or_else(|| new.numbers.get(name)) {
            return Ok(*number);
        }
        if let Some(number) = find(db, name)? {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(Arc::clone(name), number);
            return Ok(number);
        }
        db.prepare_cached("INSERT INTO tenants (name) VALUES (?)")?.execute([name])?;
        let number = db.last_insert_rowid();
        new.numbers.insert(Arc::clone(name), number);
        Ok(number)
    }
}

/// The number of a tenant that has one.
pub(super) fn find(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT number FROM tenants WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()
}
