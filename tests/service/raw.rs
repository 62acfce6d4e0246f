//! gRPC and HTTP by hand, for what no well-behaved client sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a server answered to a call over gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// That of its `ErrorInfo`; empty where it has none.
    pub(crate) reason: String,
}

/// The longest that any call may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A connection that speaks HTTP/2 and knows nothing of messages.
#[derive(Clone)]
pub(crate) struct Raw {
    client: h2::client::SendRequest<Bytes>,
    address: SocketAddr,
    key: String,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // Headers and message are written apart: without this the second waits for the first's acknowledgement.
        stream.set_nodelay(true).unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn(async move { drop(connection.await) });
        Self { client, address, key: key.to_owned() }
    }

    /// Sends one message to `path`, such as `/tollgate.v1.TrackService/Track`.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Answer {
        self.call_with(path, &framed(0, message), &[]).await
    }

    /// Sends these bytes as the body, with further headers.
    pub(crate) async fn call_with(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let answer = tokio::time::timeout(PATIENCE, self.exchange(path, body, headers)).await;
        answer.unwrap_or_else(|_| panic!("no answer to {path} {body:02x?}"))
    }

    async fn exchange(&self, path: &str, body: &[u8], headers: &[(&'static str, &str)]) -> Answer {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-api-key", &self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut client = self.client.clone().ready().await.unwrap();
        let (answer, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
        send(&mut stream, body).await;
        let answer = answer.await.unwrap();
        if answer.headers().contains_key("grpc-status") {
            return Answer::of(answer.headers());
        }
        let mut body = answer.into_body();
        while let Some(part) = body.data().await {
            let part = part.unwrap();
            body.flow_control().release_capacity(part.len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap().expect("a status at the end");
        Answer::of(&trailers)
    }
}

impl Answer {
    fn of(headers: &http::HeaderMap) -> Self {
        let status = Status::from_header_map(headers).expect("a status");
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        let message = headers.get("grpc-message").map(|text| text.to_str().unwrap().to_owned());
        Self { code: status.code(), message: message.unwrap_or_default(), reason: reason.unwrap_or_default() }
    }
}

/// As much as the server takes: it may answer before it has read everything.
async fn send(stream: &mut h2::SendStream<Bytes>, mut body: &[u8]) {
    loop {
        stream.reserve_capacity(body.len().clamp(1, 16 << 10));
        let room = if body.is_empty() {
            0
        } else {
            match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                Some(Ok(room)) => room.min(body.len()),
                _ => return,
            }
        };
        let (part, rest) = body.split_at(room);
        if stream.send_data(Bytes::copy_from_slice(part), rest.is_empty()).is_err() || rest.is_empty() {
            return;
        }
        body = rest;
    }
}

/// A message as gRPC frames it. `flag` 1 says that it is compressed.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

/// What a server answered over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// `GET` of that path, without a credential.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Page {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    page(&exchange(address, request.as_bytes()).await)
}

/// `POST /api/track` with these headers and this body.
pub(crate) async fn post_track(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> Page {
    let mut request = format!(
        "POST /api/track HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    page(&exchange(address, request.as_bytes()).await)
}

/// Sends these bytes on a connection of their own, and reads until the server closes it.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    // The server may answer, and hang up, before it has read everything.
    let (_, read) = tokio::join!(writer.write_all(request), reader.read_to_end(&mut answer));
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

fn page(answer: &str) -> Page {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Page {
        status: status.unwrap_or_else(|| panic!("no status: {answer}")),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        body: body.to_owned(),
    }
}
