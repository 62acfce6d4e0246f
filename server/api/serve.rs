//! The one port: every limit of it is set by name, and its end waits for the calls that were taken.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::api::front::Front;
use crate::api::measure::Measured;
use crate::config::{Config, LimitsConfig};

/// The largest frame of HTTP/2 that is taken.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// What a client may send on one stream before the server has read it.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// What a client may send on one connection before the server has read it.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// The port, bound: connections wait until it is served.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Takes the address, or says who might have it.
    pub async fn bind(address: SocketAddr) -> Result<Self, PortError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => PortError::InUse { address },
            _ => PortError::Unusable { address, source },
        })
    }

    /// The address; its port is the real one also where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the front until `stop`, then finishes the calls that were taken.
    pub async fn serve(
        self,
        front: Front,
        config: &Config,
        stop: CancellationToken,
    ) -> Result<Drained, PortError> {
        let address = self.address;
        let incoming = TcpIncoming::from(self.listener)
            .with_nodelay(Some(true))
            .with_keepalive(Some(config.limits.keepalive_interval()));
        let stopped = async {
            stop.cancelled().await;
            front.close().await;
        };
        let serving = limited(&config.limits).serve_with_incoming_shutdown(
            Measured::new(front.clone()),
            incoming,
            stopped,
        );
        let patience_over = async {
            stop.cancelled().await;
            tokio::time::sleep(config.server.drain_patience()).await;
        };
        tokio::select! {
            served = serving => match served {
                Ok(()) => Ok(Drained::Wholly),
                Err(source) => Err(PortError::Failed { address, source }),
            },
            () = patience_over => Ok(Drained::OutOfTime),
        }
    }
}

/// How the port ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All calls were finished.
    Wholly,
    /// Some calls took too long and were cut.
    OutOfTime,
}

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another program has it.
    #[error("the address {address} is in use by another program; choose another one with --listen")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// It cannot be had.
    #[error("cannot listen on {address}")]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It was had, and lost.
    #[error("the server on {address} failed")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

/// A server in which no limit is left unset: tonic passes `None` on, and that takes hyper's own defaults away.
fn limited(limits: &LimitsConfig) -> Server {
    Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(limits.concurrent_streams.get())
        .concurrency_limit_per_connection(number(limits.concurrent_streams))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(limits.header_list_bytes.get())
        .http2_keepalive_interval(Some(limits.keepalive_interval()))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout()))
        .http2_max_pending_accept_reset_streams(Some(number(limits.pending_accept_resets)))
        .http2_max_local_error_reset_streams(Some(number(limits.local_error_resets)))
        .timeout(limits.call_patience())
}

fn number(limit: std::num::NonZeroU32) -> usize {
    usize::try_from(limit.get()).unwrap_or(usize::MAX)
}
