//! What usage means: sums over time and by dimension.

pub mod query;
pub mod step;
