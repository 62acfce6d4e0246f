//! The port `Publisher`: a broker that tells the world.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::live::announcement::{Announcement, State};

/// A broker.
///
/// # Contract
///
/// - [`Publisher::publish`] returns when the broker has all announcements, in the order given. After an error it may have
///   some, and not the last: what is sent again has the same ids. In all sendings together, each announcement comes first
///   after those before it.
/// - [`Publisher::retain`] likewise; a state replaces the one before it, and who subscribes later is told it first.
/// - A broker that is away is an answer, at once: nobody waits here for it to come back.
/// - No name of a tenant or a service reaches a place that is not its own.
#[async_trait]
pub trait Publisher: Send + Sync + Debug {
    /// Announces, in order.
    async fn publish(&self, announcements: &[Announcement]) -> Result<(), PublishError>;

    /// Says how things stand.
    async fn retain(&self, states: &[State]) -> Result<(), PublishError>;
}

/// The broker does not have all that it was given.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It cannot be reached, or went away.
    #[error("the broker is away")]
    Away,
    /// It does not take a message.
    #[error("the broker refuses messages on `{topic}`: {reason}")]
    Refused {
        /// The message's topic.
        topic: String,
        /// The broker's reason.
        reason: String,
    },
}
