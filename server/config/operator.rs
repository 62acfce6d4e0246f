//! `[operator]`: who may administer the server.

use secrecy::SecretString;
use serde::Deserialize;

/// Who may administer the server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorConfig {
    /// The operator's key, 32 printable characters or more. Unset: the server makes one at its first start.
    pub key: Option<SecretString>,
}
