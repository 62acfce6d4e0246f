//! What no request waits for. Each job may run twice safely, also at once; one server at a time runs it.

pub mod clean_up;
pub mod close_audit;
pub mod end_tenants;
pub mod end_users;
pub mod forget_changes;
pub mod forget_locks;
pub mod pieces;
pub mod record;
pub mod rotate_signing_keys;
pub mod runner;
pub mod schedule;
