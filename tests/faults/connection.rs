//! A connection to the servers under test, with the operator's credential.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tollgate_client::v1::admin_service_client::AdminServiceClient;
use tollgate_client::v1::auth_service_client::AuthServiceClient;
use tollgate_client::v1::plans_service_client::PlansServiceClient;
use tollgate_client::v1::track_service_client::TrackServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

/// How long whoever wants to know waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection that comes back by itself after a server was restarted. Of several servers each call takes the next, as
/// behind a balancer: so a call that is sent again comes to another one.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    servers: Arc<Servers>,
    credential: MetadataValue<Ascii>,
}

#[derive(Debug)]
struct Servers {
    channels: Vec<Channel>,
    /// Those that a balancer has seen to be down.
    avoided: Vec<AtomicBool>,
    turn: AtomicUsize,
}

impl Connection {
    /// A connection whose calls wait `patience` for an answer.
    pub(crate) fn new(ports: &[u16], credential: &str, patience: Duration) -> Self {
        let channel = |port: &u16| {
            let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a good address");
            endpoint.connect_timeout(patience).timeout(patience).connect_lazy()
        };
        Self {
            servers: Arc::new(Servers {
                channels: ports.iter().map(channel).collect(),
                avoided: ports.iter().map(|_| AtomicBool::new(false)).collect(),
                turn: AtomicUsize::new(0),
            }),
            credential: credential.parse().expect("a printable credential"),
        }
    }

    /// The same connection with another credential.
    pub(crate) fn with_credential(&self, credential: &str) -> Self {
        Self {
            servers: Arc::clone(&self.servers),
            credential: credential.parse().expect("a printable credential"),
        }
    }

    /// Sends no calls to a server, until it is told otherwise.
    pub(crate) fn avoid(&self, server: usize, down: bool) {
        self.servers.avoided[server].store(down, Ordering::Relaxed);
    }

    /// A request that shows the credential.
    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-api-key", self.credential.clone());
        request
    }

    pub(crate) fn tracking(&self) -> TrackServiceClient<Channel> {
        TrackServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn plans(&self) -> PlansServiceClient<Channel> {
        PlansServiceClient::new(self.channel())
    }

    pub(crate) fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel())
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel())
    }

    fn channel(&self) -> Channel {
        let Servers { channels, avoided, turn } = self.servers.as_ref();
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let next = (0..channels.len()).map(|step| turn.wrapping_add(step) % channels.len());
        let server = next.clone().find(|server| !avoided[*server].load(Ordering::Relaxed));
        channels[server.unwrap_or(turn % channels.len())].clone()
    }
}

/// What an error says about whether anything was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody knows: the server died, or gave up waiting.
    Unknown,
    /// Nothing was done.
    NotTaken,
    /// The server's own reason.
    Reason(String),
}

impl Failure {
    pub(crate) fn of(status: &Status) -> Self {
        match status.get_details_error_info() {
            Some(info) => Self::of_reason(&info.reason),
            // Without our details it is the transport that speaks.
            None => match status.code() {
                tonic::Code::Unavailable
                | tonic::Code::Unknown
                | tonic::Code::Internal
                | tonic::Code::Cancelled
                | tonic::Code::DeadlineExceeded => Self::Unknown,
                code => Self::Reason(format!("{code:?}: {}", status.message())),
            },
        }
    }

    pub(crate) fn of_reason(reason: &str) -> Self {
        match reason {
            "DECISION_ABANDONED" | "STORE_UNAVAILABLE" | "SHUTTING_DOWN" | "FRESHNESS_TIMEOUT" => {
                Self::Unknown
            }
            "SERVER_OVERLOADED" => Self::NotTaken,
            reason => Self::Reason(reason.to_owned()),
        }
    }
}
