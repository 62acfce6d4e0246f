//! The port `Rollups` on SQLite: a tenant's hours beside one another, their sums before their details.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};

use crate::adapters::sqlite::convert::{signed, unsigned};
use crate::adapters::sqlite::open::Database;
use crate::ledger::rollups::{Detail, RollupKey, Rollups, StoredRollup};
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

pub(super) const SCHEMA: &str = "
    CREATE TABLE rollups (
        tenant TEXT NOT NULL, hour INTEGER NOT NULL, revision INTEGER NOT NULL, positions BLOB NOT NULL,
        totals BLOB NOT NULL, minutes BLOB NOT NULL, dimensions BLOB NOT NULL,
        PRIMARY KEY (tenant, hour)) STRICT, WITHOUT ROWID;
";

/// Rollups in the ledger's file.
#[derive(Clone, Debug)]
pub struct SqliteRollups {
    database: Database,
}

/// Positions as they are kept.
#[derive(Clone, PartialEq, prost::Message)]
struct Positions {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Position>,
}

impl SqliteRollups {
    /// The rollups in an open file.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }
}

#[async_trait]
impl Rollups for SqliteRollups {
    async fn get(&self, keys: &[RollupKey]) -> Result<Vec<Option<StoredRollup>>, StoreError> {
        let keys = keys.to_vec();
        self.database
            .read(move |db| {
                let mut statement = db.prepare_cached(
                    "SELECT hour, revision, positions, totals, minutes, dimensions FROM rollups
                     WHERE tenant = ? AND hour = ?",
                )?;
                keys.iter().map(|key| get(&mut statement, key)).collect()
            })
            .await
    }

    async fn replace(&self, rollups: Vec<StoredRollup>) -> Result<Vec<bool>, StoreError> {
        self.database.write(move |db| rollups.iter().map(|rollup| replace(db, rollup)).collect()).await
    }

    async fn range(
        &self,
        tenant: &str,
        start: Timestamp,
        end: Timestamp,
        detail: Detail,
    ) -> Result<Vec<StoredRollup>, StoreError> {
        let tenant = Arc::<str>::from(tenant);
        let columns = match detail {
            Detail::Totals => "x'', x''",
            Detail::Minutes => "minutes, x''",
            Detail::Dimensions => "x'', dimensions",
        };
        let sql = format!(
            "SELECT hour, revision, positions, totals, {columns} FROM rollups
             WHERE tenant = ? AND hour >= ? AND hour < ? ORDER BY hour"
        );
        self.database
            .read(move |db| {
                let mut statement = db.prepare_cached(&sql)?;
                let bounds = params![tenant, start.micros(), end.micros()];
                let found = statement.query_map(bounds, |row| to_rollup(&tenant, row))?;
                found.collect()
            })
            .await
    }
}

fn get(statement: &mut CachedStatement<'_>, key: &RollupKey) -> rusqlite::Result<Option<StoredRollup>> {
    statement.query_row(params![key.tenant, key.hour.micros()], |row| to_rollup(&key.tenant, row)).optional()
}

fn replace(db: &Connection, rollup: &StoredRollup) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(if rollup.revision == 0 {
        "INSERT INTO rollups (tenant, hour, positions, totals, minutes, dimensions, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7 + 1) ON CONFLICT DO NOTHING"
    } else {
        "UPDATE rollups SET positions = ?3, totals = ?4, minutes = ?5, dimensions = ?6, revision = ?7 + 1
         WHERE tenant = ?1 AND hour = ?2 AND revision = ?7"
    })?;
    let changed = statement.execute(params![
        rollup.key.tenant,
        rollup.key.hour.micros(),
        Positions { all: rollup.positions.clone() }.encode_to_vec(),
        rollup.totals,
        rollup.minutes,
        rollup.dimensions,
        signed(rollup.revision)?,
    ])?;
    Ok(changed == 1)
}

fn to_rollup(tenant: &Arc<str>, row: &Row<'_>) -> rusqlite::Result<StoredRollup> {
    let positions = Positions::decode(row.get_ref(2)?.as_blob()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Blob, Box::new(error))
    })?;
    Ok(StoredRollup {
        key: RollupKey { tenant: Arc::clone(tenant), hour: Timestamp::from_micros(row.get(0)?) },
        revision: unsigned(row, 1)?,
        positions: positions.all,
        totals: row.get(3)?,
        minutes: row.get(4)?,
        dimensions: row.get(5)?,
    })
}
