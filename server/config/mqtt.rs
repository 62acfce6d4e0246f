//! `[mqtt]`: the broker that is told what happens.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use crate::secrets::current::Login;

/// The broker that is told what happens. Without an address nobody is.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// Its address: `mqtt://host:1883`, or `mqtts://host:8883` with TLS.
    pub url: Option<BrokerUrl>,
    /// Our name there.
    pub username: Option<String>,
    /// Our password there.
    pub password: Option<SecretString>,
    /// A file with the certificates that the broker's own is signed with, in PEM. It is needed for `mqtts`.
    pub ca_file: Option<PathBuf>,
    /// Our client's id; unset: `tollgate-` and the node.
    pub client_id: Option<String>,
    /// The name of this process at the broker; unset: `slot-` and the number of its slot in the journal.
    pub node: Option<String>,
    /// Whether usage may be sent over it too.
    pub ingest: Ingest,
    /// The broker is asked for a sign of life after that many silent seconds.
    pub keepalive_seconds: KeepaliveSeconds,
    /// How many seconds the broker keeps usage that was sent while we are away.
    pub session_seconds: u32,
    /// Messages that the broker may have without having acknowledged them.
    pub inflight_max: InflightMax,
}

impl MqttConfig {
    /// Our name and our password there, which may be empty. `None`: we have no name.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        Some(Login { username: self.username.clone()?, password: self.password.clone().unwrap_or_default() })
    }
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: None,
            username: None,
            password: None,
            ca_file: None,
            client_id: None,
            node: None,
            ingest: Ingest::Off,
            keepalive_seconds: KeepaliveSeconds(15),
            session_seconds: 24 * 60 * 60,
            inflight_max: InflightMax(256),
        }
    }
}

/// Whether usage may be sent over the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ingest {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BrokerUrl {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Seconds between two signs of life: 5 to 3,600.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct KeepaliveSeconds(pub u16);

/// Messages on their way: 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct InflightMax(pub u16);

/// The address cannot be used. It is not said again: it may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`url` must be `mqtt://host:port` or `mqtts://host:port`, without a name, a password or a path")]
pub struct BrokerUrlInvalid;

/// A number is out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {value}; {min} to {max} are allowed")]
pub struct OutOfBounds {
    name: &'static str,
    value: u16,
    min: u16,
    max: u16,
}

impl TryFrom<String> for BrokerUrl {
    type Error = BrokerUrlInvalid;

    fn try_from(text: String) -> Result<Self, BrokerUrlInvalid> {
        let (scheme, place) = text.split_once("://").ok_or(BrokerUrlInvalid)?;
        let (tls, usual) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(BrokerUrlInvalid),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| BrokerUrlInvalid)?),
            None => (place, usual),
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(letter) || port == 0 {
            return Err(BrokerUrlInvalid);
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl TryFrom<u16> for KeepaliveSeconds {
    type Error = OutOfBounds;

    fn try_from(value: u16) -> Result<Self, OutOfBounds> {
        bounded("keepalive_seconds", value, 5, 3_600).map(Self)
    }
}

impl TryFrom<u16> for InflightMax {
    type Error = OutOfBounds;

    fn try_from(value: u16) -> Result<Self, OutOfBounds> {
        bounded("inflight_max", value, 1, 10_000).map(Self)
    }
}

fn bounded(name: &'static str, value: u16, min: u16, max: u16) -> Result<u16, OutOfBounds> {
    if (min..=max).contains(&value) { Ok(value) } else { Err(OutOfBounds { name, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_broker_is_read() {
        let check = |text: &str, expected: Option<(&str, u16, bool)>| {
            let read = BrokerUrl::try_from(text.to_owned()).ok();
            let read = read.as_ref().map(|url| (url.host.as_str(), url.port, url.tls));
            assert_eq!(read, expected, "{text}");
        };
        check("mqtt://broker", Some(("broker", 1883, false)));
        check("mqtts://broker.example.com", Some(("broker.example.com", 8883, true)));
        check("mqtt://127.0.0.1:2000/", Some(("127.0.0.1", 2000, false)));
        check("broker:1883", None);
        check("http://broker.test", None);
        check("mqtt://", None);
        check("mqtt://name:secret@broker", None);
        check("mqtt://broker/path", None);
        check("mqtt://broker:0", None);
        check("mqtt://broker:70000", None);
    }
}
