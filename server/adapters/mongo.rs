//! The ports on MongoDB, for many machines: what was answered is on a majority of its members, in their journals.
//!
//! Only what every server of the protocol has is used: no transactions, change streams, expiring or partial indexes, or updates
//! by pipeline. One document is the unit of atomicity. A reply that was lost leaves a write unknown, never failed, so each
//! write is one that may be made again: it is conditional on what it changes, or has an `_id` of its own.

mod conditional;
pub mod connect;
mod convert;
pub mod documents;
pub mod events;
mod failure;
pub mod journal;
pub mod rollups;
pub mod settings;
