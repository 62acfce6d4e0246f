//! Refused calls, each once by its stamp (rule D).

use mongodb::bson::doc;

use crate::adapters::mongo::convert::{ID, bytes, stamp_number, wide};
use crate::adapters::mongo::events::kept::{BODY, OCCURRED_AT, TENANT};
use crate::adapters::mongo::events::{MongoEvents, parts};
use crate::adapters::mongo::failure::duplicates;
use crate::ledger::events::RefusalRow;
use crate::store::StoreError;

impl MongoEvents {
    /// Keeps refusals. May be made again: the stamp is the key.
    pub(super) async fn keep_refusals(&self, refusals: &[RefusalRow]) -> Result<(), StoreError> {
        for part in parts(refusals, |refusal| refusal.body.len()) {
            let mut documents = Vec::with_capacity(part.len());
            for refusal in part {
                documents.push(doc! {
                    ID: wide(stamp_number(refusal.stamp)?),
                    TENANT: &*refusal.tenant,
                    OCCURRED_AT: refusal.occurred_at.micros(),
                    BODY: bytes(&refusal.body),
                });
            }
            let inserted = self.store.run(self.refusals.insert_many(documents).ordered(false)).await;
            duplicates(inserted.map(drop))?;
        }
        Ok(())
    }
}
