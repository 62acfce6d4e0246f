//! Documents as the rooms see them: typed records, written as JSON.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Document, Documents, Found, Inserted, Order, Replaced, Search, StoreError};

/// How often a change is tried against a record that others change at the same time.
const ATTEMPTS_MAX: usize = 32;
/// How many records that are to be deleted are read at once.
const PIECE: usize = 100;

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

    /// Deletes the record if it is still at that revision; answers whether it did.
    pub async fn delete(&self, id: &str, revision: u64) -> Result<bool, StoreError> {
        self.documents.delete(R::KIND, id, revision).await
    }

    /// Deletes the record with that id, against whatever others change meanwhile.
    pub async fn remove(&self, id: &str) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(kept) = self.get(id).await? else { return Ok(()) };
            if self.delete(id, kept.revision).await? {
                return Ok(());
            }
        }
        Err(changed_all_the_time::<R>(id))
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
        Err(changed_all_the_time::<R>(id).into())
    }

    /// Deletes at most `limit` records whose value in a range index stands before that one; answers how many were there to be
    /// deleted. 0: none is left. What others change meanwhile stays.
    pub async fn purge(&self, index: &'static str, before: &str, limit: usize) -> Result<usize, StoreError> {
        let search = Search { kind: R::KIND, index, prefix: "", after: None, order: Order::Ascending, limit };
        let mut old = self.documents.find(search).await?;
        old.retain(|found| found.value.as_str() < before);
        for Found { document, .. } in &old {
            self.documents.delete(R::KIND, &document.id, document.revision).await?;
        }
        Ok(old.len())
    }

    /// Deletes all records of a part of a range index that are picked, against whatever others change meanwhile.
    pub async fn clear(
        &self,
        index: &'static str,
        prefix: &str,
        picks: impl Fn(&R) -> bool + Send,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let range = Range { index, prefix, order: Order::Ascending, after: after.as_ref() };
            let page = self.page(range, PIECE).await?;
            for record in page.records.iter().filter(|record| picks(record)) {
                self.remove(record.id()).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// A page of records in the order of a range index.
    pub async fn page(&self, range: Range<'_>, limit: usize) -> Result<Page<R>, StoreError> {
        let found = self
            .documents
            .find(Search {
                kind: R::KIND,
                index: range.index,
                prefix: range.prefix,
                after: range.after.map(|place| (place.value.as_str(), place.id.as_str())),
                order: range.order,
                limit: limit.saturating_add(1),
            })
            .await?;
        let next = match (found.get(limit), limit.checked_sub(1).and_then(|last| found.get(last))) {
            (Some(_), Some(last)) => Some(Place { value: last.value.clone(), id: last.document.id.clone() }),
            _ => None,
        };
        let records = found.iter().take(limit).map(|found| Ok(to_record(&found.document)?.record));
        Ok(Page { records: records.collect::<Result<_, StoreError>>()?, next })
    }
}

/// A part of a range index.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// The index.
    pub index: &'static str,
    /// Only values that start with this.
    pub prefix: &'a str,
    /// Which way.
    pub order: Order,
    /// Only what stands after this place.
    pub after: Option<&'a Place>,
}

/// A place in a range index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The value.
    pub value: String,
    /// The record's id.
    pub id: String,
}

/// Some of many records.
#[derive(Clone, Debug)]
pub struct Page<R> {
    /// The records.
    pub records: Vec<R>,
    /// After which the next page stands; `None`: this is the last.
    pub next: Option<Place>,
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

fn changed_all_the_time<R: Record>(id: &str) -> StoreError {
    StoreError::unavailable(format!("{} is changed by others all the time", name::<R>(id)))
}

fn name<R: Record>(id: &str) -> String {
    format!("{} `{id}`", R::KIND)
}
