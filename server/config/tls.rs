//! `[tls]`: how the port proves who it is, and whom it lets in.

use std::path::PathBuf;

use serde::Deserialize;

/// How the port proves who it is, and whom it lets in. Without a certificate it speaks plain text.
///
/// The files are read again while the server runs, so that a certificate can be renewed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate of the server and those between it and a root, in PEM.
    pub certificate_file: Option<PathBuf>,
    /// The private key of the certificate, in PEM. One that everybody on the machine can read is refused.
    pub key_file: Option<PathBuf>,
    /// The roots of the certificates that every client has to show, in PEM. Unset: clients show none.
    pub client_ca_file: Option<PathBuf>,
}
