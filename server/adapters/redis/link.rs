//! The connection to one server: all calls of the process share it, and the driver writes together what waits together.
//!
//! A connection knows who the server is (rule N): its run id and replication id, read before the first script is sent. A
//! connection that was lost is never mended but made anew, so that no script is sent under an identity that was another
//! server's. While there is none, calls fail at once; one attempt each 100 ms looks whether the server is back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, AsyncConnectionConfig, ConnectionAddr, ErrorKind, ServerErrorKind, Value};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::adapters::redis::RedisError;
use crate::adapters::redis::access::Access;
use crate::adapters::redis::scripts::Kind;
use crate::adapters::redis::start;
use crate::tasks::Tasks;

/// Calls that may wait for one server. Further ones are turned away before memory grows.
const IN_FLIGHT_MAX: usize = 8_192;
/// Calls that may wait to be written.
const QUEUE: usize = 1_024;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// How long between two attempts to reach a server that is away.
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

/// The connection to one server.
pub(super) struct Link {
    server: ConnectionAddr,
    access: Arc<Access>,
    address: String,
    tasks: Tasks,
    live: Mutex<Option<Live>>,
    is_connecting: AtomicBool,
    in_flight: Semaphore,
    made: Instant,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    identity: Arc<str>,
    /// When anything was heard last, in microseconds since the link was made.
    heard: Arc<AtomicU64>,
}

