//! Calls of methods by their paths, with messages as bytes.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::contract::Method;

/// The longest that any call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server.
#[derive(Clone, Debug)]
pub(super) struct Wire(Channel);

impl Wire {
    pub(super) async fn to(address: SocketAddr) -> Self {
        Self(Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
    }

    /// Calls a method; an empty credential is none. Of an answer that goes on, the first message.
    pub(super) async fn call(
        &self,
        method: &Method,
        credential: &str,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        let mut request = Request::new(message);
        if !credential.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse().unwrap());
        }
        let answered = tokio::time::timeout(PATIENCE, self.exchange(method, request)).await;
        answered.unwrap_or_else(|_| panic!("no answer of {}", method.path))
    }

    async fn exchange(&self, method: &Method, request: Request<Vec<u8>>) -> Result<Vec<u8>, Status> {
        let mut client = tonic::client::Grpc::new(self.0.clone());
        client.ready().await.unwrap();
        let path: PathAndQuery = method.path.parse().unwrap();
        let mut answers = client.server_streaming(request, path, Bytes).await?.into_inner();
        let first = answers.message().await?.unwrap_or_default();
        if !method.streams {
            assert!(answers.message().await?.is_none(), "{} answers once", method.path);
        }
        Ok(first)
    }
}

/// Messages as they are.
#[derive(Clone, Copy, Debug)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
