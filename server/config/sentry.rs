//! `[sentry]`: who else hears of the server's errors.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// Who else hears of the server's errors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentryConfig {
    /// Where errors are sent, as Sentry writes it for each project. Unset or empty: nowhere.
    pub dsn: Option<SecretString>,
    /// Which installation this is, for example `production`. Empty: it is not said.
    pub environment: String,
    /// The name of this server. Empty: it is not said.
    pub server_name: String,
}

impl SentryConfig {
    /// Where errors are sent, if anywhere.
    #[must_use]
    pub fn dsn(&self) -> Option<&SecretString> {
        self.dsn.as_ref().filter(|dsn| !dsn.expose_secret().is_empty())
    }
}
