//! Retention: rows that were decided long ago are deleted, with their amendments, and refusals too.

use mongodb::bson::{Document, doc};

use crate::adapters::mongo::convert::{ID, wide};
use crate::adapters::mongo::events::MongoEvents;
use crate::adapters::mongo::events::kept::{AT, Kept, OCCURRED_AT};
use crate::adapters::mongo::events::pointers::is_computed;
use crate::adapters::mongo::failure::failed;
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
    /// Deletes at most `limit` rows that were decided before that moment, with their amendments, and refusals; answers how
    /// many. 0: nothing is left. May be made again: what is gone stays gone.
    pub async fn purge(&self, received_before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let rows = self.purge_rows(received_before, limit).await?;
        let refusals = self.purge_refusals(received_before, limit.saturating_sub(rows)).await?;
        Ok(rows.saturating_add(refusals))
    }

    async fn purge_rows(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let Some(limit) = positive(limit) else { return Ok(0) };
        let find = self.rows.find(doc! { AT: { "$lt": before.micros() } }).limit(limit);
        let (mut ids, mut pointers) = (Vec::new(), Vec::new());
        for kept in self.store.collect(find).await? {
            let kept = Kept::read(kept)?;
            let named = kept.amendments.iter().filter(|amendment| !is_computed(amendment));
            pointers.extend(named.map(|amendment| wide(amendment.key.0)));
            ids.push(wide(kept.key.0));
        }
        // What points to a row goes before it: without the row nobody would find it again.
        if !pointers.is_empty() {
            let gone = self.pointers.delete_many(doc! { ID: { "$in": pointers } });
            self.store.run(gone).await.map_err(failed)?;
        }
        if !ids.is_empty() {
            let gone = self.rows.delete_many(doc! { ID: { "$in": &ids } });
            self.store.run(gone).await.map_err(failed)?;
        }
        Ok(ids.len())
    }

    async fn purge_refusals(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let Some(limit) = positive(limit) else { return Ok(0) };
        let old = doc! { OCCURRED_AT: { "$lt": before.micros() } };
        let find = self.refusals.find(old).projection(doc! { ID: 1 }).limit(limit);
        let found = self.store.collect(find).await?;
        let ids: Vec<_> = found.iter().filter_map(|kept| kept.get_str(ID).ok()).collect();
        if !ids.is_empty() {
            let gone = self.refusals.delete_many(doc! { ID: { "$in": &ids } });
            self.store.run(gone).await.map_err(failed)?;
        }
        Ok(ids.len())
    }
}

/// `None`: nothing is asked for, which MongoDB would take for no limit.
fn positive(limit: usize) -> Option<i64> {
    Some(i64::try_from(limit).unwrap_or(i64::MAX)).filter(|limit| *limit > 0)
}
