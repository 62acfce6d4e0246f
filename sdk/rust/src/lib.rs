//! The Rust client of Tollgate. [`v1`] is generated from the contract.

/// The contract `tollgate.v1`: messages, and a client for each service.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code has its own style")]
pub mod v1 {
    include!("gen/tollgate.v1.rs");
}
