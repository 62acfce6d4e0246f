//! Certificates in files, and the files that a server refuses to start with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use crate::program::{Program, free_address, listening, tollgate};
use crate::starts::refused;
use crate::tls::authority::{Authority, Pair};

const CERTIFICATE: &str = "TOLLGATE_TLS_CERTIFICATE_FILE";
const KEY: &str = "TOLLGATE_TLS_KEY_FILE";
const CLIENT_CA: &str = "TOLLGATE_TLS_CLIENT_CA_FILE";

/// A certificate, its key and the root of both, in a directory of their own.
pub(crate) struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    /// Those of a server.
    pub(crate) fn of(authority: &Authority) -> Self {
        Self::with(authority, &authority.server())
    }

    /// Those of a client.
    pub(crate) fn client_of(authority: &Authority) -> Self {
        Self::with(authority, &authority.client())
    }

    fn with(authority: &Authority, pair: &Pair) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(files.ca(), &authority.root_pem).unwrap();
        files.write(pair);
        files
    }

    fn write(&self, pair: &Pair) {
        fs::write(self.certificate(), &pair.certificate).unwrap();
        self.write_key(&pair.key);
    }

    pub(crate) fn write_key(&self, key: &str) {
        fs::write(self.key(), key).unwrap();
        self.set_key_mode(0o600);
    }

    fn set_key_mode(&self, mode: u32) {
        fs::set_permissions(self.key(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Puts a new certificate in the place of the old one; as it is sent.
    pub(crate) fn renew(&self, authority: &Authority) -> Vec<u8> {
        let pair = authority.server();
        self.write(&pair);
        pair.der
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// The settings of a server that uses them.
    pub(crate) fn settings(&self) -> [(&'static str, PathBuf); 2] {
        [(CERTIFICATE, self.certificate()), (KEY, self.key())]
    }
}

/// Starts with these settings, and expects an end that says these words.
async fn cannot_start(settings: &[(&str, &Path)], expected: &[&str]) {
    let data = tempfile::tempdir().unwrap();
    let mut command = tollgate(&["--listen", "127.0.0.1:0"], data.path());
    command.envs(settings.iter().copied());
    refused(command, expected).await;
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_at_the_start() {
    let authority = Authority::new();
    let files = Files::of(&authority);
    let (certificate, key, ca) = (&*files.certificate(), &*files.key(), &*files.ca());
    let nowhere = Path::new("/nowhere/key.pem");
    cannot_start(&[(CERTIFICATE, certificate)], &["tls.certificate_file", "tls.key_file", "is not"]).await;
    cannot_start(&[(KEY, key)], &["tls.key_file", "tls.certificate_file", "is not"]).await;
    cannot_start(&[(CLIENT_CA, ca)], &["tls.client_ca_file", "tls.certificate_file"]).await;
    cannot_start(&[(CERTIFICATE, certificate), (KEY, nowhere)], &["/nowhere/key.pem", "tls.key_file"]).await;
    // The one in the place of the other.
    cannot_start(&[(CERTIFICATE, key), (KEY, key)], &["tls.certificate_file", "no certificate"]).await;
    let copy = files.directory.path().join("copy.pem");
    fs::copy(certificate, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    cannot_start(&[(CERTIFICATE, certificate), (KEY, &copy)], &["tls.key_file", "no private key"]).await;
    let settings = [(CERTIFICATE, certificate), (KEY, key), (CLIENT_CA, key)];
    cannot_start(&settings, &["tls.client_ca_file", "no certificate"]).await;
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_refused() {
    let files = Files::of(&Authority::new());
    let (certificate, key) = (&*files.certificate(), &*files.key());
    for mode in [0o644, 0o604, 0o602, 0o666] {
        files.set_key_mode(mode);
        let said = format!("mode {mode:04o}");
        cannot_start(&[(CERTIFICATE, certificate), (KEY, key)], &["tls.key_file", &said, "chmod 600"]).await;
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_and_not_said() {
    let authority = Authority::new();
    let files = Files::of(&authority);
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    let own = fs::read_to_string(files.key()).unwrap();
    let (head, tail) = own.split_at(own.len() / 2);
    for (key, expected) in [
        (stranger, "does not belong"),
        (format!("{head}!{tail}"), "no private key"),
        (head.to_owned(), "no private key"),
    ] {
        files.write_key(&key);
        let data = tempfile::tempdir().unwrap();
        let mut command = tollgate(&["--listen", "127.0.0.1:0"], data.path());
        command.envs(files.settings());
        let ended = Program::spawn(command).ended().await;
        assert_eq!(Some(1), ended.status.code(), "{ended:?}");
        assert!(ended.stderr.contains(expected) && ended.stderr.contains("key.pem"), "{ended:?}");
        let secret = key.lines().nth(1).unwrap();
        assert!(!format!("{ended:?}").contains(secret.get(..20).expect("a long secret")), "the key is said");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_told_and_used() {
    let authority = Authority::new();
    let files = Files::with(&authority, &authority.expired());
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.envs(files.settings());
    let program = Program::spawn(command);
    listening(address).await;
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("expired at 2021-01-01"), "{ended:?}");
}
