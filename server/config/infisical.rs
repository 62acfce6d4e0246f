//! `[infisical]`: where secrets are that neither the file nor the environment gives.

use std::path::PathBuf;

use serde::Deserialize;

/// Where secrets are that neither the file nor the environment gives. Its own secret is [`Secret::InfisicalClient`](crate::config::Secret).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InfisicalConfig {
    /// The server of Infisical: `https://host`, or `http://` on this machine. Empty: nobody is asked.
    pub url: String,
    /// The id of the machine identity that logs in (universal auth).
    pub client_id: String,
    /// The project.
    pub workspace_id: String,
    /// Its environment, for example `prod`.
    pub environment: String,
    /// The folder of the secrets in it.
    pub secret_path: String,
    /// Certificates that sign the server's, in PEM. Unset: those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

impl Default for InfisicalConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            client_id: String::new(),
            workspace_id: String::new(),
            environment: String::new(),
            secret_path: String::from("/"),
            ca_file: None,
        }
    }
}
