//! Real servers for tests: each on a private port and in a private directory, stopped by its own process id, and gone
//! when its owner is, even when the owner was killed.
//!
//! A server that this machine does not have makes `start` print one line and return `None`, so that a test can be
//! skipped. `TOLLGATE_TEST_REQUIRE` names the servers whose absence is a failure instead (`redis,mosquitto`, or `all`).

pub mod certificates;
mod ferretdb;
mod go;
mod installed;
mod mosquitto;
mod patch;
mod port;
mod process;
mod redis;
mod resp;
mod smtp;
mod toxiproxy;

pub use ferretdb::FerretDb;
pub use mosquitto::{Mosquitto, MosquittoConfig};
pub use port::Port;
pub use redis::Redis;
pub use smtp::{Received, Smtp, SmtpConfig, SmtpTls};
pub use toxiproxy::{Proxy, Stream, Toxiproxy};
