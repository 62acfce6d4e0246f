//! What may be renewed while the server runs: whoever uses it asks here each time.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::app::Secrets;
use crate::config::{Config, Secret};
use crate::identity::keyring::Keyring;
use crate::secrets::current::{Current, Login};
use crate::secrets::seal::to_hex;

/// Who we are at other servers.
#[derive(Clone, Debug)]
pub(super) struct Logins {
    pub(super) mail: Option<Current<Login>>,
    pub(super) mqtt: Option<Current<Login>>,
    /// The address of Redis, of which the user and the password may change.
    pub(super) redis: Option<Current<SecretString>>,
}

/// All that may be renewed, and with what it began.
#[derive(Clone, Debug)]
pub struct Renewable {
    pub(super) logins: Logins,
    pub(super) keyring: Arc<Keyring>,
    /// The secrets of the installation, wherever they came from.
    pub(super) own: [(Secret, SecretString); 2],
}

impl Logins {
    /// As the settings have them.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            mail: config.mail.login().map(Current::new),
            mqtt: config.mqtt.login().map(Current::new),
            redis: config.redis.url.clone().map(Current::new),
        }
    }
}

impl Renewable {
    pub(super) fn new(logins: Logins, keyring: &Arc<Keyring>, secrets: &Secrets) -> Self {
        let pepper = SecretString::from(to_hex(secrets.pepper.expose_secret()));
        Self {
            logins,
            keyring: Arc::clone(keyring),
            own: [(Secret::OperatorKey, secrets.operator_key.clone()), (Secret::OperatorPepper, pepper)],
        }
    }
}
