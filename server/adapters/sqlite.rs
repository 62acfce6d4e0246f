//! The ports on SQLite, for one machine.

pub mod documents;
