//! The client: one connection, and on it the four services of the contract.

use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::builder::Builder;
use crate::credential::Credential;
use crate::v1::admin_service_client::AdminServiceClient;
use crate::v1::auth_service_client::AuthServiceClient;
use crate::v1::plans_service_client::PlansServiceClient;
use crate::v1::track_service_client::TrackServiceClient;
use crate::v1::{TrackRequest, UsageEvent};

/// A connection that shows its credential at each call.
pub type Service = InterceptedService<Channel, Credential>;

/// The largest answer that is taken: a page of 1,000 events at their largest bounds does not fit in tonic's 4 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A client of one server. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    service: Service,
    tenant: String,
}

impl Client {
    /// How a client is made.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(channel: Channel, credential: Credential, tenant: String) -> Self {
        Self { service: InterceptedService::new(channel, credential), tenant }
    }

    /// May it pass, what does it cost, and what was used.
    #[must_use]
    pub fn track(&self) -> TrackServiceClient<Service> {
        TrackServiceClient::new(self.service.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What was promised to whom.
    #[must_use]
    pub fn plans(&self) -> PlansServiceClient<Service> {
        PlansServiceClient::new(self.service.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Who is asking.
    #[must_use]
    pub fn auth(&self) -> AuthServiceClient<Service> {
        AuthServiceClient::new(self.service.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The work of those who run the server.
    #[must_use]
    pub fn admin(&self) -> AdminServiceClient<Service> {
        AdminServiceClient::new(self.service.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The tenant it was made for. Empty: that of the key.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// A request to track `event` for this client's tenant.
    #[must_use]
    pub fn request(&self, event: UsageEvent) -> TrackRequest {
        TrackRequest { event: Some(event), tenant_id: self.tenant.clone(), ..TrackRequest::default() }
    }
}
