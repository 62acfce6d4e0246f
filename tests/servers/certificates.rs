//! An authority made for one test, and the certificates of servers and clients that it signs.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs certificates into a directory.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How a server under test speaks TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that clients must show a certificate of. `None`: they are asked for none.
    pub clients: Option<PathBuf>,
}

impl Authority {
    /// A new authority, which leaves its certificate as `NAME.pem` in the directory.
    ///
    /// # Panics
    /// The directory takes no files.
    pub fn new(directory: &Path, name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a new key");
        let certificate = directory.join(format!("{name}.pem"));
        write(&certificate, &params.self_signed(&key).expect("an authority signs itself").pem());
        Self { directory: directory.to_owned(), certificate, issuer: Issuer::new(params, key) }
    }

    /// The file that those trust who trust this authority.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// A server of 127.0.0.1 and `localhost`, as `NAME.pem` and `NAME.key`. The same name again gives new ones.
    ///
    /// # Panics
    /// The directory takes no files.
    pub fn server(&self, name: &str) -> Pair {
        self.sign(name, &["127.0.0.1", "localhost"], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client that is called `name`, as `NAME.pem` and `NAME.key`.
    ///
    /// # Panics
    /// The directory takes no files.
    pub fn client(&self, name: &str) -> Pair {
        self.sign(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, hosts: &[&str], purpose: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = params(name, hosts);
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a new key");
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority signs");
        let file = |ending: &str| self.directory.join(format!("{name}.{ending}"));
        let pair = Pair { certificate: file("pem"), key: file("key") };
        write(&pair.certificate, &certificate.pem());
        write(&pair.key, &key.serialize_pem());
        pair
    }
}

impl Pair {
    /// A server with this certificate that asks clients for none.
    pub fn alone(&self) -> Tls {
        Tls { certificate: self.certificate.clone(), key: self.key.clone(), clients: None }
    }

    /// A server with this certificate that asks clients for one of `authority`.
    pub fn asking(&self, authority: &Authority) -> Tls {
        Tls { clients: Some(authority.certificate.clone()), ..self.alone() }
    }
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("the names of this machine are names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{} is written: {error}", path.display()));
}
