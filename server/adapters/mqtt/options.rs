//! What a connection asks of the broker.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::{NetworkOptions, Transport};
use secrecy::ExposeSecret as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Broker, MqttError, envelope, topic};
use crate::secrets::current::{Current, Login};

/// The largest message that the broker sends us, with its head; larger ones it drops.
const PACKET_BYTES_MAX: u32 = 512 * 1024;
/// Messages that the broker may send us before the first of them is acknowledged.
pub(super) const UNACKNOWLEDGED_MAX: u16 = 32;
/// How long a connection may take to begin.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The options of each connection to a broker, without the login: that may be another one each time.
pub(super) fn of(broker: &Broker, receives: bool) -> Result<MqttOptions, MqttError> {
    let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
    if broker.ca_file.is_some() {
        options.set_transport(Transport::tls_with_config(trust(broker)?.into()));
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_PATIENCE.as_secs());
    options.set_network_options(network);
    options.set_connection_timeout(CONNECT_PATIENCE.as_secs());
    options.set_keep_alive(broker.keepalive);
    options.set_outgoing_inflight_upper_limit(broker.inflight_max);
    options.set_manual_acks(true);
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    options.set_receive_maximum(Some(UNACKNOWLEDGED_MAX));
    options.set_clean_start(!receives);
    // Who only sends leaves nothing behind.
    let session = if receives { broker.session } else { Duration::ZERO };
    options.set_session_expiry_interval(Some(u32::try_from(session.as_secs()).unwrap_or(u32::MAX)));
    let (topic, offline) = (topic::node(&broker.node), envelope::status(&broker.node, "offline"));
    options.set_last_will(LastWill::new(topic, offline, QoS::AtLeastOnce, true, None));
    Ok(options)
}

/// The options of the next connection.
pub(super) fn next(options: &MqttOptions, login: Option<&Current<Login>>) -> MqttOptions {
    let mut options = options.clone();
    if let Some(Login { username, password }) = login.map(Current::get) {
        options.set_credentials(username, password.expose_secret());
    }
    options
}

fn trust(broker: &Broker) -> Result<ClientConfig, MqttError> {
    let path = broker.ca_file.clone().unwrap_or_default();
    let wrong = |problem: String| MqttError::Certificates { path: path.clone(), problem };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong(String::from("it has none")));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
