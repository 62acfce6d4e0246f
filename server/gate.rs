//! May this call pass, and what does it cost? Pure rules over counters that somebody else keeps.
#![warn(clippy::arithmetic_side_effects)]

pub mod call;
pub mod counters;
pub mod decision;
pub mod pattern;
pub mod period;
pub mod policy;
pub mod price;
pub mod state;
pub mod table;
