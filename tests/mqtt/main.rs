//! What happened reaches a real broker, and usage comes from there: the program as it is delivered, and mosquitto.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]
#![expect(clippy::disallowed_methods, reason = "a test has no `Tasks` of its own")]

mod alerts;
mod away;
mod broker;
mod ingest;
mod isolation;
mod listener;
mod renewed;
mod replicas;
mod server;
mod starts;
mod telling;
