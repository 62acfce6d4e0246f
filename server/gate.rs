//! May this call pass, and what does it cost? Pure rules over counters that somebody else keeps.
#![warn(clippy::arithmetic_side_effects)]

pub mod call;
pub mod counters;
pub mod credit;
pub mod decide;
pub mod decision;
pub mod fallback;
#[cfg(test)]
mod fixture;
pub mod gates;
pub mod hold;
#[cfg(test)]
mod model;
pub mod pattern;
pub mod period;
pub mod policy;
pub mod price;
pub mod remembered;
pub mod state;
mod steps;
pub mod table;
pub mod window;
