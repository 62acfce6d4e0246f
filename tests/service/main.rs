//! The server as clients meet it: real gRPC and HTTP on a real socket.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]
#![expect(clippy::disallowed_methods, reason = "a test has no `Tasks` of its own")]

mod accounts;
mod attacks;
mod away;
mod bad_input;
mod canary;
mod databases;
mod files;
mod flood;
mod full_disk;
mod http;
mod infisical;
mod listeners;
mod logs;
mod port;
mod program;
mod raw;
mod reflection;
mod reload;
mod retention;
mod server;
mod signing_keys;
mod starts;
mod stores;
mod telemetry;
mod tls;
mod traced;
mod watch;
