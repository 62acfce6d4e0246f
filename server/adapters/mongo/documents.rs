//! The port `Documents` on MongoDB: a collection for each kind, with its unique and range values as fields.

mod indexes;
mod pages;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{Bson, Document as Kept, doc};
use tracing::instrument;

use crate::adapters::mongo::conditional::{self, REVISION, Replacement};
use crate::adapters::mongo::connect::MongoStore;
use crate::adapters::mongo::convert::{Fields, ID, bytes, signed};
use crate::adapters::mongo::documents::indexes::{Indexes, RANGES, UNIQUE, unique_field};
use crate::adapters::mongo::failure::{failed, is_duplicate, nonsense};
use crate::store::{Document, Documents, Found, Inserted, Replaced, Search, StoreError};

const BODY: &str = "body";
/// How often an insertion is tried against a value that is taken and free by turns.
const ATTEMPTS_MAX: usize = 16;

/// Documents in collections.
#[derive(Clone, Debug)]
pub struct MongoDocuments {
    store: MongoStore,
    indexes: Arc<Indexes>,
}

impl MongoDocuments {
    /// The documents of a store.
    #[must_use]
    pub fn new(store: &MongoStore) -> Self {
        Self { store: store.clone(), indexes: Arc::default() }
    }

    fn collection(&self, kind: &str) -> Collection<Kept> {
        self.store.collection(&format!("documents.{kind}"))
    }

    /// The value that makes an insertion impossible; `None`: there is none any more.
    async fn taken(&self, document: &Document) -> Result<Option<String>, StoreError> {
        let collection = self.collection(document.kind);
        let with_id = doc! { ID: &document.id };
        if self.store.find_one(&collection, with_id, Some(doc! { ID: 1 })).await?.is_some() {
            return Ok(Some("id".to_owned()));
        }
        for (index, value) in &document.unique {
            let with_value = doc! { unique_field(index): value };
            if self.store.find_one(&collection, with_value, Some(doc! { ID: 1 })).await?.is_some() {
                return Ok(Some((*index).to_owned()));
            }
        }
        Ok(None)
    }

