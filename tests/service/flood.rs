//! Clients that break the rules of HTTP/2: each is cut off, and the others do not notice.

use std::net::SocketAddr;

use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate::config::Config;
use tonic::service::Routes;

use crate::attacks::frames;
use crate::port::{Bare, says};

type Client = h2::client::SendRequest<axum::body::Bytes>;

/// A connection that is driven apart, and what became of it.
async fn connect(address: SocketAddr) -> (Client, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    (client.ready().await.unwrap(), tokio::task::spawn(connection))
}

fn call(address: SocketAddr) -> Request<()> {
    let uri = format!("http://{address}/tollgate.v1.TrackService/Track");
    Request::post(uri).header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

async fn open() -> Bare {
    let bare = Bare::serve(Config::default()).await;
    bare.front.open(Routes::default(), axum::Router::new()).await;
    bare
}

#[tokio::test]
async fn what_a_connection_may_do_is_announced() {
    let bare = open().await;
    let (mut client, _connection) = connect(bare.address).await;
    let (answer, _) = client.send_request(call(bare.address), true).unwrap();
    answer.await.unwrap();
    assert_eq!(128, client.current_max_send_streams());
}

/// Opens that many streams, each followed at once by a frame that ends it, and reads until the server closes.
async fn flood(address: SocketAddr, streams: u32, end: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    for number in 0..streams {
        let id = 2 * number + 1;
        sent.extend(frame(HEADERS, END_HEADERS, id, &POST));
        sent.extend(end(id));
    }
    let (mut reader, mut writer) = stream.split();
    let write = async {
        // The server may hang up in the middle of it.
        drop(writer.write_all(&sent).await);
        drop(writer.shutdown().await);
    };
    let mut received = Vec::new();
    tokio::join!(write, async { drop(reader.read_to_end(&mut received).await) });
    goodbye(&received)
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const END_STREAM: u8 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;
/// `POST http /`, by the static table of HPACK.
pub(crate) const POST: [u8; 3] = [0x83, 0x86, 0x84];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The error code of the first GOAWAY that has one.
fn goodbye(mut received: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = received {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        let payload = rest.get(..length)?;
        if let (&GO_AWAY, [_, _, _, _, code @ ..]) = (kind, payload) {
            let code = u32::from_be_bytes(code.get(..4)?.try_into().unwrap());
            if code != 0 {
                return Some(code);
            }
        }
        received = rest.get(length..)?;
    }
    None
}

#[tokio::test]
async fn a_client_that_resets_what_it_opens_is_cut_off() {
    let bare = open().await;
    let reset = |id| frame(RESET, 0, id, &8_u32.to_be_bytes());
    assert_eq!(Some(ENHANCE_YOUR_CALM), flood(bare.address, 5_000, reset).await);
    assert_eq!(None, flood(bare.address, 10, reset).await);
    says(&bare.get("/healthz").await, 200, "ok");
}

#[tokio::test]
async fn a_client_that_makes_the_server_reset_is_cut_off() {
    let bare = open().await;
    let overflow = |id| frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes());
    assert_eq!(Some(ENHANCE_YOUR_CALM), flood(bare.address, 5_000, overflow).await);
    assert_eq!(None, flood(bare.address, 10, overflow).await);
    says(&bare.get("/healthz").await, 200, "ok");
}

#[tokio::test]
async fn headers_that_are_too_large_are_not_taken() {
    let bare = open().await;
    let (mut client, _connection) = connect(bare.address).await;
    let mut request = call(bare.address);
    request.headers_mut().insert("x-api-key", "k".repeat(9_000).parse().unwrap());
    let (answer, _) = client.send_request(request, true).unwrap();
    match answer.await {
        Ok(answer) => assert_eq!(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, answer.status()),
        Err(error) => assert!(error.is_reset() || error.is_go_away() || error.is_io(), "{error}"),
    }
    says(&bare.get("/healthz").await, 200, "ok");
}

/// Reads frames until `done` with one; its kind, flags and stream.
async fn read_until(stream: &mut TcpStream, mut done: impl FnMut(u8, u8, u32) -> bool) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        assert_ne!(GO_AWAY, kind, "{payload:?}");
        if done(kind, flags, u32::from_be_bytes(id)) {
            return;
        }
    }
}

/// The headers of a call to a method that there is not.
fn call_of(id: u32) -> Vec<u8> {
    frames::call(id, "/tollgate.v1.NoService/Call", "key", "identity")
}

/// What a call still sends when it is refused comes late: for HTTP/2 that is a mistake on a stream that is closed.
#[tokio::test]
async fn a_client_of_many_refused_calls_is_not_cut_off() {
    const ROUNDS: u32 = 30;
    const CALLS: u32 = 100;
    let bare = open().await;
    let mut stream = TcpStream::connect(bare.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    for round in 0..ROUNDS {
        let ids: Vec<_> = (0..CALLS).map(|call| 2 * (round * CALLS + call) + 1).collect();
        let headers: Vec<u8> = ids.iter().flat_map(|id| call_of(*id)).collect();
        stream.write_all(&headers).await.unwrap();
        let mut answers = 0;
        let all = |kind, flags, _| {
            answers += u32::from(kind <= HEADERS && flags & END_STREAM != 0);
            answers == CALLS
        };
        read_until(&mut stream, all).await;
        let message: Vec<u8> = ids.iter().flat_map(|id| frame(DATA, END_STREAM, *id, b"late")).collect();
        stream.write_all(&message).await.unwrap();
    }
    stream.write_all(&frame(PING, 0, 0, b"are you?")).await.unwrap();
    read_until(&mut stream, |kind, flags, _| kind == PING && flags == 1).await;
}
