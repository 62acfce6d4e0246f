//! The only place that names a driver: each port, on each backend.

pub mod guarded;
pub mod infisical;
pub mod mail_files;
pub mod memory;
mod mime;
pub mod mongo;
pub mod mqtt;
pub mod redis;
pub mod smtp;
pub mod spool;
pub mod sqlite;