/// What to do with a tenant's key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    /// The tenant's key.
    pub(super) key: &'a str,
    /// What to do.
    pub(super) work: Work<'a>,
    /// How long to wait.
    pub(super) patience: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work<'a> {
    /// Run a script on what it is asked.
    Run(Kind, &'a [u8]),
    /// Read fields of the hash, and the time: what needs no script.
    Look(&'a [Vec<u8>]),
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// Who it is.
    pub(super) identity: Arc<str>,
    /// One answer of a script; of a look, the fields and the time.
    pub(super) values: Vec<Value>,
}

/// Why a script has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// There is no connection now. Nothing was sent.
    #[error("there is no connection to Redis at {0}")]
    Down(String),
    /// Too many calls wait. Nothing was sent.
    #[error("too many calls wait for Redis")]
    Full,
    /// The key is at another server of the cluster. Nothing was done.
    #[error("the key is at {0} now")]
    Moved(String),
    /// It was sent, and what became of it is not known.
    #[error("Redis did not answer")]
    Lost(#[source] redis::RedisError),
    /// The script was not run to its end.
    #[error("Redis refused a script")]
    Refused(#[source] redis::RedisError),
    /// The clock was in no period that we told of. Nothing was done.
    #[error("the clock of Redis moves between billing periods")]
    Unsettled,
    /// The script answered what it never should.
    #[error("a script answered in an unknown form")]
    Answer,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Link {
    /// A link that is not connected yet.
    pub(super) fn new(server: ConnectionAddr, access: Arc<Access>, tasks: &Tasks) -> Arc<Self> {
        Arc::new(Self {
            address: server.to_string(),
            server,
            access,
            tasks: tasks.clone(),
            live: Mutex::default(),
            is_connecting: AtomicBool::new(false),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            made: Instant::now(),
        })
    }

    /// Connects now with the credentials of now, and says why not.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.access.connect_timeout))
            .set_response_timeout(Some(self.access.connect_timeout))
            .set_pipeline_buffer_size(QUEUE)
            .set_write_backpressure_boundary(WRITE_BYTES);
        let client = self.access.client(&self.server)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&settings);
        let mut connection = connecting.await.map_err(|error| RedisError::of(&error, "AUTH"))?;
        let identity = start::identity(&mut connection).await?;
        for kind in Kind::ALL {
            let loaded = kind.script().load_async(&mut connection).await;
            loaded.map_err(|error| RedisError::of(&error, "SCRIPT LOAD"))?;
        }
        let heard = Arc::new(AtomicU64::new(self.age()));
        *self.lock() = Some(Live { connection: connection.clone(), identity, heard });
        Ok(connection)
    }

    /// Connects in the background, unless that is under way.
    pub(super) fn connect_soon(self: &Arc<Self>) {
        if self.is_connecting.swap(true, Ordering::SeqCst) {
            return;
        }
        let link = Arc::clone(self);
        self.tasks.spawn(async move {
            let stopping = link.tasks.stopping();
            while let Err(error) = link.connect().await {
                warn!(error = %error, "Redis at {} is away: {error}", link.address);
                tokio::select! {
                    () = tokio::time::sleep(ATTEMPT_EVERY) => {}
                    () = stopping.cancelled() => return,
                }
            }
            info!("Redis at {} is connected", link.address);
            link.is_connecting.store(false, Ordering::SeqCst);
        });
    }

    /// Does what is ordered.
    pub(super) async fn run(self: &Arc<Self>, order: Order<'_>) -> Result<Answered, LinkError> {
        let _permit = self.in_flight.try_acquire().map_err(|_| LinkError::Full)?;
        let Some(mut live) = self.lock().clone() else {
            self.connect_soon();
            return Err(LinkError::Down(self.address.clone()));
        };
        live.connection.set_response_timeout(order.patience);
        let values = match (self.send(&mut live, order).await, order.work) {
            // Somebody has emptied the server's cache of scripts.
            (Err(LinkError::Refused(error)), Work::Run(kind, _)) if is(&error, ServerErrorKind::NoScript) => {
                let loaded = kind.script().load_async(&mut live.connection).await;
                loaded.map_err(LinkError::Lost)?;
                self.send(&mut live, order).await?
            }
            (answered, _) => answered?,
        };
        live.heard.store(self.age(), Ordering::Relaxed);
        Ok(Answered { identity: live.identity, values })
    }

    async fn send(self: &Arc<Self>, live: &mut Live, order: Order<'_>) -> Result<Vec<Value>, LinkError> {
        let sent = match order.work {
            Work::Run(kind, ask) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(kind.script().get_hash()).arg(1).arg(order.key).arg(&*live.identity).arg(ask);
                live.connection.send_packed_command(&command).await.map(|value| vec![value])
            }
            Work::Look(fields) => {
                let mut commands = redis::Pipeline::with_capacity(2);
                commands.cmd("HMGET").arg(order.key).arg(fields).cmd("TIME");
                live.connection.send_packed_commands(&commands, 0, 2).await
            }
        };
        let values = sent.map_err(|error| self.failed(live, order.patience, error))?;
        let refused = values.iter().find_map(|value| match value {
            Value::ServerError(error) => Some(error.clone()),
            _ => None,
        });
        match refused {
            Some(error) => Err(self.failed(live, order.patience, error.into())),
            None => Ok(values),
        }
    }

    fn failed(self: &Arc<Self>, live: &Live, patience: Duration, error: redis::RedisError) -> LinkError {
        if is(&error, ServerErrorKind::Moved)
            && let Some((address, _)) = error.redirect_node()
        {
            return LinkError::Moved(address.to_owned());
        }
        if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
            // A server that became a replica, or lost its cluster, may come back as another one: we ask who it is.
            let is_other =
                [ServerErrorKind::ReadOnly, ServerErrorKind::MasterDown, ServerErrorKind::ClusterDown];
            if is_other.into_iter().any(|kind| is(&error, kind)) {
                self.lost(live);
            }
            return LinkError::Refused(error);
        }
        // One answer that is late says little while others come: they would all be lost with the connection.
        let silence = Duration::from_micros(self.age().saturating_sub(live.heard.load(Ordering::Relaxed)));
        if !error.is_timeout() || silence >= patience {
            self.lost(live);
        }
        LinkError::Lost(error)
    }

    /// Microseconds since the link was made.
    fn age(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Lets go the connection, if it is still the one in use, and makes another.
    fn lost(self: &Arc<Self>, lost: &Live) {
        let mut live = self.lock();
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(&live.identity, &lost.identity)) {
            *live = None;
            drop(live);
            self.connect_soon();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Live>> {
        // What it guards is replaced as a whole.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is(error: &redis::RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}
