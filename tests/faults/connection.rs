//! A connection to the server under test, with the operator's credential.

use std::time::Duration;

use tollgate_client::v1::admin_service_client::AdminServiceClient;
use tollgate_client::v1::auth_service_client::AuthServiceClient;
use tollgate_client::v1::plans_service_client::PlansServiceClient;
use tollgate_client::v1::track_service_client::TrackServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection that comes back by itself after the server was restarted.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    channel: Channel,
    credential: MetadataValue<Ascii>,
}

impl Connection {
    pub(crate) fn new(port: u16, credential: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a good address");
        Self {
            channel: endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy(),
            credential: credential.parse().expect("a printable credential"),
        }
    }

    /// The same connection with another credential.
    pub(crate) fn with_credential(&self, credential: &str) -> Self {
        Self {
            channel: self.channel.clone(),
            credential: credential.parse().expect("a printable credential"),
        }
    }

    /// A request that shows the credential.
    pub(crate) fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-api-key", self.credential.clone());
        request
    }

    pub(crate) fn tracking(&self) -> TrackServiceClient<Channel> {
        TrackServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn plans(&self) -> PlansServiceClient<Channel> {
        PlansServiceClient::new(self.channel.clone())
    }

    pub(crate) fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel.clone())
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
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
