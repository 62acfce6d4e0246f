//! What can go wrong with a store, and the port `Documents` for the ordinary records of all rooms.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;

use crate::fault::{Fault, Reason};

pub mod changes;
pub mod records;

/// A store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or refuses to work.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It holds something that cannot be read.
    #[error("the store holds {what} that cannot be read")]
    Corrupt {
        /// What cannot be read.
        what: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// The store cannot be reached, or refuses to work.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// The store holds something that cannot be read.
    pub fn corrupt(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }
}

impl Fault for StoreError {
    fn reason(&self) -> Reason {
        match self {
            Self::Unavailable(_) => Reason::StoreUnavailable,
            Self::Corrupt { .. } => Reason::Internal,
        }
    }
}

/// A record as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is a record of, for example `plan`.
    pub kind: &'static str,
    /// Its id, unique within its kind.
    pub id: String,
    /// Grows by one with each replacement; 1 at first.
    pub revision: u64,
    /// The record itself, in its own encoding.
    pub body: Vec<u8>,
    /// Values that no other document of the kind may have, by index.
    pub unique: Vec<(&'static str, String)>,
    /// Values that documents of the kind are found by, in order, by index.
    pub ranges: Vec<(&'static str, String)>,
}

/// Records with unique and range indexes.
///
/// # Contract
///
/// One document is the unit of atomicity: a document and its index values change together or not at all, also through a
/// crash. What a method answered is durable against the end of the process.
///
/// Index values are for searching and do not come back: in a document that is answered `unique` and `ranges` are empty.
/// Values and ids are in the order of their bytes. Ids are not empty.
#[async_trait]
pub trait Documents: Send + Sync + Debug {
    /// Keeps a new document at revision 1.
    async fn insert(&self, document: Document) -> Result<Inserted, StoreError>;

    /// The document with that id.
    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Document>, StoreError>;

    /// The documents with those ids, in that order.
    async fn get_many(&self, kind: &'static str, ids: &[String])
    -> Result<Vec<Option<Document>>, StoreError>;

    /// The document with that value in a unique index.
    async fn get_by(
        &self,
        kind: &'static str,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Document>, StoreError>;

    /// Replaces each document whose revision is still `revision`, each on its own; answers which were replaced, in order. A
    /// document at revision 0 is inserted if its id is not there.
    async fn replace_many(&self, documents: Vec<Document>) -> Result<Vec<Replaced>, StoreError>;

    /// Deletes the document if its revision is still that; answers whether it did.
    async fn delete(&self, kind: &'static str, id: &str, revision: u64) -> Result<bool, StoreError>;

    /// A page of documents in the order of a range index, then of their ids.
    async fn find(&self, search: Search<'_>) -> Result<Vec<Found>, StoreError>;
}

/// How an insertion went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is kept.
    Yes,
    /// Its id, or its value in the named unique index, is taken. Nothing was changed.
    Taken {
        /// The index, or `id`.
        index: String,
    },
}

/// How a replacement went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is kept, at this revision.
    Yes {
        /// The new revision.
        revision: u64,
    },
    /// The document is at another revision, or is gone, or a unique value is taken. Nothing was changed.
    Changed,
}

/// Which documents to find.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The kind.
    pub kind: &'static str,
    /// The range index.
    pub index: &'static str,
    /// Only values that start with this.
    pub prefix: &'a str,
    /// Only what stands after this value and id, in the direction of the search.
    pub after: Option<(&'a str, &'a str)>,
    /// Which way.
    pub order: Order,
    /// At most this many.
    pub limit: usize,
}

/// The direction of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its value in the range index.
    pub value: String,
    /// The document.
    pub document: Document,
}
