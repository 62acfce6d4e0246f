//! What a connection asks of the broker.

use std::path::Path;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::{NetworkOptions, Transport};
use secrecy::ExposeSecret as _;
use tokio_rustls::rustls::ClientConfig;

use super::{Broker, MqttError, envelope, topic};
use crate::connector;
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
    if let Some(path) = &broker.ca_file {
        options.set_transport(Transport::tls_with_config(trust(path)?.into()));
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

fn trust(path: &Path) -> Result<ClientConfig, MqttError> {
    let wrong = |problem| MqttError::Certificates { path: path.to_owned(), problem };
    connector::named_roots(path).map(connector::trusting).map_err(wrong)
}
