//! Why the counters in Redis cannot be used.

use std::path::PathBuf;

use deadpool_redis::redis::{self, ErrorKind, ServerErrorKind};

/// Why the counters in Redis cannot be used. No variant says a credential.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The setting is no address.
    #[error(
        "`redis.url` is no address of a Redis server: it is redis://[user:password@]host:port, or rediss:// with TLS"
    )]
    Url,
    /// The certificates cannot be read.
    #[error("the certificates of `redis.ca_file`, `{}`, cannot be used", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A certificate file without TLS.
    #[error("`redis.ca_file` is for an address with TLS, rediss://")]
    CaFileWithoutTls,
    /// User or password are wrong.
    #[error("Redis refuses the user or the password of `redis.url`")]
    Credentials,
    /// The user may not do what is needed.
    #[error("the user of `redis.url` may not run `{command}`: the counters need it")]
    NotPermitted {
        /// The command.
        command: &'static str,
    },
    /// It is too old.
    #[error("Redis {found} is too old: the counters need 7.0")]
    Version {
        /// Its version.
        found: String,
    },
    /// It would throw counters away when its memory is full.
    #[error("Redis would evict counters: its `maxmemory-policy` is `{found}` and must be `noeviction`")]
    Eviction {
        /// Its policy.
        found: String,
    },
    /// It follows another server.
    #[error("Redis at `redis.url` is a replica: the counters need its master")]
    Replica,
    /// It was not reached, or not in time.
    #[error("Redis cannot be reached: {reason}")]
    Unreachable {
        /// Why not, without a credential.
        reason: String,
    },
    /// It does not speak as it should.
    #[error("Redis answered {what} in an unknown way")]
    Answer {
        /// What was asked.
        what: &'static str,
    },
}

impl RedisError {
    /// Whether it may go by itself, so that waiting helps.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Replica)
    }

    /// What a failure of the driver means while `command` was sent.
    pub(super) fn of(error: &redis::RedisError, command: &'static str) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Credentials,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::NotPermitted { command },
            // What stands before the password was checked, and what the server itself says, holds no secret.
            _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => Self::Credentials,
            _ if matches!(error.code(), Some("NOPERM")) => Self::NotPermitted { command },
            _ => Self::Unreachable { reason: format!("{}{}", error.category(), said(error)) },
        }
    }
}

/// What the system or the server said about it.
fn said(error: &redis::RedisError) -> String {
    let text = match (error.is_io_error(), error.code()) {
        (true, _) => error.to_string(),
        (false, Some(code)) => code.to_owned(),
        (false, None) => return String::new(),
    };
    format!(" ({text})")
}
