//! `[redis]`: where the counters are kept when several servers share them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::gate::policy::FailPolicy;

/// Where the counters are kept. Without an address they are in the server's own memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port`, or `rediss://` with TLS; any one server of a cluster.
    pub url: Option<SecretString>,
    /// Certificates that sign the server's, in PEM. Unset: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How many milliseconds a decision waits for its answer.
    pub timeout_ms: NonZeroU32,
    /// How many milliseconds a connection may take to be made.
    pub connect_timeout_ms: NonZeroU32,
    /// What rates and quotas do while Redis is away.
    pub limits_fail: FailPolicy,
    /// What credits do while Redis is away.
    pub credits_fail: FailPolicy,
    /// Over how many servers a `local` limit is shared.
    pub replicas: NonZeroU32,
}

impl RedisConfig {
    /// How long a decision waits for its answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.get().into())
    }

    /// How long a connection may take to be made.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.get().into())
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            timeout_ms: const { NonZeroU32::new(50).expect("fifty is not zero") },
            connect_timeout_ms: const { NonZeroU32::new(2_000).expect("two thousand is not zero") },
            limits_fail: FailPolicy::Local,
            credits_fail: FailPolicy::Closed,
            replicas: NonZeroU32::MIN,
        }
    }
}
