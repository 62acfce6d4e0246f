//! The contract of each port, run against every adapter.

mod backends;
mod counters;
mod documents;
mod events;
mod failures;
mod journal;
mod mailer;
mod mongo;
mod rollups;
