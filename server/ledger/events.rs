//! The port `Events`: the rows of the ledger, each once for ever (rule H).

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use prost::bytes::Bytes;

use crate::gate::call::{EventKey, PayloadHash};
use crate::ledger::stamp::Stamp;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Something that exists once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: EventKey,
    /// Its content's hash.
    pub payload: PayloadHash,
    /// The record that it came from.
    pub stamp: Stamp,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What it is.
    pub kind: RowKind,
    /// When it was decided.
    pub at: Timestamp,
    /// When the call was made; that is what it is listed by.
    pub occurred_at: Timestamp,
    /// The encoded [`Record`](crate::ledger::record::Record).
    pub body: Bytes,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A call that was counted: it is listed.
    Usage,
    /// A grant, a breakage or an extension: it is here only to be once.
    Posting,
}

/// A change of a row that exists once: an outcome, or the end of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The amendment's own key.
    pub key: EventKey,
    /// Its content's hash.
    pub payload: PayloadHash,
    /// The record that it came from.
    pub stamp: Stamp,
    /// The row that it changes.
    pub target: EventKey,
    /// The encoded [`Record`](crate::ledger::record::Record).
    pub body: Bytes,
}

/// A refused call (rule D).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// The record that it came from: it is kept once by that.
    pub stamp: Stamp,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// When the call was made.
    pub occurred_at: Timestamp,
    /// The encoded [`Record`](crate::ledger::record::Record).
    pub body: Bytes,
}

/// What became of a row or an amendment (rule H).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is new: count it.
    Fresh,
    /// It is there with this very stamp: our own replay. Count it; documents know what they have absorbed.
    Replay,
    /// It is there with another stamp and the same content: count it nowhere.
    Duplicate,
    /// It is there with another stamp and another content: count it nowhere.
    Conflict,
}

/// A row that was inserted, and the amendments that had come before it.
#[derive(Clone, Debug)]
pub struct InsertedRow {
    /// What became of it.
    pub placed: Placed,
    /// Amendments that came before their row, in their order: they are counted with the row, now and in every replay of it.
    pub early: Vec<Amendment>,
}

/// An amendment that was kept, and what it changes.
#[derive(Clone, Debug)]
pub struct Amended {
    /// What became of it.
    pub placed: Placed,
    /// The row and the amendments that came before this one, in their order. `None`: the row was not there when this came
    /// first, and this is counted with the row.
    pub target: Option<AmendedRow>,
}

/// A row with its amendments, in the order in which they came.
#[derive(Clone, Debug)]
pub struct AmendedRow {
    /// The row.
    pub row: Row,
    /// Its amendments.
    pub amendments: Vec<Amendment>,
}

/// The rows of the ledger.
///
/// # Contract
///
/// Rows and amendments are kept once by their keys, refusals by their stamps. What a method answered survives the end of
/// the process; only after [`Events::sync`] it survives the loss of power. The order within one call is the order given.
#[async_trait]
pub trait Events: Send + Sync + Debug {
    /// Keeps rows.
    async fn insert(&self, rows: Vec<Row>) -> Result<Vec<InsertedRow>, StoreError>;

    /// Keeps amendments.
    async fn amend(&self, amendments: Vec<Amendment>) -> Result<Vec<Amended>, StoreError>;

    /// Keeps refusals.
    async fn refuse(&self, refusals: Vec<RefusalRow>) -> Result<(), StoreError>;

    /// The rows with those keys, in that order.
    async fn get(&self, keys: &[EventKey]) -> Result<Vec<Option<AmendedRow>>, StoreError>;

    /// The amendment with that key.
    async fn amendment(&self, key: EventKey) -> Result<Option<Amendment>, StoreError>;

    /// A page of a tenant's calls in order of their `occurred_at`, then of their arrival or their stamps.
    async fn list(&self, search: EventSearch<'_>) -> Result<Vec<ListedRow>, StoreError>;

    /// A page of a tenant's refusals likewise.
    async fn list_refusals(&self, search: EventSearch<'_>) -> Result<Vec<ListedRefusal>, StoreError>;

    /// Deletes at most `limit` of the rows that were decided before a moment, with their amendments, and of the refusals that
    /// occurred before it; answers how many, amendments apart. 0: nothing is left to delete.
    ///
    /// Retention counts from receipt (rule R), which is when a row was decided; a refusal promises nothing (rule D). A
    /// deletion that was cut off leaves no row without its amendments. A key whose row is gone is free again.
    async fn purge(&self, received_before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Makes all that was answered durable against the loss of power.
    async fn sync(&self) -> Result<(), StoreError>;
}

/// Which rows to list.
#[derive(Clone, Copy, Debug)]
pub struct EventSearch<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// The first moment.
    pub start: Timestamp,
    /// The first moment after.
    pub end: Timestamp,
    /// Only what stands after this place.
    pub after: Option<ListPlace>,
    /// At most this many.
    pub limit: usize,
    /// Which way.
    pub order: crate::store::Order,
}

/// A place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPlace {
    /// The row's `occurred_at`.
    pub occurred_at: Timestamp,
    /// A number that no other row of that moment has: its place in the order of arrival, or of stamps where arrivals have none.
    pub arrival: u128,
}

/// A row in a list.
#[derive(Clone, Debug)]
pub struct ListedRow {
    /// Where it stands.
    pub place: ListPlace,
    /// The row and its amendments.
    pub row: AmendedRow,
}

/// A refusal in a list.
#[derive(Clone, Debug)]
pub struct ListedRefusal {
    /// Where it stands.
    pub place: ListPlace,
    /// The refusal.
    pub refusal: RefusalRow,
}
