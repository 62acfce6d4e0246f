//! The contract of `Mailer`: against a real mail server, files, and servers that lie.

mod hostile;
mod taken;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use secrecy::SecretString;
use test_servers::certificates::Authority;
use test_servers::{Smtp as Server, SmtpConfig, SmtpTls};
use tollgate::adapters::smtp::{Encryption, Relay, Smtp};
use tollgate::mail::address::Address;
use tollgate::mail::mailer::Message;
use tollgate::secrets::current::{Current, Login};
use tollgate::time::Timestamp;

/// Longer than in service: a busy machine is no fault here.
const PATIENCE: Duration = Duration::from_secs(20);
const USERNAME: &str = "tollgate";
const PASSWORD: &str = "password-of-the-server";

/// Who signs the certificates of mail servers.
static AUTHORITY: LazyLock<(tempfile::TempDir, Authority)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new(directory.path(), "mail-authority");
    (directory, authority)
});

fn ca_file() -> PathBuf {
    AUTHORITY.1.certificate().to_owned()
}

/// A mail server that is spoken to like that, and asks for our name and password where that is in secret.
fn server(encryption: Encryption) -> Option<Server> {
    let pair = || AUTHORITY.1.server(&format!("mail-{:016x}", rand::random::<u64>()));
    let tls = match encryption {
        Encryption::Tls => Some(SmtpTls::Implicit(pair())),
        Encryption::StartTls => Some(SmtpTls::Started(pair())),
        Encryption::None => None,
    };
    let login = tls.is_some().then(|| (USERNAME.to_owned(), PASSWORD.to_owned()));
    Server::start(&SmtpConfig { login, tls })
}

/// How that server is reached.
fn relay(port: u16, encryption: Encryption) -> Relay {
    let login = || Login { username: USERNAME.to_owned(), password: SecretString::from(PASSWORD) };
    let login = (encryption != Encryption::None).then(|| Current::new(login()));
    Relay {
        host: String::from("localhost"),
        port,
        encryption,
        login,
        from: Address::parse("no-reply@example.org").expect("an address"),
        ca_file: (encryption != Encryption::None).then(ca_file),
        timeout: PATIENCE,
    }
}

fn mailer(relay: Relay) -> Smtp {
    Smtp::new(relay).expect("settings that can be")
}

/// A letter with a secret in it.
fn message(to: &str) -> Message {
    Message {
        id: String::from("0123456789abcdef"),
        to: Address::parse(to).expect("an address"),
        subject: "Choose a new password",
        text: String::from("Hello Åsa,\n\n.\nRSET\nthe code is c0de-of-the-letter\n"),
        html: String::from("<p>Hello Åsa &amp; all</p>\n.\n<p>c0de-of-the-letter</p>\n"),
        written_at: Timestamp::from_micros(1_795_588_200_000_000),
    }
}
