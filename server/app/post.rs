//! Who takes the letters, as the settings name them, and the task that hands them over.

use std::path::Path;
use std::sync::Arc;

use crate::adapters::mail_files::{MailFiles, MailFilesError};
use crate::adapters::smtp::{Encryption, Relay, Smtp, SmtpError};
use crate::config::{MailConfig, MailUrl, StartTls};
use crate::mail::address::Address;
use crate::mail::delivery::Delivery;
use crate::mail::mailer::Mailer;
use crate::mail::outbox::Outbox;
use crate::mail::words::{Words, WordsError};
use crate::secrets::current::{Current, Login};
use crate::tasks::Tasks;
use crate::time::Clock;

/// The directory of letters in the data directory.
const MAIL: &str = "mail";
/// Who letters in files are from: nobody can answer them.
const FROM: &str = "no-reply@tollgate.invalid";

/// Letters cannot be sent as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// They come from nobody.
    #[error("mail.url is set and mail.from is not: letters come from an address")]
    FromMissing,
    /// Half of what the server asks for.
    #[error("mail.username and mail.password are set together, or not at all")]
    LoginIncomplete,
    /// The two say different things.
    #[error("mail.starttls is off and mail.url begins with `smtps://`, which always speaks TLS")]
    StartTlsOff,
    /// The mail server cannot be used.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    /// The directory of letters cannot be used.
    #[error(transparent)]
    Files(#[from] MailFilesError),
    /// The words of letters cannot be used.
    #[error(transparent)]
    Words(#[from] WordsError),
}

/// Begins to send what is in the outbox.
pub(super) fn begin(
    config: &MailConfig,
    login: Option<&Current<Login>>,
    directory: &Path,
    outbox: &Arc<Outbox>,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<(), MailError> {
    let delivery = Delivery {
        outbox: Arc::clone(outbox),
        mailer: mailer(config, login, directory)?,
        words: Words::new(config.link_base.as_ref().map(|base| base.0.clone()))?,
        clock: Arc::clone(clock),
        pace: config.pace(),
    };
    tasks.spawn(delivery.run(tasks.stopping()));
    Ok(())
}

fn mailer(
    config: &MailConfig,
    login: Option<&Current<Login>>,
    directory: &Path,
) -> Result<Arc<dyn Mailer>, MailError> {
    let Some(url) = &config.url else {
        let from =
            config.from.clone().unwrap_or_else(|| Address::parse(FROM).expect("an address of ours is one"));
        return Ok(Arc::new(MailFiles::open(&directory.join(MAIL), from)?));
    };
    Ok(Arc::new(Smtp::new(relay(config, login, url)?)?))
}

fn relay(config: &MailConfig, login: Option<&Current<Login>>, url: &MailUrl) -> Result<Relay, MailError> {
    let encryption = match (url.tls, config.starttls) {
        (true, StartTls::Required) => Encryption::Tls,
        (true, StartTls::Off) => return Err(MailError::StartTlsOff),
        (false, StartTls::Required) => Encryption::StartTls,
        (false, StartTls::Off) => Encryption::None,
    };
    if config.username.is_some() != config.password.is_some() {
        return Err(MailError::LoginIncomplete);
    }
    Ok(Relay {
        host: url.host.clone(),
        port: url.port,
        encryption,
        login: login.cloned(),
        from: config.from.clone().ok_or(MailError::FromMissing)?,
        ca_file: config.ca_file.clone(),
        timeout: config.timeout(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of settings that cannot be; nothing of those that can.
    fn said(file: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tollgate.toml");
        std::fs::write(&path, format!("[mail]\n{file}")).unwrap();
        let config = crate::config::Config::read(Some(&path), []).unwrap();
        let login = config.mail.login().map(Current::new);
        mailer(&config.mail, login.as_ref(), directory.path())
            .map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let check = |file: &str, expected: &str| {
            let said = said(file);
            assert!(
                if expected.is_empty() { said.is_empty() } else { said.contains(expected) },
                "{file}: {said}"
            );
            assert!(!said.contains("s3cret"), "{said}");
        };
        check("", "");
        let server = "url = \"smtp://mail.example.com\"\nfrom = \"no-reply@example.com\"\n";
        check(server, "");
        check("url = \"smtp://mail.example.com\"", "mail.from is not");
        check(&format!("{server}password = \"s3cret\""), "mail.username and mail.password");
        check(&format!("{server}username = \"me\""), "mail.username and mail.password");
        check(&format!("{server}username = \"me\"\npassword = \"s3cret\""), "");
        check(
            &format!("{server}username = \"me\"\npassword = \"s3cret\"\nstarttls = \"off\""),
            "in the clear",
        );
        check(&format!("{server}starttls = \"off\""), "");
        check(&format!("{server}ca_file = \"missing.pem\""), "`mail.ca_file`, `missing.pem`");
        let encrypted = server.replace("smtp:", "smtps:");
        check(&encrypted, "");
        check(&format!("{encrypted}starttls = \"off\""), "mail.starttls is off");
    }
}
