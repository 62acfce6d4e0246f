//! TLS at the one port: who is shown, who is asked for, and what a renewed certificate changes.

mod attacks;
pub(crate) mod authority;
mod files;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tollgate_client::{Client, v1};
use tonic::Code;

use crate::program::{OPERATOR_KEY, Program, free_address, tollgate};
use crate::raw::exchange;
use crate::tls::authority::Authority;
use crate::tls::files::Files;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program that speaks TLS, with the files of its certificates.
struct Secured {
    program: Program,
    address: SocketAddr,
    files: Files,
    _data: tempfile::TempDir,
}

impl Secured {
    async fn start(authority: &Authority, asks: Asks) -> Self {
        let data = tempfile::tempdir().unwrap();
        let files = Files::of(authority);
        let address = free_address();
        let mut command = tollgate(&["--listen", &address.to_string()], data.path());
        command.envs(files.settings());
        if asks == Asks::Certificate {
            command.env("TOLLGATE_TLS_CLIENT_CA_FILE", files.ca());
        }
        let program = Program::spawn(command);
        crate::program::listening(address).await;
        Self { program, address, files, _data: data }
    }

    fn client(&self) -> tollgate_client::Builder {
        Client::builder()
            .endpoint(format!("https://localhost:{}", self.address.port()))
            .ca_file(self.files.ca())
            .api_key(OPERATOR_KEY)
            .tenant("")
    }

