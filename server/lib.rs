//! Tollgate stands beside an API and answers, for each call: may it pass, and what does it cost?
//!
//! The rooms, in reading order; each may know those above it, never those below. `server/README.md` is the map.

pub mod cache;
pub mod failpoint;
pub mod fault;
pub mod id;
pub mod money;
pub mod secrets;
pub mod store;
pub mod tasks;
pub mod time;
pub mod trace;

pub mod gate;
pub mod ledger;
pub mod plans;

pub mod mail;

pub mod identity;

pub mod insight;
pub mod live;

pub mod jobs;

pub mod adapters;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod connector;
pub mod data_directory;
pub mod telemetry;
