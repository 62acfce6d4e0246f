//! What happened, exactly once: the journal makes it durable, the fold brings the ledger up to date.

pub mod account;
pub mod accounts;
pub mod admission;
pub mod cuts;
pub mod entry;
pub mod event;
pub mod events;
pub mod fold;
pub mod journal;
pub mod loader;
pub mod low_water;
pub mod progress;
pub mod queue;
pub mod reconciler;
pub mod record;
pub mod reservation_id;
pub mod rollup;
pub mod rollups;
pub mod sketch;
pub mod stamp;
pub mod standing;
pub mod sums;
pub mod sweeper;
pub mod wallets;
pub mod wire;
pub mod works;
