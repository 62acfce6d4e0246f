//! The port `Publisher` on MQTT 5, and the messages of the port `Inbox` from there.
//!
//! Each connection begins with nothing of the one before: what the broker had not acknowledged is sent again by who
//! published it, with the ids that it had. So the driver's own memory of unacknowledged messages is never relied on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use tokio::sync::watch;

use crate::live::announcement::{Announcement, State};
use crate::live::inbox::Inbox;
use crate::live::publisher::{PublishError, Publisher};
use crate::secrets::current::{Current, Login};
use crate::tasks::Tasks;

mod connection;
mod envelope;
mod ingest;
mod link;
mod options;
pub mod topic;

use connection::Connection;
use link::{Link, Message};
use tracing::instrument;

/// How long a broker may take with one message before the connection counts as dead.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(20);

/// A broker, and who we are there.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A file with the certificates that its own is signed with, in PEM; `None`: without TLS.
    pub ca_file: Option<PathBuf>,
    /// Our name and our password there, asked for at each connection.
    pub login: Option<Current<Login>>,
    /// Our client's id; no other client has it.
    pub client_id: String,
    /// The name of this process, under which its status is told.
    pub node: String,
    /// The broker is asked for a sign of life that often; at least 5 s.
    pub keepalive: Duration,
    /// How long the broker keeps what was sent to us while we are away.
    pub session: Duration,
    /// Messages that the broker may have without having acknowledged them.
    pub inflight_max: u16,
}

/// The broker cannot be used as it is configured. That it is away is no error.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// There are no certificates.
    #[error("`mqtt.ca_file` is not set, and `mqtt.url` asks for TLS")]
    CertificatesMissing,
    /// The certificates cannot be read.
    #[error("the certificates of `mqtt.ca_file`, `{}`, cannot be read: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The broker does not let us in.
    #[error("the broker at `{broker}` refuses the client `{client_id}` of `[mqtt]`: {reason}")]
    Refused {
        /// Where it is.
        broker: String,
        /// Who we said we are.
        client_id: String,
        /// Why it does not.
        reason: &'static str,
    },
    /// Its certificate is not good.
    #[error("the broker at `{broker}` is not trusted: {problem}")]
    Untrusted {
        /// Where it is.
        broker: String,
        /// What is wrong.
        problem: String,
    },
}

/// A broker over MQTT.
#[derive(Debug)]
pub struct Mqtt {
    // The connection ends when this is gone.
    link: watch::Receiver<Option<Arc<Link>>>,
}

impl Mqtt {
    /// Connects to a broker, and stays connected from then on. One that is away now is looked for as long as it takes.
    pub async fn connect(
        broker: Broker,
        inbox: Option<Arc<dyn Inbox>>,
        tasks: &Tasks,
    ) -> Result<Self, MqttError> {
        let options = options::of(&broker, inbox.is_some())?;
        let connection = Connection::new(broker, options, inbox);
        let first = match connection.open().await {
            Ok(opened) => Some(opened),
            Err(error) => {
                if let Some(refusal) = refusal(&error, &connection.broker) {
                    return Err(refusal);
                }
                connection.tell_away(&error);
                None
            }
        };
        let (sender, link) = watch::channel(first.as_ref().map(|(_, link)| Arc::clone(link)));
        let stop = tasks.stopping();
        tasks.spawn(async move { connection.run(first, sender, stop).await });
        Ok(Self { link })
    }

    async fn send(&self, messages: impl Iterator<Item = Message>) -> Result<(), PublishError> {
        let link = self.link.borrow().clone().ok_or(PublishError::Away)?;
        let mut receipts = Vec::new();
        for message in messages {
            let topic = message.topic.clone();
            let receipt = tokio::time::timeout(RECEIPT_PATIENCE, link.send(message)).await;
            let Ok(Ok(receipt)) = receipt else { return Err(dead(&link)) };
            receipts.push((topic, receipt));
        }
        let mut refused = None;
        for (topic, receipt) in receipts {
            match tokio::time::timeout(RECEIPT_PATIENCE, receipt).await {
                Ok(Ok(PubAckReason::Success | PubAckReason::NoMatchingSubscribers)) => {}
                Ok(Ok(reason)) => {
                    refused.get_or_insert(PublishError::Refused { topic, reason: format!("{reason:?}") });
                }
                Ok(Err(_)) | Err(_) => return Err(dead(&link)),
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Publisher for Mqtt {
    #[instrument(level = "debug", skip_all, name = "publisher.publish", target = "tollgate::broker")]
    async fn publish(&self, announcements: &[Announcement]) -> Result<(), PublishError> {
        self.send(announcements.iter().map(envelope::announcement)).await
    }

    #[instrument(level = "debug", skip_all, name = "publisher.retain", target = "tollgate::broker")]
    async fn retain(&self, states: &[State]) -> Result<(), PublishError> {
        self.send(states.iter().map(envelope::state)).await
    }
}

/// A connection on which nothing is acknowledged is of no use to anybody.
fn dead(link: &Link) -> PublishError {
    link.end();
    PublishError::Away
}

/// What whoever configured it must change; `None`: the broker is away, or cannot take us now.
fn refusal(error: &ConnectionError, broker: &Broker) -> Option<MqttError> {
    let place = format!("{}:{}", broker.host, broker.port);
    match error {
        ConnectionError::ConnectionRefused(code) => {
            let reason = match code {
                ConnectReturnCode::BadUserNamePassword => "the username or the password is wrong",
                ConnectReturnCode::NotAuthorized => {
                    "the username or the password is wrong, or it may not connect"
                }
                ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => {
                    "the client id is not taken"
                }
                ConnectReturnCode::BadAuthenticationMethod => "it asks for another authentication",
                ConnectReturnCode::Banned => "the client is banned",
                ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
                    "it does not speak MQTT 5"
                }
                _ => return None,
            };
            Some(MqttError::Refused { broker: place, client_id: broker.client_id.clone(), reason })
        }
        ConnectionError::Tls(rumqttc::TlsError::Io(error))
            if error.kind() != std::io::ErrorKind::InvalidData =>
        {
            None
        }
        ConnectionError::Tls(error) => {
            Some(MqttError::Untrusted { broker: place, problem: error.to_string() })
        }
        _ => None,
    }
}
