//! `[server]`: where the server listens, and how it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;

/// Where the server listens, and how it ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address of the one port, for gRPC and HTTP.
    pub listen: SocketAddr,
    /// Whether the contract can be asked for.
    pub reflection: Reflection,
    /// How many seconds calls may take to finish when the server ends.
    pub drain_seconds: NonZeroU64,
    /// How many seconds a store that is not there yet is waited for at the start. 0: not at all.
    pub stores_wait_seconds: u64,
}

impl ServerConfig {
    /// How long calls may take to finish when the server ends.
    #[must_use]
    pub const fn drain_patience(&self) -> Duration {
        Duration::from_secs(self.drain_seconds.get())
    }

    /// How long a store that is not there yet is waited for at the start.
    #[must_use]
    pub const fn stores_patience(&self) -> Duration {
        Duration::from_secs(self.stores_wait_seconds)
    }

    /// Whether the contract can be asked for at this address.
    #[must_use]
    pub const fn reflects(&self) -> bool {
        match self.reflection {
            Reflection::Auto => self.listen.ip().is_loopback(),
            Reflection::On => true,
            Reflection::Off => false,
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7180)),
            reflection: Reflection::Auto,
            drain_seconds: const { NonZeroU64::new(10).expect("ten is not zero") },
            stores_wait_seconds: 60,
        }
    }
}

/// Whether the contract can be asked for (gRPC reflection).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reflection {
    /// Only where the server listens on loopback.
    Auto,
    /// Yes.
    On,
    /// No.
    Off,
}
