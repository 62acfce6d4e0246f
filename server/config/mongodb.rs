//! `[mongodb]`: the store of many machines.

use std::num::NonZeroU32;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// The store of many machines.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MongoConfig {
    /// Where it is, as `mongodb://user:password@host:port/?options`. Unset: the server keeps everything on its own disk.
    pub uri: Option<SecretString>,
    /// The database.
    pub database: String,
    /// Certificates, as PEM, that may sign the server's own. Given: the connection is by TLS.
    pub ca_file: Option<PathBuf>,
    /// Connections to each member, at most.
    pub connections_max: NonZeroU32,
    /// How long a member that could be asked is looked for, in milliseconds.
    pub selection_timeout_ms: NonZeroU32,
    /// After how long an answer is not waited for any more, in milliseconds: what it would have said is unknown.
    pub operation_timeout_ms: NonZeroU32,
    /// How long a write waits for a majority, in milliseconds.
    pub majority_timeout_ms: NonZeroU32,
}

impl Default for MongoConfig {
    fn default() -> Self {
        const MILLIS: fn(u32) -> NonZeroU32 = |millis| NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN);
        Self {
            uri: None,
            database: "tollgate".to_owned(),
            ca_file: None,
            connections_max: MILLIS(64),
            selection_timeout_ms: MILLIS(3_000),
            operation_timeout_ms: MILLIS(10_000),
            majority_timeout_ms: MILLIS(5_000),
        }
    }
}
