//! The rows themselves, each once by its key (rule H).

use std::collections::HashMap;
use std::sync::Arc;

use prost::bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::adapters::sqlite::convert::{signed, unsigned, wide};
use crate::adapters::sqlite::events::amendments;
use crate::adapters::sqlite::events::tail::{Arrived, Tail, find_indexed};
use crate::adapters::sqlite::events::tenants::{NewTenants, Tenants};
use crate::gate::call::{EventKey, PayloadHash};
use crate::ledger::events::{AmendedRow, InsertedRow, Placed, Row, RowKind};
use crate::ledger::stamp::{Position, Stamp};
use crate::time::Timestamp;

/// The indexes of this table are tables of their own: see [`Tail`].
pub(in crate::adapters::sqlite) const SCHEMA: &str = "
    CREATE TABLE events (
        arrival INTEGER PRIMARY KEY, key BLOB NOT NULL, payload BLOB NOT NULL,
        slot INTEGER NOT NULL, epoch INTEGER NOT NULL, batch INTEGER NOT NULL, place INTEGER NOT NULL,
        tenant INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL, occurred_at INTEGER NOT NULL,
        body BLOB NOT NULL) STRICT;
";

/// Inserts rows, and answers with what became of each also those that are new.
pub(super) fn insert(
    db: &Connection,
    tail: &Tail,
    tenants: &Tenants,
    rows: &[Row],
) -> rusqlite::Result<(Vec<InsertedRow>, Vec<Arrived>)> {
    let may_have_early = amendments::any_early(db)?;
    let (mut answer, mut arrived) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let (mut here, mut new_tenants) = (HashMap::with_capacity(rows.len()), NewTenants::default());
    for row in rows {
        let before = match here.get(&row.key) {
            Some(arrival) => Some(*arrival),
            None => find(db, tail, row.key)?,
        };
        let placed = if let Some(arrival) = before {
            compare(db, arrival, row)?
        } else {
            let tenant = tenants.number(db, &mut new_tenants, &row.tenant)?;
            let arrival = insert_one(db, tenant, row)?;
            here.insert(row.key, arrival);
            let listed_at = (row.kind == RowKind::Usage).then_some(row.occurred_at.micros());
            arrived.push(Arrived { key: row.key, arrival, tenant, listed_at });
            Placed::Fresh
        };
        let counts = matches!(placed, Placed::Fresh | Placed::Replay);
        let early = if counts && may_have_early { amendments::early(db, row.key)? } else { Vec::new() };
        answer.push(InsertedRow { placed, early });
    }
    Ok((answer, arrived))
}

/// The row with that key.
pub(super) fn find(db: &Connection, tail: &Tail, key: EventKey) -> rusqlite::Result<Option<i64>> {
    tail.find(key).map_or_else(|| find_indexed(db, key), |arrival| Ok(Some(arrival)))
}

/// The row that arrived as that one, with its amendments. `None`: it is gone.
pub(super) fn get(db: &Connection, arrival: i64) -> rusqlite::Result<Option<AmendedRow>> {
    let Some(row) = get_bare(db, arrival)? else { return Ok(None) };
    let amendments = amendments::before(db, row.key, i64::MAX)?;
    Ok(Some(AmendedRow { row, amendments }))
}

/// The row that arrived as that one, without its amendments.
pub(super) fn get_bare(db: &Connection, arrival: i64) -> rusqlite::Result<Option<Row>> {
    db.prepare_cached(
        "SELECT payload, slot, epoch, batch, place, key, name, kind, at, occurred_at, body
         FROM events CROSS JOIN tenants ON number = tenant WHERE arrival = ?",
    )?
    .query_row([arrival], to_row)
    .optional()
}

/// What another record with the same key is to the one that is kept.
pub(super) fn judge(kept: (PayloadHash, Stamp), payload: PayloadHash, stamp: Stamp) -> Placed {
    if kept.1 == stamp {
        Placed::Replay
    } else if kept.0 == payload {
        Placed::Duplicate
    } else {
        Placed::Conflict
    }
}

/// Content and stamp, out of the five columns from the first on.
pub(super) fn to_origin(row: &rusqlite::Row<'_>) -> rusqlite::Result<(PayloadHash, Stamp)> {
    let position = Position { slot: row.get(1)?, epoch: unsigned(row, 2)?, batch: unsigned(row, 3)? };
    Ok((PayloadHash(wide(row, 0)?), Stamp { position, place: row.get(4)? }))
}

fn insert_one(db: &Connection, tenant: i64, row: &Row) -> rusqlite::Result<i64> {
    let kind = match row.kind {
        RowKind::Usage => 0,
        RowKind::Posting => 1,
    };
    let Stamp { position, place } = row.stamp;
    db.prepare_cached(
        "INSERT INTO events (key, payload, slot, epoch, batch, place, tenant, kind, at, occurred_at, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.key.0.to_be_bytes(),
        row.payload.0.to_be_bytes(),
        position.slot,
        signed(position.epoch)?,
        signed(position.batch)?,
        place,
        tenant,
        kind,
        row.at.micros(),
        row.occurred_at.micros(),
        &row.body[..],
    ])?;
    Ok(db.last_insert_rowid())
}

fn compare(db: &Connection, arrival: i64, row: &Row) -> rusqlite::Result<Placed> {
    let kept = db
        .prepare_cached("SELECT payload, slot, epoch, batch, place FROM events WHERE arrival = ?")?
        .query_row([arrival], to_origin)?;
    Ok(judge(kept, row.payload, row.stamp))
}

fn to_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let (payload, stamp) = to_origin(row)?;
    let kind: i64 = row.get(7)?;
    Ok(Row {
        key: EventKey(wide(row, 5)?),
        payload,
        stamp,
        tenant: Arc::from(row.get_ref(6)?.as_str()?),
        kind: match kind {
            0 => RowKind::Usage,
            1 => RowKind::Posting,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(7, other)),
        },
        at: Timestamp::from_micros(row.get(8)?),
        occurred_at: Timestamp::from_micros(row.get(9)?),
        body: Bytes::from(row.get::<_, Vec<u8>>(10)?),
    })
}
