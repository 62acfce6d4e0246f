//! What happened, exactly once: the journal makes it durable, the fold brings the ledger up to date.

pub mod event;
pub mod events;
pub mod journal;
pub mod record;
pub mod rollup;
pub mod rollups;
pub mod sketch;
pub mod stamp;
pub mod sums;
