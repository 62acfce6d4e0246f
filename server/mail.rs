//! What is told by mail: to whom, in which words, and that it is sent at least once.

pub mod address;
pub mod delivery;
pub mod letter;
pub mod mailer;
pub mod outbox;
pub mod plain;
pub mod words;
