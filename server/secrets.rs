//! The port `SecretSource`: a place beside the settings where secrets are kept for several programs.
//!
//! And secrets that may be renewed while they are in use, and what is made with the installation's own: digests, and texts that
//! only it reads.

pub mod current;
pub mod seal;
pub mod vault;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

/// Secrets by their names.
pub type Found = BTreeMap<String, SecretString>;

/// A place beside the settings where secrets are kept.
///
/// # Contract
///
/// - It answers secrets whose names are wanted, and nothing else. One that it does not have is left out: that is no error.
/// - All of them are answered, or none: what cannot be read wholly is a [`SourceError`].
/// - It answers within a bounded time, and takes a bounded number of bytes for it.
/// - What it says of a failure has no secret in it, neither ours nor what it was told.
/// - No secret goes over a network in the clear.
#[async_trait]
pub trait SecretSource: Send + Sync + fmt::Debug {
    /// Reads the secrets of those names.
    async fn read(&self, wanted: &[String]) -> Result<Found, SourceError>;
}

/// Secrets cannot be read. No variant says one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nobody answers there.
    #[error("it cannot be reached: {problem}")]
    Unreachable {
        /// Why not.
        problem: String,
    },
    /// It takes too long.
    #[error("it did not answer in {seconds} s")]
    Late {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It says no, or nothing that can be used.
    #[error("it answers {question} with {status}")]
    Refused {
        /// What it was asked.
        question: &'static str,
        /// The number of its answer.
        status: u16,
    },
    /// It says more than is read.
    #[error("its answer to {question} has more than {bytes_max} bytes")]
    TooLarge {
        /// What it was asked.
        question: &'static str,
        /// What is read at most.
        bytes_max: usize,
    },
    /// What it says is not understood.
    #[error("its answer to {question} is not understood: {problem}")]
    Malformed {
        /// What it was asked.
        question: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// It has the secret, and does not show it to us.
    #[error("it does not show us the value of `{name}`")]
    Hidden {
        /// The secret.
        name: String,
    },
    /// Nobody knows which one is meant.
    #[error("it has `{name}` twice")]
    Twice {
        /// The secret.
        name: String,
    },
}
