//! The only door: gRPC and HTTP on one port. It turns messages into the rooms' words, asks a room, and turns the answer
//! back.

pub mod admin;
pub mod auth;
pub mod codec;
mod convert;
pub mod front;
pub mod http;
pub mod ingest;
pub mod layers;
mod measure;
mod once;
pub mod page;
pub mod plans;
mod query;
mod reflection;
pub mod resolve;
pub mod rpc;
pub mod serve;
pub mod status;
pub mod tls;
mod trace;
pub mod track;

pub use crate::api::reflection::DESCRIPTOR;
