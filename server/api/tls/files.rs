//! The files of a certificate: whether they can be read, are what they should be, and fit together.

use std::error::Error as _;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tracing::warn;

use crate::api::tls::validity;
use crate::config::TlsConfig;
use crate::time::{Clock as _, SystemClock};

/// No file of certificates is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the file of a private key may not have: any right for everybody. A group may read it, as orchestrators mount it.
const EVERYBODY: u32 = 0o007;
/// What is spoken under TLS, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

const CERTIFICATE: &str = "tls.certificate_file";
const KEY: &str = "tls.key_file";
const CLIENT_CA: &str = "tls.client_ca_file";

/// Where a certificate is.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What the files hold. It is not shown: there is a key in it.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Files {
    /// Those that the settings name.
    pub(super) fn named(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        match (&config.certificate_file, &config.key_file) {
            (Some(certificate), Some(key)) => Ok(Some(Self {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: config.client_ca_file.clone(),
            })),
            (Some(_), None) => Err(TlsError::Missing { set: CERTIFICATE, unset: KEY }),
            (None, Some(_)) => Err(TlsError::Missing { set: KEY, unset: CERTIFICATE }),
            (None, None) if config.client_ca_file.is_some() => {
                Err(TlsError::Missing { set: CLIENT_CA, unset: CERTIFICATE })
            }
            (None, None) => Ok(None),
        }
    }

    /// Reads all of them.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(CERTIFICATE, &self.certificate)?,
            key: read_key(&self.key)?,
            client_ca: self.client_ca.as_deref().map(|path| read(CLIENT_CA, path)).transpose()?,
        })
    }

    /// What connections use, if all fit together.
    pub(super) fn check(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3");
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let roots = Arc::new(roots(path, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let unusable = |source| TlsError::RootsUnusable { path: path.clone(), source };
                builder.with_client_cert_verifier(verifier.map_err(unusable)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let chain = certificates(CERTIFICATE, &self.certificate, &contents.certificate)?;
        self.tell_validity(&chain);
        // The reader's own error may quote the file, which holds a key.
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| TlsError::NoKey { path: self.key.clone() })?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| self.unusable(error))?;
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    fn unusable(&self, error: rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::KeyOfAnother { key: self.key.clone(), certificate: self.certificate.clone() }
            }
            source => {
                TlsError::Unusable { certificate: self.certificate.clone(), key: self.key.clone(), source }
            }
        }
    }

    /// An expired certificate is used all the same: some clients do not look, and none gets more from a closed port.
    fn tell_validity(&self, chain: &[CertificateDer<'_>]) {
        let Some(until) = chain.first().and_then(|leaf| validity::not_after(leaf)) else { return };
        if until < SystemClock.now() {
            let path = self.certificate.display();
            warn!("the certificate in `{path}` expired at {until}; clients will refuse it");
        }
    }
}

impl Contents {
    /// Is the same for the same files.
    pub(super) fn digest(&self) -> [u8; 32] {
        Self::digest_of(&[&self.certificate, &self.key, self.client_ca.as_deref().unwrap_or_default()])
    }

    pub(super) fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// Why a certificate cannot be used. No variant says a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One setting makes no sense without the other.
    #[error("`{set}` is set and `{unset}` is not: TLS takes both")]
    Missing {
        /// The one.
        set: &'static str,
        /// The other.
        unset: &'static str,
    },
    /// A file is missing, too large, or may not be read.
    #[error("the file `{}` of `{setting}` cannot be read", path.display())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file has no certificate in it, or a broken one.
    #[error("the file `{}` of `{setting}` holds no certificate in PEM", path.display())]
    NoCertificate {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key in it, or a broken one.
    #[error("the file `{}` of `tls.key_file` holds no private key in PEM", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Everybody on the machine can take the key.
    #[error("the private key in `{}` (`tls.key_file`) can be read by everybody (mode {mode:04o}): make a new one, or run chmod 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key in `{}` (`tls.key_file`) does not belong to the certificate in `{}` (`tls.certificate_file`)",
        key.display(), certificate.display()
    )]
    KeyOfAnother {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The certificate or its key is of a kind that is not spoken here.
    #[error(
        "the certificate in `{}` (`tls.certificate_file`) and the key in `{}` (`tls.key_file`) cannot be used",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// A root of clients is none.
    #[error("the file `{}` of `tls.client_ca_file` holds a certificate that is no root", path.display())]
    RootMalformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Clients cannot be judged by these roots.
    #[error("the roots in `{}` of `tls.client_ca_file` cannot be used", path.display())]
    RootsUnusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: VerifierBuilderError,
    },
}

/// An error with all that caused it.
pub(super) fn chain(error: &TlsError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut content)?;
        if u64::try_from(content.len()).is_ok_and(|length| length < FILE_BYTES_MAX) {
            return Ok(content);
        }
        Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")))
    };
    read().map_err(|source| TlsError::Unreadable { setting, path: path.to_owned(), source })
}

fn read_key(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { setting: KEY, path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & EVERYBODY != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    read(KEY, path)
}

fn certificates(
    setting: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate { setting, path: path.to_owned() }),
    }
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, path, pem)? {
        let added = roots.add(certificate);
        added.map_err(|source| TlsError::RootMalformed { path: path.to_owned(), source })?;
    }
    Ok(roots)
}
