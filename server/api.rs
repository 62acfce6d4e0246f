//! The only door: gRPC and HTTP on one port. It turns messages into the rooms' words, asks a room, and turns the answer
//! back.

pub mod codec;
pub mod front;
mod http;
mod measure;
mod query;
mod reflection;
pub mod resolve;
pub mod rpc;
pub mod serve;
pub mod status;
pub mod track;