    /// Waits until a new connection is shown that certificate.
    async fn shows(&self, certificate: &[u8]) {
        let began = Instant::now();
        while self.shown().await != certificate {
            assert!(began.elapsed() < PATIENCE, "the certificate is not shown");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn shown(&self) -> Vec<u8> {
        let stream = handshake(self.address, &[&TLS13], None).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

/// What the server asks its clients for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    Certificate,
}

/// A TLS connection to a server that shows a certificate of that root, or of anybody.
async fn handshake(
    address: SocketAddr,
    versions: &[&'static SupportedProtocolVersion],
    root: Option<&Authority>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let config = match root {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.root().clone()).unwrap();
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(authority::Anybody(provider)))
            .with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What the server says of itself on this connection, over HTTP/1.1.
async fn health(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut part = [0; 1_024];
        let length = stream.read(&mut part).await.unwrap();
        assert_ne!(0, length, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..length]);
    }
    String::from_utf8(answer).unwrap()
}

async fn known(client: &Client) -> Result<(), Code> {
    let began = Instant::now();
    loop {
        match client.auth().who_am_i(v1::WhoAmIRequest::default()).await {
            Ok(_) => return Ok(()),
            // The ledger may still be recovered.
            Err(status) if status.message().contains("starting") && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(status) => return Err(status.code()),
        }
    }
}

/// The server answers nothing; how that looks depends on who hangs up first.
async fn turned_away(client: &Client) {
    let outcome = known(client).await;
    let transport = [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled];
    assert!(outcome.is_err_and(|code| transport.contains(&code)), "{outcome:?}");
}

#[tokio::test]
async fn both_protocols_and_both_versions_are_spoken() {
    let authority = Authority::new();
    let server = Secured::start(&authority, Asks::Nothing).await;
    assert_eq!(Ok(()), known(&server.client().build().unwrap()).await);
    for version in [&TLS12, &TLS13] {
        let mut stream = handshake(server.address, &[version], Some(&authority)).await.unwrap();
        assert!(health(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn who_trusts_another_root_does_not_call() {
    let authority = Authority::new();
    let server = Secured::start(&authority, Asks::Nothing).await;
    let other = Files::of(&Authority::new());
    let client = server.client().ca_file(other.ca()).build().unwrap();
    turned_away(&client).await;
    assert!(handshake(server.address, &[&TLS13], Some(&Authority::new())).await.is_err());
    assert_eq!(Ok(()), known(&server.client().build().unwrap()).await);
}

#[tokio::test]
async fn plain_text_is_turned_away() {
    let authority = Authority::new();
    let server = Secured::start(&authority, Asks::Nothing).await;
    let answer = exchange(server.address, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!answer.contains("HTTP") && !answer.contains("ok"), "{answer:?}");
    let client = Client::builder().endpoint(format!("http://{}", server.address)).api_key(OPERATOR_KEY);
    turned_away(&client.tenant("").build().unwrap()).await;
    assert_eq!(Ok(()), known(&server.client().build().unwrap()).await);
}

#[tokio::test]
async fn who_has_to_show_a_certificate_is_not_let_in_without() {
    let authority = Authority::new();
    let server = Secured::start(&authority, Asks::Certificate).await;
    let identity = Files::client_of(&authority);
    let client = server.client().identity_files(identity.certificate(), identity.key()).build().unwrap();
    assert_eq!(Ok(()), known(&client).await);

    let nobody = server.client().build().unwrap();
    turned_away(&nobody).await;
    let foreign = Files::client_of(&Authority::new());
    let foreign = server.client().identity_files(foreign.certificate(), foreign.key()).build().unwrap();
    turned_away(&foreign).await;
    assert_eq!(Ok(()), known(&client).await);
}

#[tokio::test]
async fn new_connections_see_a_new_certificate_and_old_ones_live_on() {
    let authority = Authority::new();
    let server = Secured::start(&authority, Asks::Nothing).await;
    let client = server.client().build().unwrap();
    assert_eq!(Ok(()), known(&client).await);
    let mut old = handshake(server.address, &[&TLS13], Some(&authority)).await.unwrap();
    health(&mut old).await;
    let old_stream = client.track().watch_usage(watched(&client).await).await.unwrap();
    let mut old_stream = old_stream.into_inner();
    assert!(old_stream.message().await.unwrap().is_some());

    let first = server.shown().await;
    let renewed = server.files.renew(&authority);
    assert_ne!(first, renewed);
    server.program.hang_up();
    server.shows(&renewed).await;
    assert!(health(&mut old).await.starts_with("HTTP/1.1 200 "));
    track(&client).await;
    assert!(old_stream.message().await.unwrap().is_some());

    // Without a signal the files are looked at too.
    let renewed = server.files.renew(&authority);
    server.shows(&renewed).await;
}

#[tokio::test]
async fn a_new_certificate_that_is_bad_is_told_once_and_not_used() {
    let authority = Authority::new();
    let server = Secured::start(&authority, Asks::Nothing).await;
    let first = server.shown().await;
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    server.files.write_key(&stranger);
    for _ in 0..5 {
        server.program.hang_up();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(first, server.shown().await);
    }
    let renewed = server.files.renew(&authority);
    server.program.hang_up();
    server.shows(&renewed).await;
    server.program.terminate();
    let ended = server.program.ended().await;
    let told = ended.stderr.lines().filter(|line| line.contains("does not belong")).count();
    assert_eq!(1, told, "{}", ended.stderr);
    let secret = stranger.lines().nth(1).unwrap();
    assert!(!ended.stderr.contains(secret), "the log has the key");
}

/// A tenant whose usage is watched.
async fn watched(operator: &Client) -> v1::WatchUsageRequest {
    let request = v1::CreateTenantRequest {
        tenant_id: "acme".into(),
        name: "Acme".into(),
        plan: "free".into(),
        ..Default::default()
    };
    operator.admin().create_tenant(request).await.unwrap();
    v1::WatchUsageRequest { tenant_id: "acme".into(), ..Default::default() }
}

async fn track(operator: &Client) {
    let event = v1::UsageEvent {
        id: "one".into(),
        service: "search".into(),
        endpoint: "/find".into(),
        ..Default::default()
    };
    let request = v1::TrackRequest { event: Some(event), tenant_id: "acme".into(), ..Default::default() };
    operator.track().track(request).await.unwrap();
}
