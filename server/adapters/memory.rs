//! What one machine needs no other server for.

pub mod counters;
mod marks;
mod shard;
