//! The ports on SQLite, for one machine: the journal in a file of its own, all else in the ledger's.

mod convert;
pub mod documents;
pub mod events;
pub mod journal;
pub mod ledger;
pub mod open;
pub mod rollups;
