//! `[http]`: how the answers over HTTP look.

use serde::Deserialize;

/// How the answers over HTTP look.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// How `X-RateLimit-Reset` and `X-Quota-Reset` say a moment.
    pub reset_format: ResetFormat,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { reset_format: ResetFormat::Epoch }
    }
}

/// How a header says when a limit is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResetFormat {
    /// Seconds since the Unix epoch, rounded up.
    Epoch,
    /// RFC 3339 in UTC.
    Rfc3339,
}
