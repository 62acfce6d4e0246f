//! Each server starts, answers, keeps over a kill what it promised to keep, and is gone after its owner.

#![expect(clippy::unwrap_used, reason = "a server that does not answer is a failure")]

use std::net::TcpStream;

mod encrypted;
mod ferretdb;
mod mosquitto;
mod owner;
mod redis;
mod toxiproxy;

/// Whether anybody listens.
fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
