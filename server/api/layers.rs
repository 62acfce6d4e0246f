//! What stands before every method.

pub mod audit;
pub mod auth;
