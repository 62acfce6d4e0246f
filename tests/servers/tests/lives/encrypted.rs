//! Each server speaks TLS: to those who trust its authority and, where it asks, who show a certificate.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use test_servers::certificates::{Authority, Pair, Tls};
use test_servers::{FerretDb, Mosquitto, MosquittoConfig, Redis};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(10);
/// A client of MQTT 3.1.1 that is called `test`.
const CONNECT: &[u8] = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test";

#[test]
fn redis() {
    check(
        |tls| {
            let redis = Redis::start_with_tls(tls, &[])?;
            let port = redis.url().strip_prefix("rediss://127.0.0.1:")?.parse().unwrap();
            Some((redis, port))
        },
        b"PING\r\n",
    );
}

#[test]
fn mosquitto() {
    check(
        |tls| {
            let config = MosquittoConfig { tls: Some(tls.clone()), ..MosquittoConfig::default() };
            let broker = Mosquitto::start(&config)?;
            let port = broker.port();
            Some((broker, port))
        },
        CONNECT,
    );
}

#[test]
fn ferretdb() {
    let body = mongodb::bson::serialize_to_vec(&doc! { "hello": 1, "$db": "admin" }).unwrap();
    let length = i32::try_from(16 + 5 + body.len()).unwrap();
    let mut hello = [length, 1, 0, 2013, 0].map(i32::to_le_bytes).concat();
    hello.push(0);
    hello.extend(body);
    check(
        |tls| {
            let ferretdb = FerretDb::start_with_tls(tls)?;
            let port = ferretdb.port();
            Some((ferretdb, port))
        },
        &hello,
    );
}

/// `request` is one that the server replies to.
fn check<S>(start: impl Fn(&Tls) -> Option<(S, u16)>, request: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "authority");
    let stranger = Authority::new(directory.path(), "stranger");
    let (server, client) = (authority.server("server"), authority.client("client"));
    let strange = stranger.client("strange");

    let Some((_open, port)) = start(&server.alone()) else { return };
    ask(port, authority.certificate(), None, request).unwrap();
    assert!(ask(port, stranger.certificate(), None, request).is_err(), "a strange server was trusted");

    let (_closed, port) = start(&server.asking(&authority)).unwrap();
    ask(port, authority.certificate(), Some(&client), request).unwrap();
    assert!(ask(port, authority.certificate(), None, request).is_err(), "nobody was let in");
    assert!(ask(port, authority.certificate(), Some(&strange), request).is_err(), "a stranger was let in");
}

/// The reply's first byte.
fn ask(port: u16, trusted: &Path, own: Option<&Pair>, request: &[u8]) -> std::io::Result<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
            let certificate = CertificateDer::from_pem_file(&pair.certificate).unwrap();
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(request)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first[0])
}
