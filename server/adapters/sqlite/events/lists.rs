//! Pages of a tenant's rows in order of `occurred_at`, then of arrival: out of the index and the tail.

use rusqlite::{Connection, params};

use crate::adapters::sqlite::events::rows;
use crate::ledger::events::{EventSearch, ListPlace, ListedRow};
use crate::store::Order;
use crate::time::Timestamp;

/// What stands strictly between two places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) low: (i64, i64),
    pub(super) high: (i64, i64),
    pub(super) is_descending: bool,
}

impl Span {
    /// What a search looks through.
    pub(super) fn of(search: &EventSearch<'_>) -> Self {
        // No arrival is so small: these stand before the first row of their moment.
        let (mut low, mut high) = ((search.start.micros(), i64::MIN), (search.end.micros(), i64::MIN));
        // A place of another store is after all that are here.
        let arrival = |arrival| i64::try_from(arrival).unwrap_or(i64::MAX);
        let after = search.after.map(|place| (place.occurred_at.micros(), arrival(place.arrival)));
        let is_descending = search.order == Order::Descending;
        match after {
            Some(after) if is_descending => high = high.min(after),
            Some(after) => low = low.max(after),
            None => {}
        }
        Self { low, high, is_descending }
    }
}

/// The rows of a page. `newest` are the places in the span that the tail had before the file was read.
pub(super) fn list(
    db: &Connection,
    tenant: i64,
    span: Span,
    limit: i64,
    newest: Vec<(i64, i64)>,
) -> rusqlite::Result<Vec<ListedRow>> {
    let mut statement = db.prepare_cached(if span.is_descending { DESCENDING } else { ASCENDING })?;
    let bounds = params![tenant, span.low.0, span.low.1, span.high.0, span.high.1, limit];
    let indexed = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut places = newest;
    for place in indexed {
        places.push(place?);
    }
    places.sort_unstable();
    // What has left the tail since is in both.
    places.dedup();
    if span.is_descending {
        places.reverse();
    }
    places.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut listed = Vec::with_capacity(places.len());
    for (occurred_at, arrival) in places {
        if let Some(row) = rows::get(db, arrival)? {
            let place = list_place(occurred_at, arrival);
            listed.push(ListedRow { place, row });
        }
    }
    Ok(listed)
}

/// A place as the port says it. Arrivals begin at 1.
pub(super) fn list_place(occurred_at: i64, arrival: i64) -> ListPlace {
    let arrival = u128::from(arrival.unsigned_abs());
    ListPlace { occurred_at: Timestamp::from_micros(occurred_at), arrival }
}

const ASCENDING: &str = "
    SELECT occurred_at, arrival FROM event_places
    WHERE tenant = ?1 AND (occurred_at, arrival) > (?2, ?3) AND (occurred_at, arrival) < (?4, ?5)
    ORDER BY occurred_at, arrival LIMIT ?6";
const DESCENDING: &str = "
    SELECT occurred_at, arrival FROM event_places
    WHERE tenant = ?1 AND (occurred_at, arrival) > (?2, ?3) AND (occurred_at, arrival) < (?4, ?5)
    ORDER BY occurred_at DESC, arrival DESC LIMIT ?6";
