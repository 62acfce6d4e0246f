//! `[limits]`: how much one client may ask of the server at once.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

/// How much one client may ask of the server at once.
///
/// Each limit is set by name: what tonic leaves unset takes hyper's own protection away.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections that may be open at once.
    pub connections: NonZeroU32,
    /// Those among them from one address (IPv6: from one /64), so that no single one can shut the others out.
    pub connections_per_address: NonZeroU32,
    /// How long a client may take to open a connection: TLS, and then its first bytes.
    pub opening_seconds: NonZeroU32,
    /// A connection is asked to end after about that many seconds, so that clients spread over new replicas.
    pub connection_age_seconds: NonZeroU32,
    /// Calls that are open then may go on for that many seconds.
    pub connection_grace_seconds: NonZeroU32,
    /// Calls that may be in progress at once on all connections.
    pub calls: NonZeroU32,
    /// Bytes of messages that have begun to come and are not whole, of all connections together.
    pub received_bytes: NonZeroU32,
    /// The largest request message.
    pub message_bytes_in: NonZeroU32,
    /// The largest answer message.
    pub message_bytes_out: NonZeroU32,
    /// Calls that one connection may have open.
    pub concurrent_streams: NonZeroU32,
    /// The largest list of headers.
    pub header_list_bytes: NonZeroU32,
    /// The server asks a silent connection for a sign of life after that many seconds.
    pub keepalive_interval_seconds: NonZeroU32,
    /// A connection that gives none for that many seconds is closed.
    pub keepalive_timeout_seconds: NonZeroU32,
    /// Streams that a client may reset before the server has seen them (RUSTSEC-2023-0034).
    pub pending_accept_resets: NonZeroU32,
    /// Streams that the server may have to reset for a client's mistakes (RUSTSEC-2024-0003).
    pub local_error_resets: NonZeroU32,
    /// How long a call may take to be answered; a stream, to begin.
    pub call_seconds: NonZeroU32,
    /// How long a client may leave an answer that is ready; then its connection is cut.
    pub answer_seconds: NonZeroU32,
    /// The largest body of `POST /api/track`.
    pub http_body_bytes: NonZeroU32,
}

impl LimitsConfig {
    /// How long a client may take to open a connection.
    #[must_use]
    pub fn opening_patience(&self) -> Duration {
        Duration::from_secs(self.opening_seconds.get().into())
    }

    /// After how long a connection is asked to end.
    #[must_use]
    pub fn connection_age(&self) -> Duration {
        Duration::from_secs(self.connection_age_seconds.get().into())
    }

    /// How long the calls of a connection may go on after that.
    #[must_use]
    pub fn connection_grace(&self) -> Duration {
        Duration::from_secs(self.connection_grace_seconds.get().into())
    }

    /// After how long a silent connection is asked for a sign of life.
    #[must_use]
    pub fn keepalive_interval(&self) -> Duration {
        Duration::from_secs(self.keepalive_interval_seconds.get().into())
    }

    /// How long a call may take to be answered.
    #[must_use]
    pub fn call_patience(&self) -> Duration {
        Duration::from_secs(self.call_seconds.get().into())
    }

    /// How long a client may leave an answer.
    #[must_use]
    pub fn answer_patience(&self) -> Duration {
        Duration::from_secs(self.answer_seconds.get().into())
    }

    /// How long it may take to give a sign of life.
    #[must_use]
    pub fn keepalive_timeout(&self) -> Duration {
        Duration::from_secs(self.keepalive_timeout_seconds.get().into())
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        const fn number(value: u32) -> NonZeroU32 {
            NonZeroU32::new(value).expect("every default is above zero")
        }
        Self {
            connections: const { number(10_000) },
            connections_per_address: const { number(1_000) },
            opening_seconds: const { number(10) },
            connection_age_seconds: const { number(30 * 60) },
            connection_grace_seconds: const { number(60) },
            // As many as may wait for the journal.
            calls: const { number(16_384) },
            received_bytes: const { number(128 << 20) },
            message_bytes_in: const { number(1 << 20) },
            message_bytes_out: const { number(4 << 20) },
            concurrent_streams: const { number(128) },
            header_list_bytes: const { number(8 << 10) },
            keepalive_interval_seconds: const { number(30) },
            keepalive_timeout_seconds: const { number(10) },
            pending_accept_resets: const { number(20) },
            local_error_resets: const { number(1024) },
            // Longer than any wait inside: a decision is abandoned, and freshness given up, after 10 s.
            call_seconds: const { number(20) },
            answer_seconds: const { number(60) },
            http_body_bytes: const { number(64 << 10) },
        }
    }
}
