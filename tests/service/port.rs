//! The port before, while and after calls are taken.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate::api::front::{Front, Reflects};
use tollgate::api::serve::{Drained, Port, PortError};
use tollgate::config::Config;
use tonic::service::Routes;

/// A port with nothing behind it, to be opened by the test.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    pub(crate) front: Front,
    stop: CancellationToken,
    served: JoinHandle<Result<Drained, PortError>>,
}

impl Bare {
    pub(crate) async fn serve(config: Config) -> Self {
        let port = Port::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = port.address();
        let front = Front::new(Reflects::Yes);
        let stop = CancellationToken::new();
        let served = tokio::task::spawn({
            let (front, stop) = (front.clone(), stop.clone());
            async move { port.serve(front, &config, stop).await }
        });
        Self { address, front, stop, served }
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        ask(self.address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[track_caller]
pub(crate) fn says(answer: &str, status: u16, body: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(body), "{answer}");
}

#[tokio::test]
async fn it_is_alive_before_it_is_ready() {
    let bare = Bare::serve(Config::default()).await;
    says(&bare.get("/healthz").await, 200, "ok");
    says(&bare.get("/readyz").await, 503, "recovering");
    says(&bare.get("/api/track").await, 503, "application/problem+json");

    bare.front.open(Routes::default(), Router::new()).await;
    says(&bare.get("/readyz").await, 200, "ready");
    says(&bare.get("/api/nothing").await, 404, r#""reason":"UNSUPPORTED""#);
    says(
        &ask(bare.address, "POST /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await,
        405,
        "POST",
    );
    says(&bare.get("/metrics").await, 200, r#"tollgate_calls_total{method="/readyz",code="503"}"#);
}

#[tokio::test]
async fn what_was_taken_is_finished_before_the_end() {
    let bare = Bare::serve(Config::default()).await;
    let (begun, release) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let handler = {
        let (begun, release) = (begun.clone(), release.clone());
        move || async move {
            begun.notify_one();
            release.notified().await;
            "finished"
        }
    };
    bare.front.open(Routes::default(), Router::new().route("/slow", get(handler))).await;
    let Bare { address, front: _front, stop, served } = bare;
    let slow = tokio::task::spawn(ask(address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"));
    begun.notified().await;
    stop.cancel();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    says(&slow.await.unwrap(), 200, "finished");
    assert_eq!(Drained::Wholly, served.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_when_patience_is_over() {
    let mut config = Config::default();
    config.server.drain_seconds = std::num::NonZeroU64::MIN;
    let bare = Bare::serve(config).await;
    let begun = std::sync::Arc::new(Notify::new());
    let handler = {
        let begun = begun.clone();
        move || async move {
            begun.notify_one();
            std::future::pending::<&'static str>().await
        }
    };
    bare.front.open(Routes::default(), Router::new().route("/endless", get(handler))).await;
    let endless = tokio::task::spawn(ask(bare.address, "GET /endless HTTP/1.1\r\nhost: x\r\n\r\n"));
    begun.notified().await;
    bare.stop.cancel();
    assert_eq!(Drained::OutOfTime, bare.served.await.unwrap().unwrap());
    endless.abort();
}

#[tokio::test]
async fn a_defect_ends_its_own_call_alone() {
    let bare = Bare::serve(Config::default()).await;
    let nothing = std::env::args().find(|argument| argument == "no argument");
    let broken = get(|| async move { nothing.expect("a secret thought") });
    bare.front.open(Routes::default(), Router::new().route("/broken", broken)).await;
    let answer = bare.get("/broken").await;
    says(&answer, 500, r#""reason":"INTERNAL""#);
    assert!(!answer.contains("secret thought"), "{answer}");
    says(&bare.get("/healthz").await, 200, "ok");
}

#[tokio::test]
async fn an_address_in_use_is_said() {
    let port = Port::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Port::bind(port.address()).await.unwrap_err().to_string();
    assert!(error.contains("in use") && error.contains(&port.address().to_string()), "{error}");
}

#[tokio::test]
async fn health_of_every_service_follows_readiness() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    let bare = Bare::serve(Config::default()).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", bare.address)).unwrap();
    let mut client =
        HealthClient::new(channel.connect_timeout(Duration::from_secs(5)).connect().await.unwrap());
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        client
            .check(request)
            .await
            .map(|answer| answer.into_inner().status().as_str_name())
            .map_err(|e| e.code())
    };
    let services = [
        "",
        "tollgate.v1.TrackService",
        "tollgate.v1.PlansService",
        "tollgate.v1.AuthService",
        "tollgate.v1.AdminService",
    ];
    assert_eq!(Err(tonic::Code::NotFound), check("tollgate.v1.TrackService").await);
    bare.front.open(Routes::default(), Router::new()).await;
    for service in services {
        assert_eq!(Ok("SERVING"), check(service).await, "{service}");
    }
    bare.front.close().await;
    for service in services {
        assert_eq!(Ok("NOT_SERVING"), check(service).await, "{service}");
    }
}
