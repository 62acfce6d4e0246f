//! The Rust client of Tollgate. [`Client`] opens the door; [`v1`] is the contract, generated.
//!
//! ```no_run
//! use tollgate_client::Client;
//! use tollgate_client::v1::{Decision, UsageEvent};
//!
//! # async fn call() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().endpoint("http://127.0.0.1:7180").api_key("tg_…").build()?;
//! let event = UsageEvent {
//!     id: String::from("order-7"),
//!     service: String::from("search"),
//!     endpoint: String::from("/notes/{id}"),
//!     ..UsageEvent::default()
//! };
//! let answer = client.track().track(client.request(event)).await?.into_inner();
//! let verdict = answer.verdict.unwrap_or_default();
//! if verdict.decision() == Decision::Denied {
//!     println!("refused: {}", verdict.message);
//! }
//! # Ok(())
//! # }
//! ```

mod builder;
mod client;
mod credential;
mod tls;

pub use crate::builder::{BuildError, Builder, ENDPOINT_DEFAULT};
pub use crate::client::{Client, Service};
pub use crate::credential::Credential;

/// The contract `tollgate.v1`: messages, and a client for each service.
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_long_first_doc_paragraph,
    clippy::doc_markdown,
    clippy::trivially_copy_pass_by_ref,
    reason = "generated code has its own style"
)]
pub mod v1 {
    include!("gen/tollgate.v1.rs");
}
