//! How MongoDB is reached.

use std::num::NonZeroU32;
use std::path::PathBuf;

use secrecy::SecretString;

/// How MongoDB is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is, as `mongodb://user:password@host:port/?options`.
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

impl Settings {
    /// The usual settings for a database at that address.
    #[must_use]
    pub fn at(uri: Option<SecretString>, database: impl Into<String>) -> Self {
        Self {
            uri,
            database: database.into(),
            ca_file: None,
            connections_max: const { NonZeroU32::new(64).expect("it is not zero") },
            selection_timeout_ms: const { NonZeroU32::new(3_000).expect("it is not zero") },
            operation_timeout_ms: const { NonZeroU32::new(10_000).expect("it is not zero") },
            majority_timeout_ms: const { NonZeroU32::new(5_000).expect("it is not zero") },
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::at(None, "tollgate")
    }
}
