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
