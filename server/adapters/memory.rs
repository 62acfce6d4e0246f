//! What one machine needs no other server for.

pub mod counters;
mod marks;
mod resting;
mod shard;
mod tenant;
