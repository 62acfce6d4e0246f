//! The port `Inbox`: usage that comes from a broker.

use std::fmt::Debug;

use async_trait::async_trait;
use prost::bytes::Bytes;
use secrecy::SecretString;

/// A message that a broker delivered. A broker says nothing of who sent it: the sender shows a credential in it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The tenant that the message's place names.
    pub tenant: String,
    /// What shows who sent it, as `Bearer` and a key; empty: nothing does.
    pub authorization: Vec<SecretString>,
    /// The sender's own id of the message; empty: it has none.
    pub message_id: String,
    /// The message.
    pub payload: Bytes,
}

/// Takes messages.
///
/// # Contract
///
/// A message may come several times, here and at other replicas: what is in it is recorded once. [`Receipt::Done`] means
/// that the broker may forget the message: the ledger has what was good in it, and will never take the rest.
#[async_trait]
pub trait Inbox: Send + Sync + Debug {
    /// Takes a message.
    async fn receive(&self, delivery: &Delivery) -> Receipt;
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is dealt with.
    Done,
    /// It cannot be taken now: give it again.
    Later,
}
