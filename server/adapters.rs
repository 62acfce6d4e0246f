//! The only place that names a driver: each port, on each backend.

pub mod guarded;
pub mod memory;
pub mod mongo;
pub mod mqtt;
pub mod redis;
pub mod spool;
pub mod sqlite;
