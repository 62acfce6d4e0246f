//! The port `Rollups` on SQLite: a tenant's hours beside one another, their sums before their details.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};
use tracing::instrument;

use crate::adapters::sqlite::convert::{signed, unsigned};
use crate::adapters::sqlite::open::Database;
use crate::ledger::rollups::{Detail, RollupKey, Rollups, StoredRollup};
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Details apart, in the order in which they came: the hours of a tenant stand close together, and a year of them is read
/// at once; the details of one hour stand close together, and they are what is written.
pub(super) const SCHEMA: &str = "
    CREATE TABLE rollups (
        tenant TEXT NOT NULL, hour INTEGER NOT NULL, revision INTEGER NOT NULL, details INTEGER NOT NULL,
        positions BLOB NOT NULL, totals BLOB NOT NULL, PRIMARY KEY (tenant, hour)) STRICT, WITHOUT ROWID;
    CREATE TABLE rollup_details (
        place INTEGER PRIMARY KEY, minutes BLOB NOT NULL, dimensions BLOB NOT NULL) STRICT;
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
    #[instrument(level = "debug", skip_all, name = "rollups.get", target = "tollgate::store")]
    async fn get(&self, keys: &[RollupKey]) -> Result<Vec<Option<StoredRollup>>, StoreError> {
        let keys = keys.to_vec();
        self.database
            .read(move |db| {
                let mut statement = db.prepare_cached(
                    "SELECT hour, revision, positions, totals, minutes, dimensions
                     FROM rollups CROSS JOIN rollup_details ON place = details WHERE tenant = ? AND hour = ?",
                )?;
                keys.iter().map(|key| get(&mut statement, key)).collect()
            })
            .await
    }

    #[instrument(level = "debug", skip_all, name = "rollups.replace", target = "tollgate::store")]
    async fn replace(&self, rollups: Vec<StoredRollup>) -> Result<Vec<bool>, StoreError> {
        self.database.write(move |db| rollups.iter().map(|rollup| replace(db, rollup)).collect()).await
    }

    #[instrument(level = "debug", skip_all, name = "rollups.range", target = "tollgate::store")]
    async fn range(
        &self,
        tenant: &str,
        start: Timestamp,
        end: Timestamp,
        detail: Detail,
        limit: usize,
    ) -> Result<Vec<StoredRollup>, StoreError> {
        let (tenant, limit) = (Arc::<str>::from(tenant), i64::try_from(limit).unwrap_or(i64::MAX));
        let sql = match detail {
            Detail::Totals => TOTALS,
            Detail::Minutes => MINUTES,
            Detail::Dimensions => DIMENSIONS,
        };
        self.database
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let bounds = params![tenant, start.micros(), end.micros(), limit];
                let found = statement.query_map(bounds, |row| to_rollup(&tenant, row))?;
                found.collect()
            })
            .await
    }
}

fn get(statement: &mut CachedStatement<'_>, key: &RollupKey) -> rusqlite::Result<Option<StoredRollup>> {
    statement.query_row(params![key.tenant, key.hour.micros()], |row| to_rollup(&key.tenant, row)).optional()
}

const TOTALS: &str = "
    SELECT hour, revision, positions, totals, x'', x'' FROM rollups
    WHERE tenant = ? AND hour >= ? AND hour < ? ORDER BY hour LIMIT ?";
const MINUTES: &str = "
    SELECT hour, revision, positions, totals, minutes, x''
    FROM rollups CROSS JOIN rollup_details ON place = details
    WHERE tenant = ? AND hour >= ? AND hour < ? ORDER BY hour LIMIT ?";
const DIMENSIONS: &str = "
    SELECT hour, revision, positions, totals, x'', dimensions
    FROM rollups CROSS JOIN rollup_details ON place = details
    WHERE tenant = ? AND hour >= ? AND hour < ? ORDER BY hour LIMIT ?";

fn replace(db: &Connection, rollup: &StoredRollup) -> rusqlite::Result<bool> {
    if rollup.revision == 0 {
        return insert(db, rollup);
    }
    let details = db
        .prepare_cached(
            "UPDATE rollups SET revision = revision + 1, positions = ?, totals = ?
             WHERE tenant = ? AND hour = ? AND revision = ? RETURNING details",
        )?
        .query_row(
            params![
                positions(rollup),
                rollup.totals,
                rollup.key.tenant,
                rollup.key.hour.micros(),
                signed(rollup.revision)?
            ],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    let Some(details) = details else { return Ok(false) };
    db.prepare_cached("UPDATE rollup_details SET minutes = ?, dimensions = ? WHERE place = ?")?
        .execute(params![rollup.minutes, rollup.dimensions, details])?;
    Ok(true)
}

fn insert(db: &Connection, rollup: &StoredRollup) -> rusqlite::Result<bool> {
    let (tenant, hour) = (&rollup.key.tenant, rollup.key.hour.micros());
    if db
        .prepare_cached("SELECT 1 FROM rollups WHERE tenant = ? AND hour = ?")?
        .exists(params![tenant, hour])?
    {
        return Ok(false);
    }
    db.prepare_cached("INSERT INTO rollup_details (minutes, dimensions) VALUES (?, ?)")?
        .execute(params![rollup.minutes, rollup.dimensions])?;
    db.prepare_cached(
        "INSERT INTO rollups (tenant, hour, revision, details, positions, totals) VALUES (?, ?, 1, ?, ?, ?)",
    )?
    .execute(params![tenant, hour, db.last_insert_rowid(), positions(rollup), rollup.totals])?;
    Ok(true)
}

fn positions(rollup: &StoredRollup) -> Vec<u8> {
    Positions { all: rollup.positions.clone() }.encode_to_vec()
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
