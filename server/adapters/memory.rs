//! What one machine needs no other server for.

pub mod counters;
pub mod failures;
mod marks;
mod resting;
mod shard;
mod tenant;
