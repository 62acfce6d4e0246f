//! The settings with what a source of secrets adds to them, before anything else begins.

use secrecy::SecretString;

use crate::adapters::infisical::{Folder, Infisical, InfisicalError};
use crate::config::{ConfigError, Given, InfisicalConfig, Secret};
use crate::secrets::{SecretSource as _, SourceError};

/// The settings cannot be had wholly. No variant says a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Who asks, or for what, is not said.
    #[error("infisical.url is set and infisical.{name} is not")]
    Missing {
        /// The setting.
        name: &'static str,
    },
    /// The source cannot be asked.
    #[error(transparent)]
    Address(#[from] InfisicalError),
    /// It does not give its secrets.
    #[error("the secrets of infisical.url cannot be read")]
    Source(#[from] SourceError),
    /// A setting has a value that it cannot have.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What is given, and secrets that are not given from where the settings say that they are.
pub async fn settings(mut given: Given) -> Result<Given, SettingsError> {
    if let Some(source) = source(&given.infisical, given.secret(Secret::InfisicalClient))? {
        let wanted: Vec<_> = given.wanted().into_iter().map(Secret::variable).collect();
        given.add(&source.read(&wanted).await?);
    }
    Ok(given)
}

/// Who keeps secrets beside the settings, if anybody does.
pub(super) fn source(
    config: &InfisicalConfig,
    client_secret: Option<&SecretString>,
) -> Result<Option<Infisical>, SettingsError> {
    if config.url.is_empty() {
        return Ok(None);
    }
    Ok(Some(Infisical::new(folder(config, client_secret)?)?))
}

fn folder(config: &InfisicalConfig, client_secret: Option<&SecretString>) -> Result<Folder, SettingsError> {
    let missing = |name| SettingsError::Missing { name };
    for (name, text) in [
        ("client_id", &config.client_id),
        ("workspace_id", &config.workspace_id),
        ("environment", &config.environment),
        ("secret_path", &config.secret_path),
    ] {
        if text.is_empty() {
            return Err(missing(name));
        }
    }
    Ok(Folder {
        url: config.url.clone(),
        client_id: config.client_id.clone(),
        client_secret: client_secret.cloned().ok_or_else(|| missing("client_secret"))?,
        workspace_id: config.workspace_id.clone(),
        environment: config.environment.clone(),
        secret_path: config.secret_path.clone(),
        ca_file: config.ca_file.clone(),
    })
}
