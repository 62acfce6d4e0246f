//! From an amendment's key to the row that it changes: most can be computed, and for the others there is a document.

use mongodb::bson::doc;

use crate::adapters::mongo::convert::{Fields, ID, wide};
use crate::adapters::mongo::events::{MongoEvents, parts};
use crate::adapters::mongo::failure::duplicates;
use crate::gate::call::EventKey;
use crate::ledger::events::Amendment;
use crate::store::StoreError;

const TARGET: &str = "target";

impl MongoEvents {
    /// Notes what amendments change, before they do: one that was noted and is not in its row has not happened. May be made
    /// again: an amendment's key says for ever what it changes.
    pub(super) async fn point(&self, amendments: &[Amendment]) -> Result<(), StoreError> {
        let mut documents = Vec::new();
        for amendment in amendments.iter().filter(|amendment| !is_computed(amendment)) {
            documents.push(doc! { ID: wide(amendment.key.0), TARGET: wide(amendment.target.0) });
        }
        for part in parts(&documents, |_| 1) {
            let inserted = self.store.run(self.pointers.insert_many(part).ordered(false)).await;
            duplicates(inserted.map(drop))?;
        }
        Ok(())
    }

    /// The row that the amendment with that key changes, if it is there.
    pub(super) async fn target(&self, key: EventKey) -> Result<Option<EventKey>, StoreError> {
        let computed = key.completion();
        if self.find(&[computed]).await?.get(&computed).is_some_and(|kept| kept.place(key).is_some()) {
            return Ok(Some(computed));
        }
        let pointer = self.store.find_one(&self.pointers, doc! { ID: wide(key.0) }, None).await?;
        pointer.map(|pointer| Ok(EventKey(Fields(pointer).wide(TARGET)?))).transpose()
    }
}

/// Whether an amendment's key leads to its row: the completion of a completion is the event itself.
fn is_computed(amendment: &Amendment) -> bool {
    amendment.key.completion() == amendment.target
}
