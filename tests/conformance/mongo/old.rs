//! A server that speaks an older protocol than the driver: it answers everything with who it is.

use std::net::Ipv4Addr;

use mongodb::bson::doc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MESSAGE: i32 = 2013;
const REPLY: i32 = 1;

/// Answers the server's port. It ends with its runtime.
pub(super) async fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                // It ends when the client goes.
                drop(serve(client).await);
            });
        }
    });
    port
}

async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    loop {
        let length = client.read_i32_le().await?;
        let request = client.read_i32_le().await?;
        client.read_i32_le().await?;
        let kind = client.read_i32_le().await?;
        let mut body = vec![0; usize::try_from(length - 16).expect("a message has a length")];
        client.read_exact(&mut body).await?;
        let hello = doc! {
            "ok": 1.0, "isWritablePrimary": true, "ismaster": true, "helloOk": true,
            "minWireVersion": 0, "maxWireVersion": 6,
            "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
        };
        let hello = hello.to_vec().expect("a document");
        let (kind, before): (i32, &[u8]) = if kind == MESSAGE {
            (MESSAGE, &[0; 5])
        } else {
            // Flags, cursor, start, and one document.
            (REPLY, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
        };
        let length = i32::try_from(16 + before.len() + hello.len()).expect("a short answer");
        for number in [length, 0, request, kind] {
            client.write_i32_le(number).await?;
        }
        client.write_all(before).await?;
        client.write_all(&hello).await?;
    }
}
