//! Refused calls, each once by its stamp (rule D).

use std::sync::Arc;

use prost::bytes::Bytes;
use rusqlite::{Connection, params};

use crate::adapters::sqlite::convert::{signed, unsigned};
use crate::adapters::sqlite::events::lists::{Span, list_place};
use crate::adapters::sqlite::events::tenants::{NewTenants, Tenants};
use crate::ledger::events::{ListedRefusal, RefusalRow};
use crate::ledger::stamp::{Position, Stamp};

pub(in crate::adapters::sqlite) const SCHEMA: &str = "
    CREATE TABLE refusals (
        arrival INTEGER PRIMARY KEY, slot INTEGER NOT NULL, epoch INTEGER NOT NULL, batch INTEGER NOT NULL,
        place INTEGER NOT NULL, tenant INTEGER NOT NULL, occurred_at INTEGER NOT NULL, body BLOB NOT NULL,
        UNIQUE (slot, epoch, batch, place)) STRICT;
    CREATE INDEX refusals_place ON refusals (tenant, occurred_at, arrival);
";

/// Keeps refusals.
pub(super) fn insert(db: &Connection, tenants: &Tenants, refusals: &[RefusalRow]) -> rusqlite::Result<()> {
    let mut new_tenants = NewTenants::default();
    let mut statement = db.prepare_cached(
        "INSERT INTO refusals (slot, epoch, batch, place, tenant, occurred_at, body) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )?;
    for refusal in refusals {
        let tenant = tenants.number(db, &mut new_tenants, &refusal.tenant)?;
        let Stamp { position, place } = refusal.stamp;
        statement.execute(params![
            position.slot,
            signed(position.epoch)?,
            signed(position.batch)?,
            place,
            tenant,
            refusal.occurred_at.micros(),
            &refusal.body[..],
        ])?;
    }
    Ok(())
}

/// A tenant's refusals in a span.
pub(super) fn list(
    db: &Connection,
    tenant: (i64, &Arc<str>),
    span: Span,
    limit: i64,
) -> rusqlite::Result<Vec<ListedRefusal>> {
    let mut statement = db.prepare_cached(if span.is_descending { DESCENDING } else { ASCENDING })?;
    let bounds = params![tenant.0, span.low.0, span.low.1, span.high.0, span.high.1, limit];
    let found = statement.query_map(bounds, |row| {
        let place = list_place(row.get(0)?, row.get(1)?);
        let position = Position { slot: row.get(2)?, epoch: unsigned(row, 3)?, batch: unsigned(row, 4)? };
        let refusal = RefusalRow {
            stamp: Stamp { position, place: row.get(5)? },
            tenant: Arc::clone(tenant.1),
            occurred_at: place.occurred_at,
            body: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        };
        Ok(ListedRefusal { place, refusal })
    })?;
    found.collect()
}

const ASCENDING: &str = "
    SELECT occurred_at, arrival, slot, epoch, batch, place, body FROM refusals
    WHERE tenant = ?1 AND (occurred_at, arrival) > (?2, ?3) AND (occurred_at, arrival) < (?4, ?5)
    ORDER BY occurred_at, arrival LIMIT ?6";
const DESCENDING: &str = "
    SELECT occurred_at, arrival, slot, epoch, batch, place, body FROM refusals
    WHERE tenant = ?1 AND (occurred_at, arrival) > (?2, ?3) AND (occurred_at, arrival) < (?4, ?5)
    ORDER BY occurred_at DESC, arrival DESC LIMIT ?6";
