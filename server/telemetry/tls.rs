//! Connections to those who listen to the server: plain, or TLS with the roots that the system trusts.

use std::io;
use std::sync::Arc;

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// What is read and written, plain or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections to one place.
#[derive(Clone)]
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// An address to which no connection can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is something else.
    #[error("it is no `http://host:port` or `https://host:port`")]
    Malformed,
    /// It says who asks. Such an address ends in many logs.
    #[error("it has a user or a password in it")]
    Credentials,
    /// The system trusts nobody.
    #[error("no certificate of the system's trust store can be read")]
    Untrusting,
}

impl Connector {
    /// To the host of an `http` or `https` address.
    pub(super) fn to(address: &Uri) -> Result<Self, AddressError> {
        let authority = address.authority().ok_or(AddressError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::Credentials);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (tls, port) = match address.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let name = ServerName::try_from(host.clone()).map_err(|_| AddressError::Malformed)?;
                (Some((trusting_the_system()?, name)), 443)
            }
            _ => return Err(AddressError::Malformed),
        };
        Ok(Self { host, port: authority.port_u16().unwrap_or(port), tls })
    }

    /// Connects.
    pub(super) async fn connect(&self, alpn: Alpn) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some((tls, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let tls = tls.with_alpn(vec![alpn.name().to_vec()]);
        Ok(Box::new(tls.connect(name.clone(), stream).await?))
    }
}

/// What is spoken over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Alpn {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

fn trusting_the_system() -> Result<TlsConnector, AddressError> {
    let mut roots = RootCertStore::empty();
    // Some of the system's certificates may be broken; that is no reason to trust none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(AddressError::Untrusting);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| AddressError::Untrusting)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
