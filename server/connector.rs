//! Connections to others over HTTP: plain, or TLS with the roots that the system or a file trusts.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What is read and written, plain or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections to one place.
#[derive(Clone)]
pub struct Connector {
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

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// To the host of an `http` or `https` address. Whom it trusts is asked only where it speaks TLS.
    pub fn to<E: From<AddressError>>(
        address: &Uri,
        roots: impl FnOnce() -> Result<RootCertStore, E>,
    ) -> Result<Self, E> {
        let authority = address.authority().ok_or(AddressError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::Credentials.into());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (tls, port) = match address.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let name = ServerName::try_from(host.clone()).map_err(|_| AddressError::Malformed)?;
                (Some((TlsConnector::from(Arc::new(trusting(roots()?))), name)), 443)
            }
            _ => return Err(AddressError::Malformed.into()),
        };
        Ok(Self { host, port: authority.port_u16().unwrap_or(port), tls })
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether what is sent is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects.
    pub async fn connect(&self, alpn: Alpn) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some((tls, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let tls = tls.with_alpn(vec![alpn.name().to_vec()]);
        Ok(Box::new(tls.connect(name.clone(), stream).await?))
    }
}

/// What is spoken over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
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

/// Those whom the system trusts.
pub fn system_roots() -> Result<RootCertStore, AddressError> {
    let mut roots = RootCertStore::empty();
    // Some of the system's certificates may be broken; that is no reason to trust none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(AddressError::Untrusting) } else { Ok(roots) }
}

/// Those whom a file of certificates in PEM names, or what is wrong with it.
pub fn named_roots(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |error: &dyn Display| error.to_string();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(String::from("it has none")) } else { Ok(roots) }
}

/// A client that trusts those, and shows no certificate itself.
#[must_use]
pub fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("our provider has the suites of the usual versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
