//! The floor: a server that takes our messages and does nothing. What it costs is the price of gRPC alone.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

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

/// Listens on a free port of this machine, says which on the standard output, and serves until it is killed.
pub async fn serve() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    Ok(serve_on(listener, Decision::Allowed).await?)
}

async fn serve_on(listener: TcpListener, decision: Decision) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = TrackServiceServer::new(Floor(decision));
    Server::builder().add_service(service).serve_with_incoming(incoming).await
}

/// A running floor. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct FloorProcess {
    process: Child,
    address: SocketAddr,
}

impl FloorProcess {
    pub(super) async fn start() -> io::Result<Self> {
        let mut process = child::myself()?.arg(COMMAND).env_clear().stdout(Stdio::piped()).spawn()?;
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

#[derive(Debug)]
struct Floor(Decision);

impl Floor {
    fn verdict(&self) -> Option<proto::Verdict> {
        Some(proto::Verdict { decision: self.0.into(), ..proto::Verdict::default() })
    }
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

    async fn check(&self, _: Request<proto::CheckRequest>) -> Result<Response<proto::CheckResponse>, Status> {
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
        server.spawn(serve_on(listener, decision));
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
