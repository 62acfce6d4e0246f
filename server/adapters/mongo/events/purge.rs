//! Retention: rows that were decided long ago are deleted, with their amendments, and refusals too.

use mongodb::bson::{Document, doc};

use crate::adapters::mongo::convert::{Fields, ID};
use crate::adapters::mongo::events::MongoEvents;
use crate::adapters::mongo::events::kept::{AMENDMENTS, AT, KEY, OCCURRED_AT, amendment_keys};
use crate::store::StoreError;
use crate::time::Timestamp;

/// The index that finds old rows.
pub(super) fn rows_index() -> Document {
    doc! { AT: 1 }
}

/// The index that finds old refusals: a refused call was made within minutes of its decision (rule R).
pub(super) fn refusals_index() -> Document {
    doc! { OCCURRED_AT: 1 }
}

impl MongoEvents {
    /// Deletes rows, and then refusals. May be made again: what is gone stays gone.
    pub(super) async fn purge_old(
        &self,
        received_before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let rows = self.purge_rows(received_before, limit).await?;
        let refusals = self.purge_refusals(received_before, limit.saturating_sub(rows)).await?;
        Ok(rows.saturating_add(refusals))
    }

    async fn purge_rows(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let Some(limit) = positive(limit) else { return Ok(0) };
        let old = doc! { AT: { "$lt": before.micros() } };
        let find = self.rows.find(old).projection(doc! { amendment_keys(): 1 }).limit(limit);
        let (mut ids, mut pointers) = (Vec::new(), Vec::new());
        for kept in self.store.collect(find).await? {
            let kept = Fields(kept);
            pointers.extend(amendments_of(&kept).map(str::to_owned));
            ids.push(kept.text(ID)?.to_owned());
        }
        // What points to a row goes before it: without the row nobody would find it again.
        self.store.delete_ids(&self.pointers, &pointers).await?;
        self.store.delete_ids(&self.rows, &ids).await?;
        Ok(ids.len())
    }

    async fn purge_refusals(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let Some(limit) = positive(limit) else { return Ok(0) };
        let old = doc! { OCCURRED_AT: { "$lt": before.micros() } };
        let find = self.refusals.find(old).projection(doc! { ID: 1 }).limit(limit);
        let found = self.store.collect(find).await?;
        let ids: Vec<_> = found.iter().filter_map(|kept| kept.get_str(ID).ok()).map(str::to_owned).collect();
        self.store.delete_ids(&self.refusals, &ids).await?;
        Ok(ids.len())
    }
}

/// The keys of a row's amendments.
fn amendments_of(kept: &Fields) -> impl Iterator<Item = &str> {
    let amendments = kept.0.get_array(AMENDMENTS).map(Vec::as_slice).unwrap_or_default();
    amendments.iter().filter_map(|amendment| amendment.as_document()?.get_str(KEY).ok())
}

/// `None`: nothing is asked for, which MongoDB would take for no limit.
fn positive(limit: usize) -> Option<i64> {
    Some(i64::try_from(limit).unwrap_or(i64::MAX)).filter(|limit| *limit > 0)
}
