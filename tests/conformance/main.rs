//! The contract of each port, run against every adapter.

mod counters;
mod documents;
mod events;
mod journal;
mod rollups;
