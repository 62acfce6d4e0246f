//! The floor: a server that takes our messages and does nothing. What it costs is the price of gRPC alone.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use deadpool_redis::redis::Script;
use deadpool_redis::{Config, Pool, Runtime};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio_stream::Empty;
use tollgate_client::v1::{self as proto, Decision};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::api::rpc::track_service_server::{TrackService, TrackServiceServer};
use crate::cli::child;

/// The hidden command that is the floor.
pub const COMMAND: &str = "bench-floor";

/// One script on one key, and nothing else: what a call that counts anything in Redis costs at least, sent alone.
const SCRIPT: &str = "local used = redis.call('INCR', KEYS[1]) \
    if used == 1 then redis.call('PEXPIRE', KEYS[1], 60000) end return used";
/// Connections to Redis, each with one call at a time.
const POOL: usize = 64;

/// Listens on a free port of this machine, says which on the standard output, and serves until it is killed. With the address
/// of a Redis, each check sends one script there, and waits for its answer.
pub async fn serve(redis: Option<String>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let redis = match redis {
        Some(url) => Some(Config::from_url(url).builder()?.max_size(POOL).runtime(Runtime::Tokio1).build()?),
        None => None,
    };
    Ok(serve_on(listener, Floor { decision: Decision::Allowed, redis, script: Script::new(SCRIPT) }).await?)
}

async fn serve_on(listener: TcpListener, floor: Floor) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = TrackServiceServer::new(floor);
    Server::builder().add_service(service).serve_with_incoming(incoming).await
}

/// A running floor. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct FloorProcess {
    process: Child,
    address: SocketAddr,
}

impl FloorProcess {
    /// Starts one that does nothing, or one that sends a script to this Redis for each check.
    pub(super) async fn start(redis: Option<&str>) -> io::Result<Self> {
        let mut command = child::myself()?;
        command.arg(COMMAND).args(redis).env_clear().stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // It says its address at once or dies, which ends the line.
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        let address = line.trim().parse().map_err(|_| io::Error::other("the floor did not come up"))?;
        Ok(Self { process, address })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }
}

struct Floor {
    decision: Decision,
    redis: Option<Pool>,
    script: Script,
}

impl Floor {
    fn verdict(&self) -> Option<proto::Verdict> {
        Some(proto::Verdict { decision: self.decision.into(), ..proto::Verdict::default() })
    }
}

fn unavailable(error: impl std::error::Error) -> Status {
    Status::unavailable(error.to_string())
}

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the floor does nothing"))
}

#[tonic::async_trait]
impl TrackService for Floor {
    type WatchUsageStream = Empty<Result<proto::WatchUsageResponse, Status>>;

    async fn track(&self, _: Request<proto::TrackRequest>) -> Result<Response<proto::TrackResponse>, Status> {
        let verdict = self.verdict();
        Ok(Response::new(proto::TrackResponse { verdict, ..proto::TrackResponse::default() }))
    }

    async fn check(
        &self,
        request: Request<proto::CheckRequest>,
    ) -> Result<Response<proto::CheckResponse>, Status> {
        if let Some(pool) = &self.redis {
            let mut connection = pool.get().await.map_err(unavailable)?;
            let key = request.into_inner().tenant_id;
            let used: Result<i64, _> = self.script.key(key).invoke_async(&mut connection).await;
            used.map_err(unavailable)?;
        }
        Ok(Response::new(proto::CheckResponse { verdict: self.verdict() }))
    }

    async fn complete(
        &self,
        _: Request<proto::CompleteRequest>,
    ) -> Result<Response<proto::CompleteResponse>, Status> {
        nothing()
    }

    async fn track_batch(
        &self,
        _: Request<proto::TrackBatchRequest>,
    ) -> Result<Response<proto::TrackBatchResponse>, Status> {
        nothing()
    }

    async fn reserve(
        &self,
        _: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        nothing()
    }

    async fn extend(
        &self,
        _: Request<proto::ExtendRequest>,
    ) -> Result<Response<proto::ExtendResponse>, Status> {
        nothing()
    }

    async fn settle(
        &self,
        _: Request<proto::SettleRequest>,
    ) -> Result<Response<proto::SettleResponse>, Status> {
        nothing()
    }

    async fn release(
        &self,
        _: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        nothing()
    }

    async fn watch_usage(
        &self,
        _: Request<proto::WatchUsageRequest>,
    ) -> Result<Response<Self::WatchUsageStream>, Status> {
        nothing()
    }

    async fn get_limits(
        &self,
        _: Request<proto::GetLimitsRequest>,
    ) -> Result<Response<proto::GetLimitsResponse>, Status> {
        nothing()
    }

    async fn query_usage(
        &self,
        _: Request<proto::QueryUsageRequest>,
    ) -> Result<Response<proto::QueryUsageResponse>, Status> {
        nothing()
    }

    async fn list_events(
        &self,
        _: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        nothing()
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tollgate_client::Client;

    use super::*;
    use crate::cli::bench::BenchError;
    use crate::cli::bench::load::{Load, Outcome, Path, drive};

    async fn driven(path: Path, decision: Decision) -> Result<Outcome, BenchError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        let floor = Floor { decision, redis: None, script: Script::new(SCRIPT) };
        server.spawn(serve_on(listener, floor));
        let connection = || Client::builder().endpoint(&endpoint).api_key("none").tenant("").build().unwrap();
        let load = Load { path, events: 1_001, callers: 16, tenants: 7, name: String::from("test") };
        drive(&[connection(), connection()], &load).await
    }

    #[tokio::test]
    async fn every_call_is_made_once_and_timed() {
        for path in [Path::Check, Path::Track] {
            let outcome = driven(path, Decision::Allowed).await.unwrap();
            assert_eq!((1_001, 1_001), (outcome.calls, outcome.latencies.len()), "{path:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_allowed_ends_the_bench() {
        for path in [Path::Check, Path::Track] {
            let outcome = driven(path, Decision::Denied).await;
            assert!(matches!(outcome, Err(BenchError::NotAllowed(_))), "{path:?}");
        }
        assert!(matches!(driven(Path::Batch, Decision::Allowed).await, Err(BenchError::Call(_))));
    }
}
