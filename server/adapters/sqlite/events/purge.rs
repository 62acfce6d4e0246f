//! Deleting rows and refusals that are older than anybody asked to keep them.

use rusqlite::{Connection, params};

use crate::adapters::sqlite::convert::wide;
use crate::adapters::sqlite::events::tail::Moved;
use crate::gate::call::EventKey;
use crate::time::Timestamp;

/// Rows arrive in about the order of these, so that each new one goes to the end of the index.
pub(in crate::adapters::sqlite) const SCHEMA: &str = "
    CREATE INDEX events_age ON events (at);
    CREATE INDEX refusals_age ON refusals (occurred_at);
";

/// What was deleted.
#[derive(Debug, Default)]
pub(super) struct Purged {
    /// The rows, which may still be in the tail.
    pub(super) rows: Moved,
    /// Rows and refusals.
    pub(super) count: usize,
}

/// Deletes at most `limit` rows, and then refusals, from before a moment.
pub(super) fn purge(db: &Connection, before: Timestamp, limit: i64) -> rusqlite::Result<Purged> {
    let rows = oldest(db, before, limit)?;
    for (key, arrival) in &rows.keys {
        let key = key.0.to_be_bytes();
        db.prepare_cached("DELETE FROM amendments WHERE target = ?")?.execute([key])?;
        db.prepare_cached("DELETE FROM event_keys WHERE key = ?")?.execute([key])?;
        db.prepare_cached("DELETE FROM events WHERE arrival = ?")?.execute([arrival])?;
    }
    let mut statement =
        db.prepare_cached("DELETE FROM event_places WHERE tenant = ? AND occurred_at = ? AND arrival = ?")?;
    for (tenant, occurred_at, arrival) in &rows.places {
        statement.execute(params![tenant, occurred_at, arrival])?;
    }
    if !rows.keys.is_empty() {
        // Numbers of rows at the end are given out again: what gets one now is not in the indexes.
        db.prepare_cached(
            "UPDATE event_tail SET indexed_through =
                 min(indexed_through, (SELECT coalesce(max(arrival), 0) FROM events))",
        )?
        .execute([])?;
    }
    let left = limit.saturating_sub(i64::try_from(rows.keys.len()).unwrap_or(i64::MAX));
    let refusals = db
        .prepare_cached(
            "DELETE FROM refusals WHERE arrival IN
                 (SELECT arrival FROM refusals WHERE occurred_at < ? ORDER BY occurred_at LIMIT ?)",
        )?
        .execute(params![before.micros(), left])?;
    Ok(Purged { count: rows.keys.len().saturating_add(refusals), rows })
}

fn oldest(db: &Connection, before: Timestamp, limit: i64) -> rusqlite::Result<Moved> {
    let mut statement = db.prepare_cached(
        "SELECT key, arrival, tenant, CASE kind WHEN 0 THEN occurred_at END FROM events
         WHERE at < ? ORDER BY at LIMIT ?",
    )?;
    let mut found = statement.query(params![before.micros(), limit])?;
    let mut oldest = Moved::default();
    while let Some(row) = found.next()? {
        let arrival = row.get(1)?;
        oldest.keys.push((EventKey(wide(row, 0)?), arrival));
        if let Some(occurred_at) = row.get::<_, Option<i64>>(3)? {
            oldest.places.push((row.get(2)?, occurred_at, arrival));
        }
    }
    Ok(oldest)
}
