//! The port `Mailer`: whoever takes letters and brings them to people.

use std::fmt;

use async_trait::async_trait;

use crate::mail::address::Address;
use crate::time::Timestamp;

/// A letter in its words.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What makes it one letter, of letters and digits: the same however often it is sent, so that who receives it can tell.
    pub id: String,
    /// To whom.
    pub to: Address,
    /// What stands above it. It is ours alone: nobody's name is in it.
    pub subject: &'static str,
    /// Its words.
    pub text: String,
    /// The same words in HTML.
    pub html: String,
    /// When it was written.
    pub written_at: Timestamp,
}

/// Whoever takes letters and brings them to people.
///
/// # Contract
///
/// - After `Ok` the letter is somebody else's to bring. After [`MailerError::Away`] it may be all the same: what is sent
///   again has the same id.
/// - [`MailerError::Refused`] is about this one letter. What concerns all of them, such as a password that is not good, is
///   `Away`: they wait until somebody has mended it.
/// - It answers within a bounded time, and what it says has no address, no code and no password in it.
/// - Nothing is said in the clear to a server that was to be spoken to in secret.
#[async_trait]
pub trait Mailer: Send + Sync + fmt::Debug {
    /// Hands a letter over.
    async fn send(&self, message: &Message) -> Result<(), MailerError>;
}

/// A letter was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailerError {
    /// It is not taken now.
    #[error("the mail server is away: {problem}")]
    Away {
        /// Why not.
        problem: String,
    },
    /// It will never be taken.
    #[error("the mail server refuses the letter: {problem}")]
    Refused {
        /// Why not.
        problem: String,
    },
}

impl MailerError {
    /// The letter is not taken now.
    pub fn away(problem: impl Into<String>) -> Self {
        Self::Away { problem: problem.into() }
    }

    /// The letter will never be taken.
    pub fn refused(problem: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into() }
    }
}

/// A log has no codes and no addresses.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("to", &self.to).finish_non_exhaustive()
    }
}
