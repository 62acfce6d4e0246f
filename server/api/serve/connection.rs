//! One connection: plain or under TLS, cut from outside where its client does not end it.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::api::serve::answer::Owed;
use crate::api::serve::body::Unread;
use crate::api::serve::places::Place;

/// As long as what every client of HTTP/2 begins with; no request of HTTP/1.1 is shorter.
const GREETING_BYTES: usize = 24;

/// What is known of a connection beside its bytes.
#[derive(Debug)]
pub(super) struct Life {
    /// It has said enough to show what it speaks.
    pub(super) greeted: CancellationToken,
    /// It is closed, from whichever side.
    pub(super) gone: CancellationToken,
    /// It is to be closed on the spot.
    pub(super) cut: CancellationToken,
}

impl Life {
    /// A life that ends at the latest when all are cut.
    pub(super) fn of(cut: &CancellationToken) -> Self {
        Self { greeted: CancellationToken::new(), gone: CancellationToken::new(), cut: cut.child_token() }
    }
}

/// What the calls of a connection share.
#[derive(Clone, Debug)]
pub(in crate::api) struct Link {
    pub(in crate::api) unread: Unread,
    pub(in crate::api) owed: Owed,
    /// Who is at the other end.
    pub(in crate::api) peer: IpAddr,
}

/// The bytes of a connection.
pub(super) struct Connection {
    stream: Stream,
    life: Arc<Life>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    heard: usize,
    link: Link,
    _place: Place,
}

/// What carries the bytes.
pub(super) enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(stream: Stream, life: Arc<Life>, link: Link, place: Place) -> Self {
        let cut = Box::pin(life.cut.clone().cancelled_owned());
        Self { stream, life, cut, heard: 0, link, _place: place }
    }

    /// An error where the connection is cut. Whoever asks is woken when it is.
    fn living(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn hear(&mut self, bytes: usize) {
        if self.heard < GREETING_BYTES {
            self.heard = self.heard.saturating_add(bytes);
            if self.heard >= GREETING_BYTES {
                self.life.greeted.cancel();
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.life.gone.cancel();
    }
}

impl Connected for Connection {
    type ConnectInfo = Link;

    fn connect_info(&self) -> Link {
        self.link.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.living(context)?;
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        })?;
        self.hear(buffer.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.living(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.living(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Secured(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.living(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.living(context)?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
