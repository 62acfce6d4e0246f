//! Pages of a tenant's rows and refusals in order of `occurred_at`, then of their stamps.

use mongodb::bson::{Document, doc};

use crate::adapters::mongo::convert::{Fields, ID, stamp_number, stamp_of, wide};
use crate::adapters::mongo::events::MongoEvents;
use crate::adapters::mongo::events::kept::{BODY, KIND, Kept, OCCURRED_AT, STAMP, TENANT, USAGE};
use crate::ledger::events::{EventSearch, ListPlace, ListedRefusal, ListedRow, RefusalRow};
use crate::store::{Order, StoreError};
use crate::time::Timestamp;

/// The index that answers a list of rows.
pub(super) fn rows_index() -> Document {
    doc! { TENANT: 1, KIND: 1, OCCURRED_AT: 1, STAMP: 1 }
}

/// The index that answers a list of refusals, whose key is their stamp.
pub(super) fn refusals_index() -> Document {
    doc! { TENANT: 1, OCCURRED_AT: 1, ID: 1 }
}

impl MongoEvents {
    /// A page of rows.
    pub(super) async fn list_rows(&self, search: &EventSearch<'_>) -> Result<Vec<ListedRow>, StoreError> {
        let whose = doc! { TENANT: search.tenant, KIND: USAGE };
        let find = self.rows.find(filter(search, &whose, STAMP)).sort(sort(search, STAMP));
        let Some(limit) = limit(search) else { return Ok(Vec::new()) };
        let mut listed = Vec::new();
        for kept in self.store.collect(find.limit(limit)).await? {
            let Some(row) = Kept::read(kept)?.amended() else { continue };
            let arrival = stamp_number(row.row.stamp)?;
            listed.push(ListedRow { place: ListPlace { occurred_at: row.row.occurred_at, arrival }, row });
        }
        Ok(listed)
    }

    /// A page of refusals.
    pub(super) async fn list_refused(
        &self,
        search: &EventSearch<'_>,
    ) -> Result<Vec<ListedRefusal>, StoreError> {
        let whose = doc! { TENANT: search.tenant };
        let find = self.refusals.find(filter(search, &whose, ID)).sort(sort(search, ID));
        let Some(limit) = limit(search) else { return Ok(Vec::new()) };
        let mut listed = Vec::new();
        for kept in self.store.collect(find.limit(limit)).await? {
            let mut kept = Fields(kept);
            let occurred_at = Timestamp::from_micros(kept.signed(OCCURRED_AT)?);
            let arrival = kept.wide(ID)?;
            let refusal = RefusalRow {
                stamp: stamp_of(arrival),
                tenant: kept.text(TENANT)?.into(),
                occurred_at,
                body: kept.bytes(BODY)?.into(),
            };
            listed.push(ListedRefusal { place: ListPlace { occurred_at, arrival }, refusal });
        }
        Ok(listed)
    }
}

/// What stands in the span of a search, after its place. Each branch is one stretch of the index.
fn filter(search: &EventSearch<'_>, whose: &Document, stamp: &str) -> Document {
    let (mut start, mut end) = (search.start.micros(), search.end.micros());
    let mut same_moment = None;
    if let Some(after) = search.after {
        let at = after.occurred_at.micros();
        let beyond = match search.order {
            Order::Ascending => "$gt",
            Order::Descending => "$lt",
        };
        if start <= at && at < end {
            let mut same = whose.clone();
            same.extend(doc! { OCCURRED_AT: at, stamp: { beyond: wide(after.arrival) } });
            same_moment = Some(same);
        }
        match search.order {
            Order::Ascending => start = start.max(at.saturating_add(1)),
            Order::Descending => end = end.min(at),
        }
    }
    let mut span = whose.clone();
    span.insert(OCCURRED_AT, doc! { "$gte": start, "$lt": end });
    match same_moment {
        None => span,
        Some(same) => doc! { "$or": [same, span] },
    }
}

fn sort(search: &EventSearch<'_>, stamp: &str) -> Document {
    let direction = match search.order {
        Order::Ascending => 1,
        Order::Descending => -1,
    };
    doc! { OCCURRED_AT: direction, stamp: direction }
}

/// `None`: nothing is asked for, which MongoDB would take for no limit.
fn limit(search: &EventSearch<'_>) -> Option<i64> {
    Some(i64::try_from(search.limit).unwrap_or(i64::MAX)).filter(|limit| *limit > 0)
}
