//! The port `Mailer` on SMTP: one connection a letter, encrypted unless the settings say otherwise.
//!
//! The steps are taken one by one, because what a server refuses at each of them means something else: before it knows for
//! whom a letter is, its refusal is about us, and all letters wait; after that, it is about this letter.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;

use crate::adapters::mime::{self, Formatted};
use crate::adapters::smtp::sober::Sober;
use crate::mail::address::Address;
use crate::mail::mailer::{Mailer, MailerError, Message};
use crate::secrets::current::{Current, Login};

mod sober;

/// How long a farewell may take: the letter is handed over already.
const FAREWELL: Duration = Duration::from_secs(2);
/// How a name and a password are told, the first that the server knows.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// A mail server, and who we are there.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to in secret.
    pub encryption: Encryption,
    /// Our name and our password there, asked for at each letter. They are told in secret only.
    pub login: Option<Current<Login>>,
    /// The address that letters come from.
    pub from: Address,
    /// A file with the certificates that its own is signed with, in PEM; `None`: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a letter may take.
    pub timeout: Duration,
}

/// How a mail server is spoken to in secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the first byte.
    Tls,
    /// TLS after the greetings. A server that does not offer it is told nothing more.
    StartTls,
    /// Not at all.
    None,
}

/// The mail server cannot be used as it is configured. That it is away is no error.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The certificates cannot be read.
    #[error("the certificates of `mail.ca_file`, `{}`, cannot be read: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// TLS cannot be spoken.
    #[error("TLS with the mail server of `mail.url` cannot be spoken: {0}")]
    Tls(String),
    /// Everybody on the way would read the password.
    #[error("`mail.username` is set, and `mail.starttls` is off: the password would be sent in the clear")]
    PasswordInTheClear,
}

/// A mail server over SMTP.
pub struct Smtp {
    relay: Relay,
    tls: TlsParameters,
    hello: ClientId,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("relay", &self.relay).finish_non_exhaustive()
    }
}

impl Smtp {
    /// A mailer at that server, which is not spoken to yet.
    pub fn new(relay: Relay) -> Result<Self, SmtpError> {
        if relay.login.is_some() && relay.encryption == Encryption::None {
            return Err(SmtpError::PasswordInTheClear);
        }
        Ok(Self { tls: trust(&relay)?, hello: ClientId::default(), relay })
    }

    async fn deliver(&self, letter: &Formatted) -> Result<AsyncSmtpConnection, MailerError> {
        let mut connection = self.connect().await?;
        hand_over(&mut connection, &letter.envelope, &letter.bytes).await?;
        Ok(connection)
    }

    /// A connection that is as secret as it was to be, on which we are known.
    async fn connect(&self) -> Result<AsyncSmtpConnection, MailerError> {
        let (server, hello) = ((self.relay.host.as_str(), self.relay.port), &self.hello);
        let mut connection = if self.relay.encryption == Encryption::Tls {
            let tls = Some(self.tls.clone());
            AsyncSmtpConnection::connect_tokio1(server, Some(self.relay.timeout), hello, tls, None).await
        } else {
            let stream = TcpStream::connect(server).await;
            let stream = stream.map_err(|error| MailerError::away(format!("no connection: {error}")))?;
            AsyncSmtpConnection::connect_with_transport(Box::new(Sober(stream)), hello).await
        }
        .map_err(|error| away("the greeting", &error))?;
        if self.relay.encryption == Encryption::StartTls {
            let started = connection.starttls(self.tls.clone(), hello).await;
            started.map_err(|error| away("STARTTLS", &error))?;
        }
        if let Some(Login { username, password }) = self.relay.login.as_ref().map(Current::get) {
            let credentials = Credentials::new(username, password.expose_secret().to_owned());
            let known = connection.auth(&MECHANISMS, &credentials).await;
            known.map_err(|error| away("`mail.username` and `mail.password`", &error))?;
        }
        Ok(connection)
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, message: &Message) -> Result<(), MailerError> {
        let letter = mime::format(message, &self.relay.from)?;
        let Ok(delivered) = tokio::time::timeout(self.relay.timeout, self.deliver(&letter)).await else {
            return Err(MailerError::away(format!("it did not take the letter in {:?}", self.relay.timeout)));
        };
        let mut connection = delivered?;
        // Nothing depends on how it takes that.
        drop(tokio::time::timeout(FAREWELL, connection.quit()).await);
        Ok(())
    }
}

async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    bytes: &[u8],
) -> Result<(), MailerError> {
    let sender = connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await;
    sender.map_err(|error| away("`mail.from`", &error))?;
    for recipient in envelope.to() {
        let taken = connection.command(Rcpt::new(recipient.clone(), Vec::new())).await;
        taken.map_err(|error| refused("the recipient", &error))?;
    }
    connection.command(Data).await.map_err(|error| refused("the letter", &error))?;
    connection.message(bytes).await.map_err(|error| refused("the letter", &error))?;
    Ok(())
}

/// Whatever it said, it is not about this letter.
fn away(step: &str, error: &Error) -> MailerError {
    MailerError::away(problem(step, error))
}

/// It is about this letter, if the server says that it will always be so.
fn refused(step: &str, error: &Error) -> MailerError {
    let problem = problem(step, error);
    if error.is_permanent() { MailerError::refused(problem) } else { MailerError::away(problem) }
}

/// What is wrong, without the server's own words, which may repeat the address.
fn problem(step: &str, error: &Error) -> String {
    match error.status() {
        Some(code) => format!("it answers {step} with {code}"),
        None if error.is_response() => format!("its answer to {step} is not understood"),
        None => format!("{step}: {error}"),
    }
}

fn trust(relay: &Relay) -> Result<TlsParameters, SmtpError> {
    let mut tls = TlsParametersBuilder::new(relay.host.clone());
    if let Some(path) = &relay.ca_file {
        let wrong = |problem: String| SmtpError::Certificates { path: path.clone(), problem };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
            return Err(wrong(String::from("it has none")));
        }
        let certificates = Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
        tls = tls.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    tls.build_rustls().map_err(|error| SmtpError::Tls(error.to_string()))
}
