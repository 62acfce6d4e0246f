//! The indexes of the kinds, made when a value of theirs is first written.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use mongodb::bson::{Document as Kept, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};

use crate::adapters::mongo::connect::MongoStore;
use crate::adapters::mongo::convert::ID;
use crate::adapters::mongo::failure::failed;
use crate::store::{Document, StoreError};

/// The unique values of a document, by index.
pub(super) const UNIQUE: &str = "unique";
/// Its range values, by index.
pub(super) const RANGES: &str = "ranges";

/// Which indexes are known to be there.
#[derive(Debug, Default)]
pub(super) struct Indexes(Mutex<HashSet<(&'static str, String)>>);

impl Indexes {
    /// Makes the indexes of a document's values where nobody has. May be made again: an index that is there stays.
    pub(super) async fn ensure(
        &self,
        store: &MongoStore,
        collection: &Collection<Kept>,
        document: &Document,
    ) -> Result<(), StoreError> {
        for (index, _) in &document.unique {
            let field = unique_field(index);
            // A document without the value is not in the index: two of them are no duplicates.
            let options = IndexOptions::builder().unique(true).sparse(true).build();
            let model = IndexModel::builder().keys(doc! { &field: 1 }).options(options).build();
            self.ensure_one(store, collection, (document.kind, field), model).await?;
        }
        for (index, _) in &document.ranges {
            let field = range_field(index);
            let model = IndexModel::builder().keys(doc! { &field: 1, ID: 1 }).build();
            self.ensure_one(store, collection, (document.kind, field), model).await?;
        }
        Ok(())
    }

    async fn ensure_one(
        &self,
        store: &MongoStore,
        collection: &Collection<Kept>,
        name: (&'static str, String),
        model: IndexModel,
    ) -> Result<(), StoreError> {
        // A set is whole whatever happened to who held it.
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(());
        }
        store.run(collection.create_index(model)).await.map_err(failed)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(())
    }
}

/// The field of a unique index.
pub(super) fn unique_field(index: &str) -> String {
    format!("{UNIQUE}.{index}")
}

/// The field of a range index.
pub(super) fn range_field(index: &str) -> String {
    format!("{RANGES}.{index}")
}
