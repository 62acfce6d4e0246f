//! What a call sends. What it still sends when it is answered is read to its end, for a while.
//!
//! A call that is refused unread leaves its message on the way. HTTP/2 would reset the stream, forget it, and take what
//! arrives then for a mistake of the client: after `limits.local_error_resets` of those it would end the connection, and
//! with it the calls of everybody who shares it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use futures_util::StreamExt as _;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;

use crate::api::serve::received::{Partial, Received};
use crate::api::status::from_fault;

/// Messages of one connection that are read out at once; further ones are reset.
const UNREAD_MAX: usize = 128;
/// How long a message may still take to come.
const UNREAD_PATIENCE: Duration = Duration::from_secs(5);
/// How much of it is read.
const UNREAD_BYTES_MAX: u64 = 4 << 20;

/// Takes what was left unread on one connection.
#[derive(Clone, Debug)]
pub(in crate::api) struct Unread(mpsc::Sender<Body>);

/// What was left unread on one connection.
#[derive(Debug)]
pub(super) struct Remains(mpsc::Receiver<Body>);

/// The body of a request, which is not lost where its call does not read it.
#[derive(Debug)]
pub(in crate::api) struct Read {
    /// `None` when nothing more comes.
    body: Option<Body>,
    partial: Option<Partial>,
    unread: Option<Unread>,
}

pub(super) fn unread() -> (Unread, Remains) {
    let (sender, receiver) = mpsc::channel(UNREAD_MAX);
    (Unread(sender), Remains(receiver))
}

impl Remains {
    /// Reads what is left, until the connection is gone.
    pub(super) async fn read(self) {
        ReceiverStream::new(self.0).for_each_concurrent(UNREAD_MAX, read_out).await;
    }
}

impl Read {
    /// `received` counts what is not whole of messages of gRPC; `unread` is of the connection, where it speaks HTTP/2.
    pub(in crate::api) fn new(body: Body, received: Option<&Received>, unread: Option<Unread>) -> Self {
        Self { body: Some(body), partial: received.map(Received::begin), unread }
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Some(unread)) = (rest, &self.unread) {
            // Where there is no room, the stream is reset and counted.
            unread.0.try_send(rest).ok();
        }
    }
}

impl HttpBody for Read {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => {
                this.body = None;
                return Poll::Ready(end);
            }
        };
        if let (Some(part), Some(partial)) = (frame.data_ref(), &mut this.partial) {
            partial.take(part).map_err(|error| from_fault(&error))?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

async fn read_out(mut body: Body) {
    let reading = async {
        let mut bytes = 0_u64;
        while bytes <= UNREAD_BYTES_MAX {
            match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    bytes = bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                }
                _ => return,
            }
        }
    };
    // Who is later than that is reset.
    tokio::time::timeout(UNREAD_PATIENCE, reading).await.ok();
}
