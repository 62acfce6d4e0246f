//! Amendments: each once by its key, in the order of their arrival, early or to a row that was there.

use prost::bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::adapters::sqlite::convert::{signed, wide};
use crate::adapters::sqlite::events::rows;
use crate::adapters::sqlite::events::tail::Tail;
use crate::gate::call::EventKey;
use crate::ledger::events::{Amended, AmendedRow, Amendment, Placed};
use crate::ledger::stamp::Stamp;

/// `early` never changes: what was counted with its row is counted with it in every replay.
pub(in crate::adapters::sqlite) const SCHEMA: &str = "
    CREATE TABLE amendments (
        arrival INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, payload BLOB NOT NULL,
        slot INTEGER NOT NULL, epoch INTEGER NOT NULL, batch INTEGER NOT NULL, place INTEGER NOT NULL,
        target BLOB NOT NULL, early INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE INDEX amendments_target ON amendments (target, arrival);
    CREATE INDEX amendments_early ON amendments (target, arrival) WHERE early = 1;
";

/// Keeps amendments, each with what it changes.
pub(super) fn amend(
    db: &Connection,
    tail: &Tail,
    amendments: &[Amendment],
) -> rusqlite::Result<Vec<Amended>> {
    amendments.iter().map(|amendment| amend_one(db, tail, amendment)).collect()
}

/// Whether any amendment has ever come before its row.
pub(super) fn any_early(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM amendments WHERE early = 1)")?
        .query_row([], |row| row.get(0))
}

/// The amendments that came before that row.
pub(super) fn early(db: &Connection, target: EventKey) -> rusqlite::Result<Vec<Amendment>> {
    let mut statement = db.prepare_cached(
        "SELECT payload, slot, epoch, batch, place, key, target, body FROM amendments
         WHERE target = ? AND early = 1 ORDER BY arrival",
    )?;
    let found = statement.query_map([target.0.to_be_bytes()], to_amendment)?;
    found.collect()
}

/// The amendments of a row that arrived before `arrival`.
pub(super) fn before(db: &Connection, target: EventKey, arrival: i64) -> rusqlite::Result<Vec<Amendment>> {
    let mut statement = db.prepare_cached(
        "SELECT payload, slot, epoch, batch, place, key, target, body FROM amendments
         WHERE target = ? AND arrival < ? ORDER BY arrival",
    )?;
    let found = statement.query_map(params![target.0.to_be_bytes(), arrival], to_amendment)?;
    found.collect()
}

/// The amendment with that key.
pub(super) fn get(db: &Connection, key: EventKey) -> rusqlite::Result<Option<Amendment>> {
    db.prepare_cached(
        "SELECT payload, slot, epoch, batch, place, key, target, body FROM amendments WHERE key = ?",
    )?
    .query_row([key.0.to_be_bytes()], to_amendment)
    .optional()
}

fn amend_one(db: &Connection, tail: &Tail, amendment: &Amendment) -> rusqlite::Result<Amended> {
    let row = rows::find(db, tail, amendment.target)?;
    let kept = db
        .prepare_cached(
            "SELECT payload, slot, epoch, batch, place, arrival, early FROM amendments WHERE key = ?",
        )?
        .query_row([amendment.key.0.to_be_bytes()], |row| {
            Ok((rows::to_origin(row)?, row.get::<_, i64>(5)?, row.get::<_, bool>(6)?))
        })
        .optional()?;
    let (placed, arrival, is_early) = match kept {
        Some((origin, arrival, early)) => {
            (rows::judge(origin, amendment.payload, amendment.stamp), arrival, early)
        }
        None => (Placed::Fresh, insert(db, amendment, row.is_none())?, row.is_none()),
    };
    let counts = matches!(placed, Placed::Fresh | Placed::Replay);
    let target = match row.filter(|_| counts && !is_early) {
        Some(row) => rows::get_bare(db, row)?,
        None => None,
    };
    let target = match target {
        Some(row) => Some(AmendedRow { amendments: before(db, row.key, arrival)?, row }),
        None => None,
    };
    Ok(Amended { placed, target })
}

fn insert(db: &Connection, amendment: &Amendment, is_early: bool) -> rusqlite::Result<i64> {
    let Stamp { position, place } = amendment.stamp;
    db.prepare_cached(
        "INSERT INTO amendments (key, payload, slot, epoch, batch, place, target, early, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        amendment.key.0.to_be_bytes(),
        amendment.payload.0.to_be_bytes(),
        position.slot,
        signed(position.epoch)?,
        signed(position.batch)?,
        place,
        amendment.target.0.to_be_bytes(),
        is_early,
        &amendment.body[..],
    ])?;
    Ok(db.last_insert_rowid())
}

fn to_amendment(row: &rusqlite::Row<'_>) -> rusqlite::Result<Amendment> {
    let (payload, stamp) = rows::to_origin(row)?;
    Ok(Amendment {
        key: EventKey(wide(row, 5)?),
        payload,
        stamp,
        target: EventKey(wide(row, 6)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(7)?),
    })
}
