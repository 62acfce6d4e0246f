//! The port before, while and after calls are taken.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate::api::front::{Front, Reflects};
use tollgate::api::serve::{Drained, Port};
use tollgate::api::tls::Certificates;
use tollgate::config::{Config, LimitsConfig};
use tonic::Code;
use tonic::service::Routes;

use crate::raw::{Raw, post_track};

/// A port with nothing behind it, to be opened by the test.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    pub(crate) front: Front,
    stop: CancellationToken,
    served: JoinHandle<Drained>,
}

impl Bare {
    pub(crate) async fn serve(config: Config) -> Self {
        Self::serve_with(config, None).await
    }

    pub(crate) async fn serve_with(config: Config, certificates: Option<Certificates>) -> Self {
        let port = Port::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = port.with_certificates(certificates);
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
    assert_eq!(Drained::Wholly, served.await.unwrap());
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
    assert_eq!(Drained::OutOfTime, bare.served.await.unwrap());
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

fn config(change: impl FnOnce(&mut LimitsConfig)) -> Config {
    let mut config = Config::default();
    change(&mut config.limits);
    config
}

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

/// Whether a new connection from that address is served.
async fn served(bare: &Bare, from: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(bare.address).await.unwrap();
    // A connection that is closed with something unread is reset.
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.ok()?;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.ok()?;
    assert_eq!(b"HTTP/1.1 200 OK", &answer);
    Some(stream)
}

#[tokio::test]
async fn one_address_cannot_shut_the_others_out() {
    let bare = Bare::serve(config(|limits| limits.connections_per_address = number(2))).await;
    let first = served(&bare, "127.0.0.1").await.unwrap();
    let second = served(&bare, "127.0.0.1").await.unwrap();
    assert!(served(&bare, "127.0.0.1").await.is_none());
    let _other = served(&bare, "127.0.0.2").await.unwrap();
    drop((first, second));
    until(async || served(&bare, "127.0.0.1").await.is_some()).await;
    let refused = r#"tollgate_connections_refused_total{reason="address_full"}"#;
    says(&bare.get("/metrics").await, 200, refused);
}

#[tokio::test]
async fn a_full_port_takes_no_more() {
    let bare = Bare::serve(config(|limits| limits.connections = number(2))).await;
    let first = served(&bare, "127.0.0.1").await.unwrap();
    let _second = served(&bare, "127.0.0.2").await.unwrap();
    assert!(served(&bare, "127.0.0.3").await.is_none());
    drop(first);
    until(async || served(&bare, "127.0.0.3").await.is_some()).await;
}

/// Waits until that holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not come to hold");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let bare = Bare::serve(config(|limits| limits.opening_seconds = NonZeroU32::MIN)).await;
    let mut kept = served(&bare, "127.0.0.1").await.unwrap();
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET / HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(bare.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut nothing = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut nothing)).await;
        ended.expect("the connection is closed").ok();
    }
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_ne!(0, kept.read(&mut [0; 100]).await.unwrap());
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end_and_then_cut() {
    let bare = Bare::serve(config(|limits| {
        limits.connection_age_seconds = NonZeroU32::MIN;
        limits.connection_grace_seconds = NonZeroU32::MIN;
    }))
    .await;
    let (begun, release) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let slow = {
        let (begun, release) = (begun.clone(), release.clone());
        get(move || async move {
            begun.notify_one();
            release.notified().await;
            "finished"
        })
    };
    let endless = get(std::future::pending::<&'static str>);
    bare.front.open(Routes::default(), Router::new().route("/slow", slow).route("/endless", endless)).await;
    let ask = async |path: &str| {
        let stream = TcpStream::connect(bare.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let request = http::Request::get(format!("http://x{path}")).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let connection = tokio::task::spawn(connection);
        (client, answer, connection)
    };

    let (mut client, answer, connection) = ask("/slow").await;
    begun.notified().await;
    // The connection takes no more calls, and finishes the one that it has.
    until(async || client.clone().ready().await.is_err()).await;
    assert!(std::future::poll_fn(|context| client.poll_ready(context)).await.is_err());
    release.notify_one();
    assert_eq!(http::StatusCode::OK, answer.await.unwrap().status());
    drop(client);
    connection.await.unwrap().unwrap();

    let (_client, answer, connection) = ask("/endless").await;
    assert!(tokio::time::timeout(Duration::from_secs(30), answer).await.unwrap().is_err());
    connection.await.unwrap().ok();
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut() {
    let bare = Bare::serve(config(|limits| limits.answer_seconds = NonZeroU32::MIN)).await;
    let silent = get(|| async {
        axum::body::Body::from_stream(tokio_stream::pending::<Result<String, Infallible>>())
    });
    bare.front.open(Routes::default(), Router::new().route("/silent", silent)).await;
    let connect = async |window: u32| {
        let stream = TcpStream::connect(bare.address).await.unwrap();
        let mut client = h2::client::Builder::new();
        let (client, connection) =
            client.initial_window_size(window).handshake::<_, Bytes>(stream).await.unwrap();
        (client, tokio::task::spawn(connection))
    };
    let ask = async |client: &mut h2::client::SendRequest<Bytes>, path: &str| {
        let request = http::Request::get(format!("http://x{path}")).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        answer.await
    };

    // It is the server that says nothing: this one is left alone.
    let (mut patient, _connection) = connect(65_535).await;
    let _silence = ask(&mut patient, "/silent").await.unwrap();
    let (mut deaf, connection) = connect(0).await;
    let _answer = ask(&mut deaf, "/healthz").await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), connection).await.expect("it is cut").unwrap().ok();
    assert_eq!(http::StatusCode::OK, ask(&mut patient, "/healthz").await.unwrap().status());
}

#[tokio::test]
async fn more_calls_than_the_server_takes_are_refused_with_a_time_to_wait() {
    let bare = Bare::serve(config(|limits| limits.calls = NonZeroU32::MIN)).await;
    let begun = std::sync::Arc::new(Notify::new());
    let stuck = {
        let begun = begun.clone();
        post(move || async move {
            begun.notify_one();
            std::future::pending::<&'static str>().await
        })
    };
    bare.front.open(Routes::default(), Router::new().route("/api/track", stuck)).await;
    let request = "POST /api/track HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let first = tokio::task::spawn(ask(bare.address, request));
    begun.notified().await;

    let over_http = post_track(bare.address, &[], "").await;
    assert_eq!((503, "SERVER_OVERLOADED"), (over_http.status, over_http.json()["reason"].as_str().unwrap()));
    assert_ne!("", over_http.header("retry-after"));
    let raw = Raw::connect(bare.address, "key").await;
    let over_grpc = raw.call("/tollgate.v1.TrackService/Check", b"").await;
    assert_eq!((Code::ResourceExhausted, "SERVER_OVERLOADED"), (over_grpc.code, &*over_grpc.reason));
    says(&bare.get("/healthz").await, 200, "ok");

    first.abort();
    until(async || raw.call("/tollgate.v1.TrackService/Check", b"").await.code != Code::ResourceExhausted)
        .await;
}
