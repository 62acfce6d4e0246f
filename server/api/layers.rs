//! What stands before every method.

pub mod auth;
