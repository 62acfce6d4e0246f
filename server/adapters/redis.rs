//! The counters in Redis (or Valkey, or a cluster of either): one script call a decision.
//!
//! A tenant's keys begin with `tg:{tenant}` and lie in one slot. The scripts decide and change; what they saw is answered,
//! and the refusal, the limits and the balance are worked out of it by the gate's own rules, so that these stand once.

mod access;
mod ask;
pub mod counters;
mod error;
pub mod failures;
mod link;
mod look;
mod nodes;
mod scripts;
mod start;
mod told;
mod upkeep;
mod wire;

pub use access::{Settings, same_place};
pub use error::RedisError;
