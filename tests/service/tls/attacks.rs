//! Handshakes that never end: they are cut, and hold up nobody.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::TLS13;
use tollgate::api::tls::Certificates;
use tollgate::config::{Config, TlsConfig};

use crate::port::Bare;
use crate::tls::authority::Authority;
use crate::tls::files::Files;
use crate::tls::{handshake, health};

/// The begin of a `ClientHello`, which says that more will come.
const HALF_A_HELLO: [u8; 8] = [0x16, 3, 1, 2, 0, 1, 0, 1];
const STALLED: usize = 300;

async fn serve(authority: &Authority, opening_seconds: u32) -> Bare {
    let files = Files::of(authority);
    let tls = TlsConfig {
        certificate_file: Some(files.certificate()),
        key_file: Some(files.key()),
        client_ca_file: None,
    };
    let mut config = Config::default();
    config.limits.opening_seconds = NonZeroU32::new(opening_seconds).unwrap();
    Bare::serve_with(config, Certificates::load(&tls).unwrap()).await
}

async fn stalled(address: SocketAddr) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for number in 0..STALLED {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&HALF_A_HELLO[..number % HALF_A_HELLO.len()]).await.unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn a_handshake_that_stalls_holds_up_nobody() {
    let authority = Authority::new();
    let bare = serve(&authority, 3_600).await;
    let _stalled = stalled(bare.address).await;
    let began = Instant::now();
    let mut stream = handshake(bare.address, &[&TLS13], Some(&authority)).await.unwrap();
    health(&mut stream).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut() {
    let authority = Authority::new();
    let bare = serve(&authority, 1).await;
    for mut stream in stalled(bare.address).await {
        let mut nothing = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut nothing)).await;
        ended.expect("the connection is closed").ok();
    }
}
