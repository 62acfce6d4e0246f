//! Documents as the rooms see them: typed records, written as JSON.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Document, Documents, Inserted, Replaced, Search, StoreError};

/// How often a change is tried against a record that others change at the same time.
const ATTEMPTS_MAX: usize = 32;

/// Something that is kept as a document.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// What it is a record of, for example `plan`.
    const KIND: &'static str;

    /// Its id, unique within its kind.
    fn id(&self) -> &str;

    /// Values that no other record of the kind may have, by index.
    fn unique(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Values that it is found by, in order, by index.
    fn ranges(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// A record and the revision that it was read at.
#[derive(Clone, Debug)]
pub struct Kept<R> {
    /// The record.
    pub record: R,
    /// Its revision.
    pub revision: u64,
}

/// The records of one kind.
#[derive(Debug)]
pub struct Records<R> {
    documents: Arc<dyn Documents>,
    kind: PhantomData<fn() -> R>,
}

impl<R: Record> Records<R> {
    /// The records of one kind in a store.
    #[must_use]
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents, kind: PhantomData }
    }

    /// Keeps a new record.
    pub async fn insert(&self, record: &R) -> Result<Inserted, StoreError> {
        self.documents.insert(to_document(record, 0)?).await
    }

    /// The record with that id.
    pub async fn get(&self, id: &str) -> Result<Option<Kept<R>>, StoreError> {
        self.documents.get(R::KIND, id).await?.as_ref().map(to_record).transpose()
    }

    /// The records with those ids, in that order.
    pub async fn get_many(&self, ids: &[String]) -> Result<Vec<Option<Kept<R>>>, StoreError> {
        let documents = self.documents.get_many(R::KIND, ids).await?;
        documents.iter().map(|document| document.as_ref().map(to_record).transpose()).collect()
    }

    /// The record with that value in a unique index.
    pub async fn get_by(&self, index: &'static str, value: &str) -> Result<Option<Kept<R>>, StoreError> {
        self.documents.get_by(R::KIND, index, value).await?.as_ref().map(to_record).transpose()
    }

    /// Replaces the record if it is still at that revision; `false`: it is not.
    pub async fn replace(&self, kept: &Kept<R>) -> Result<bool, StoreError> {
        let replaced = self.documents.replace_many(vec![to_document(&kept.record, kept.revision)?]).await?;
        Ok(matches!(replaced.as_slice(), [Replaced::Yes { .. }]))
    }

    /// Changes the record with that id, against whatever others change meanwhile; answers it as it then stands.
    ///
    /// `change` may be called several times, each time with what the store has then.
    pub async fn update<E: From<StoreError>>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut R) -> Result<Change, E> + Send,
    ) -> Result<Option<R>, E> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(mut kept) = self.get(id).await? else { return Ok(None) };
            let keep = change(&mut kept.record)?;
            if keep == Change::None || self.replace(&kept).await? {
                return Ok(Some(kept.record));
            }
        }
        Err(StoreError::unavailable(format!("{} `{id}` is changed by others all the time", R::KIND)).into())
    }

    /// A page of records: each with its value in the index. `search.kind` is that of the records.
    pub async fn find(&self, search: Search<'_>) -> Result<Vec<(String, R)>, StoreError> {
        let found = self.documents.find(Search { kind: R::KIND, ..search }).await?;
        found.into_iter().map(|found| Ok((found.value, to_record(&found.document)?.record))).collect()
    }
}

/// What a change did to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the record is as it was.
    None,
    /// The record is to be kept as it is now.
    Keep,
}

fn to_document<R: Record>(record: &R, revision: u64) -> Result<Document, StoreError> {
    let body =
        serde_json::to_vec(record).map_err(|error| StoreError::corrupt(name::<R>(record.id()), error))?;
    let (unique, ranges) = (record.unique(), record.ranges());
    Ok(Document { kind: R::KIND, id: record.id().to_owned(), revision, body, unique, ranges })
}

fn to_record<R: Record>(document: &Document) -> Result<Kept<R>, StoreError> {
    let record = serde_json::from_slice(&document.body)
        .map_err(|error| StoreError::corrupt(name::<R>(&document.id), error))?;
    Ok(Kept { record, revision: document.revision })
}

fn name<R: Record>(id: &str) -> String {
    format!("{} `{id}`", R::KIND)
}
