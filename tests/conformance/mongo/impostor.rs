//! A server that says of itself what a test wants, and takes nobody's credentials.

use std::net::Ipv4Addr;

use mongodb::bson::doc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tollgate::tasks::Tasks;

const MESSAGE: i32 = 2013;
const REPLY: i32 = 1;

/// Starts one that speaks the protocol up to a version, and answers its port. It ends with its runtime.
pub(super) async fn start(wire_version: i32) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let tasks = Tasks::default();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(async move {
                // It ends when the client goes.
                drop(serve(client, wire_version).await);
            });
        }
    });
    port
}

async fn serve(mut client: TcpStream, wire_version: i32) -> std::io::Result<()> {
    loop {
        let length = client.read_i32_le().await?;
        let request = client.read_i32_le().await?;
        client.read_i32_le().await?;
        let kind = client.read_i32_le().await?;
        let mut body = vec![0; usize::try_from(length - 16).expect("a message has a length")];
        client.read_exact(&mut body).await?;
        let asks_to_come_in = body.windows(9).any(|part| part == b"saslStart");
        let refused = doc! {
            "ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed.",
        };
        let hello = doc! {
            "ok": 1.0, "isWritablePrimary": true, "ismaster": true, "helloOk": true,
            "minWireVersion": 0, "maxWireVersion": wire_version,
            "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
        };
        // Whoever has credentials may ask for both at once.
        let is_hello = body.windows(5).any(|part| part.eq_ignore_ascii_case(b"hello") || part == b"isMas");
        let answer = if asks_to_come_in && !is_hello { refused } else { hello };
        let answer = answer.to_vec().expect("a document");
        let (kind, before): (i32, &[u8]) = if kind == MESSAGE {
            (MESSAGE, &[0; 5])
        } else {
            // Flags, cursor, start, and one document.
            (REPLY, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
        };
        let length = i32::try_from(16 + before.len() + answer.len()).expect("a short answer");
        for number in [length, 0, request, kind] {
            client.write_i32_le(number).await?;
        }
        client.write_all(before).await?;
        client.write_all(&answer).await?;
    }
}