    /// Whether another document has a unique value of this one. The index decides; but not every server of the protocol says
    /// of an update that it met another's value, so that it is looked for first.
    async fn is_taken_by_another(&self, document: &Document) -> Result<bool, StoreError> {
        let collection = self.collection(document.kind);
        for (index, value) in &document.unique {
            let with_value = doc! { unique_field(index): value };
            let owner = self.store.find_one(&collection, with_value, Some(doc! { ID: 1 })).await?;
            if owner.is_some_and(|owner| owner.get_str(ID).ok() != Some(&document.id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those with the same kind, in order.
    async fn replace_kind(&self, documents: Vec<Document>) -> Result<Vec<bool>, StoreError> {
        let Some(kind) = documents.first().map(|document| document.kind) else { return Ok(Vec::new()) };
        let mut answers = vec![false; documents.len()];
        let mut places = Vec::with_capacity(documents.len());
        let mut replacements = Vec::with_capacity(documents.len());
        for (place, document) in documents.into_iter().enumerate() {
            self.indexes.ensure(&self.store, &self.collection(kind), &document).await?;
            if document.revision > 0 && self.is_taken_by_another(&document).await? {
                continue;
            }
            places.push(place);
            replacements.push(Replacement {
                revision: document.revision,
                bytes: document.body.len(),
                fields: fields(&document)?,
                id: document.id,
            });
        }
        let replaced = conditional::replace(&self.store, &self.collection(kind), replacements).await?;
        for (place, replaced) in places.into_iter().zip(replaced) {
            answers[place] = replaced;
        }
        Ok(answers)
    }
}

#[async_trait]
impl Documents for MongoDocuments {
    #[instrument(level = "debug", skip_all, name = "documents.insert", target = "tollgate::store")]
    async fn insert(&self, document: Document) -> Result<Inserted, StoreError> {
        let collection = self.collection(document.kind);
        self.indexes.ensure(&self.store, &collection, &document).await?;
        let mut new = doc! { ID: &document.id, REVISION: 1_i64 };
        new.extend(fields(&document)?);
        for _ in 0..ATTEMPTS_MAX {
            match self.store.run(collection.insert_one(&new)).await {
                Ok(_) => return Ok(Inserted::Yes),
                Err(error) if is_duplicate(&error) => {}
                Err(error) => return Err(failed(error)),
            }
            if let Some(index) = self.taken(&document).await? {
                return Ok(Inserted::Taken { index });
            }
        }
        Err(nonsense(format!("a value of {} `{}` is taken and free by turns", document.kind, document.id)))
    }

    #[instrument(level = "debug", skip_all, name = "documents.get", target = "tollgate::store")]
    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Document>, StoreError> {
        let kept = self.store.find_one(&self.collection(kind), doc! { ID: id }, None).await?;
        kept.map(|kept| to_document(kind, Fields(kept))).transpose()
    }

    #[instrument(level = "debug", skip_all, name = "documents.get_many", target = "tollgate::store")]
    async fn get_many(
        &self,
        kind: &'static str,
        ids: &[String],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        let mut found = HashMap::with_capacity(ids.len());
        for kept in self.store.find_ids(&self.collection(kind), ids, None).await? {
            let document = to_document(kind, Fields(kept))?;
            found.insert(document.id.clone(), document);
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    #[instrument(level = "debug", skip_all, name = "documents.get_by", target = "tollgate::store")]
    async fn get_by(
        &self,
        kind: &'static str,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Document>, StoreError> {
        let with_value = doc! { unique_field(index): value };
        let kept = self.store.find_one(&self.collection(kind), with_value, None).await?;
        kept.map(|kept| to_document(kind, Fields(kept))).transpose()
    }

    #[instrument(level = "debug", skip_all, name = "documents.replace_many", target = "tollgate::store")]
    async fn replace_many(&self, documents: Vec<Document>) -> Result<Vec<Replaced>, StoreError> {
        let revisions: Vec<_> = documents.iter().map(|document| document.revision).collect();
        let mut by_kind: HashMap<&str, Vec<(usize, Document)>> = HashMap::new();
        for (place, document) in documents.into_iter().enumerate() {
            by_kind.entry(document.kind).or_default().push((place, document));
        }
        let mut answers = vec![Replaced::Changed; revisions.len()];
        for (places, documents) in
            by_kind.into_values().map(|group| group.into_iter().unzip::<_, _, Vec<_>, _>())
        {
            for (place, replaced) in places.into_iter().zip(self.replace_kind(documents).await?) {
                if replaced {
                    answers[place] = Replaced::Yes { revision: revisions[place].saturating_add(1) };
                }
            }
        }
        Ok(answers)
    }

    #[instrument(level = "debug", skip_all, name = "documents.delete", target = "tollgate::store")]
    async fn delete(&self, kind: &'static str, id: &str, revision: u64) -> Result<bool, StoreError> {
        let collection = self.collection(kind);
        let delete = collection.delete_one(doc! { ID: id, REVISION: signed(revision)? });
        Ok(self.store.run(delete).await.map_err(failed)?.deleted_count == 1)
    }

    #[instrument(level = "debug", skip_all, name = "documents.find", target = "tollgate::store")]
    async fn find(&self, search: Search<'_>) -> Result<Vec<Found>, StoreError> {
        let collection = self.collection(search.kind);
        let limit = i64::try_from(search.limit).unwrap_or(i64::MAX);
        let find = collection.find(pages::filter(&search)).sort(pages::sort(&search)).limit(limit);
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        for kept in self.store.collect(find).await? {
            let value = kept.get_document(RANGES).and_then(|ranges| ranges.get_str(search.index));
            let value =
                value.map_err(|error| StoreError::corrupt("a document of a range", error))?.to_owned();
            found.push(Found { value, document: to_document(search.kind, Fields(kept))? });
        }
        Ok(found)
    }
}

fn fields(document: &Document) -> Result<Kept, StoreError> {
    Ok(doc! {
        BODY: bytes(&document.body),
        UNIQUE: values(document, &document.unique)?,
        RANGES: values(document, &document.ranges)?,
    })
}

fn values(document: &Document, values: &[(&'static str, String)]) -> Result<Bson, StoreError> {
    let mut fields = Kept::new();
    for (index, value) in values {
        if fields.insert(*index, value).is_some() {
            let what = format!("{} `{}`", document.kind, document.id);
            return Err(StoreError::corrupt(what, format!("it has two values in the index `{index}`")));
        }
    }
    Ok(Bson::Document(fields))
}

fn to_document(kind: &'static str, mut kept: Fields) -> Result<Document, StoreError> {
    Ok(Document {
        kind,
        id: kept.text(ID)?.to_owned(),
        revision: kept.unsigned(REVISION)?,
        body: kept.bytes(BODY)?,
        unique: Vec::new(),
        ranges: Vec::new(),
    })
}
