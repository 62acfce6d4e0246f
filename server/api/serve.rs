//! The one port: every limit of it is set by name, and its end waits for the calls that were taken.
//!
//! Each connection has a task of its own from its first byte: a handshake that takes long holds up nobody else.

pub(super) mod answer;
pub(super) mod body;
pub(super) mod connection;
mod places;
pub(super) mod received;

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::{debug, warn};

use crate::api::front::Front;
use crate::api::measure::Measured;
use crate::api::serve::answer::Owed;
use crate::api::serve::body::unread;
use crate::api::serve::connection::{Connection, Life, Link, Stream};
use crate::api::serve::places::{Place, Places};
use crate::api::tls::Certificates;
use crate::config::{Config, LimitsConfig};
use crate::tasks::Tasks;
use crate::telemetry::{CONNECTIONS, CONNECTIONS_REFUSED};

/// The largest frame of HTTP/2 that is taken.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// What a client may send on one stream before the server has read it.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// What a client may send on one connection before the server has read it.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// TLS handshakes under way at once; further ones wait. It is more than one address may have connections at first.
const HANDSHAKES_MAX: usize = 1_024;
/// How often, within the time that a client has for an answer, it is asked whether it was taken.
const ANSWER_LOOKS: u32 = 4;
/// How long nothing is accepted after the system could not give a connection, which is when it has no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection may grow older by a tenth, so that those that came together do not leave together.
const AGE_JITTER: f64 = 0.1;

/// The port, bound: connections wait until it is served.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
}

impl Port {
    /// Takes the address, or says who might have it.
    pub async fn bind(address: SocketAddr) -> Result<Self, PortError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address, certificates: None })
        };
        bound.await.map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => PortError::InUse { address },
            _ => PortError::Unusable { address, source },
        })
    }

    /// Speaks TLS and nothing else, where there are certificates.
    #[must_use]
    pub fn with_certificates(self, certificates: Option<Certificates>) -> Self {
        Self { certificates, ..self }
    }

    /// The address; its port is the real one also where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the front until `stop`, then finishes the calls that were taken.
    pub async fn serve(self, front: Front, config: &Config, stop: CancellationToken) -> Drained {
        let Self { listener, certificates, .. } = self;
        let connections = Tasks::default();
        let cut = CancellationToken::new();
        let door = Arc::new(Door {
            server: limited(&config.limits),
            service: Measured::new(front.clone(), &config.limits),
            certificates,
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            limits: config.limits,
            ending: connections.stopping(),
            cut: cut.clone(),
        });
        let stopped = async {
            stop.cancelled().await;
            front.close().await;
        };
        tokio::select! {
            never = accept(&listener, &door, &connections) => match never {},
            () = stopped => {}
        }
        drop(listener);
        let wholly = connections.stop(config.server.drain_patience()).await;
        cut.cancel();
        if wholly { Drained::Wholly } else { Drained::OutOfTime }
    }
}

/// Takes connections, each into a task of its own.
async fn accept(listener: &TcpListener, door: &Arc<Door>, connections: &Tasks) -> Infallible {
    let places = Places::new(&door.limits);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match places.take(peer.ip()) {
            Ok(place) => connections.spawn(Arc::clone(door).attend(stream, peer.ip(), place)),
            Err(full) => refused(full.reason(), &full),
        }
    }
}

/// What every connection meets.
struct Door {
    server: Server,
    service: Measured,
    certificates: Option<Certificates>,
    handshakes: Semaphore,
    limits: LimitsConfig,
    ending: CancellationToken,
    cut: CancellationToken,
}

impl Door {
    /// One connection, from its first byte to its last.
    async fn attend(self: Arc<Self>, stream: TcpStream, peer: IpAddr, place: Place) {
        let opened = tokio::time::timeout(self.limits.opening_patience(), self.open(stream));
        let stream = match self.ending.run_until_cancelled(opened).await {
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => return refused("handshake", &error),
            Some(Err(late)) => return refused("late", &late),
            None => return,
        };
        gauge!(CONNECTIONS).increment(1);
        let life = Arc::new(Life::of(&self.cut));
        let (unread, remains) = unread();
        let owed = Owed::default();
        let link = Link { unread, owed: owed.clone(), peer };
        let connection = Connection::new(stream, Arc::clone(&life), link, place);
        let watching = async {
            tokio::join!(self.greet(&life), self.collect(&life, &owed), remains.read());
        };
        tokio::join!(self.serve(connection, &life), life.gone.run_until_cancelled(watching));
        gauge!(CONNECTIONS).decrement(1);
    }

    async fn open(&self, stream: TcpStream) -> io::Result<Stream> {
        // Headers and message of an answer are written apart: the second must not wait for the first's acknowledgement.
        stream.set_nodelay(true)?;
        let Some(certificates) = &self.certificates else { return Ok(Stream::Plain(stream)) };
        let _turn = self.handshakes.acquire().await.map_err(io::Error::other)?;
        Ok(Stream::Secured(Box::new(certificates.acceptor().accept(stream).await?)))
    }

    /// Cuts a connection that was opened and then does not say what it speaks.
    async fn greet(&self, life: &Life) {
        if let Err(late) =
            tokio::time::timeout(self.limits.opening_patience(), life.greeted.cancelled()).await
        {
            life.cut.cancel();
            refused("late", &late);
        }
    }

    /// Cuts a connection whose client does not take what it asked for.
    async fn collect(&self, life: &Life, owed: &Owed) {
        let patience = self.limits.answer_patience();
        while !owed.is_overdue(patience) {
            tokio::time::sleep(patience / ANSWER_LOOKS).await;
        }
        life.cut.cancel();
        refused("unread", &"an answer was not taken");
    }

    /// Serves a connection until its client closes it, it is old, or the server ends.
    ///
    /// Tonic's own bound on the age either asks a client to leave or cuts it off, and never one after the other; so each
    /// connection has a shutdown of its own.
    async fn serve(&self, connection: Connection, life: &Life) {
        let age = self.limits.connection_age().mul_f64(rand::random_range(1.0..1.0 + AGE_JITTER));
        let over = async {
            tokio::select! {
                () = life.gone.cancelled() => {}
                () = self.ending.cancelled() => {}
                () = tokio::time::sleep(age) => {}
            }
        };
        let one = stream::iter([Ok::<_, io::Error>(connection)]).chain(stream::pending());
        let serving = self.server.clone().serve_with_incoming_shutdown(self.service.clone(), one, over);
        match tokio::time::timeout(age.saturating_add(self.limits.connection_grace()), serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!("a connection failed: {error}"),
            Err(_) => {
                life.cut.cancel();
                life.gone.cancelled().await;
            }
        }
    }
}

fn refused(reason: &'static str, why: &dyn Display) {
    counter!(CONNECTIONS_REFUSED, "reason" => reason).increment(1);
    debug!("a connection was closed: {why}");
}

/// The address that a call comes from; `None`: it did not come through the port.
pub(super) fn peer(extensions: &::http::Extensions) -> Option<IpAddr> {
    extensions.get::<Link>().map(|link| link.peer)
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
