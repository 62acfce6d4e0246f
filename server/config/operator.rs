//! `[operator]`: who may administer the server.

use secrecy::SecretString;
use serde::Deserialize;

/// Who may administer the server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorConfig {
    /// The operator's key, 32 printable characters or more, 8 of them different. Unset: the server makes one at its first start.
    pub key: Option<SecretString>,
    /// 64 hexadecimal digits that the hashes of API keys are mixed with. Unset: the server makes them at its first start.
    /// Servers that share a store share them.
    pub pepper: Option<SecretString>,
}
