//! TLS: by which roots a server is judged, and what the client shows of itself.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::builder::{BuildError, environment};

const CA_FILE: &str = "TOLLGATE_CA_FILE";
const CERTIFICATE_FILE: &str = "TOLLGATE_CERTIFICATE_FILE";
const KEY_FILE: &str = "TOLLGATE_KEY_FILE";

/// The files of TLS, in PEM. What is not said is taken from the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) certificate_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn config(self) -> Result<ClientTlsConfig, BuildError> {
        let file =
            |said: Option<PathBuf>, variable| said.or_else(|| environment(variable).map(PathBuf::from));
        let config = match file(self.ca_file, CA_FILE) {
            Some(roots) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(CA_FILE, &roots)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match (file(self.certificate_file, CERTIFICATE_FILE), file(self.key_file, KEY_FILE)) {
            (Some(certificate), Some(key)) => {
                let certificate = read(CERTIFICATE_FILE, &certificate)?;
                Ok(config.identity(Identity::from_pem(certificate, read(KEY_FILE, &key)?)))
            }
            (Some(_), None) => Err(BuildError::IdentityIncomplete { set: CERTIFICATE_FILE, unset: KEY_FILE }),
            (None, Some(_)) => Err(BuildError::IdentityIncomplete { set: KEY_FILE, unset: CERTIFICATE_FILE }),
            (None, None) => Ok(config),
        }
    }
}

fn read(variable: &'static str, path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::Unreadable { variable, path: path.to_owned(), source })
}
