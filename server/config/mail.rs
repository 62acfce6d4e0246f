//! `[mail]`: who takes the letters to people, and what is in them.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::mail::address::Address;
use crate::secrets::current::Login;

/// Who takes the letters to people. Without an address each is a file in the data directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// The mail server: `smtp://host:587`, or `smtps://host:465` with TLS from the first byte.
    pub url: Option<MailUrl>,
    /// What an `smtp://` server is to do before it is told anything.
    pub starttls: StartTls,
    /// Our name there.
    pub username: Option<String>,
    /// Our password there.
    pub password: Option<SecretString>,
    /// The address that letters come from. It is needed with `url`.
    #[serde(deserialize_with = "address")]
    pub from: Option<Address>,
    /// What the links in letters begin with. Unset: letters have codes to copy.
    pub link_base: Option<LinkBase>,
    /// Certificates that sign the server's, in PEM. Unset: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How many seconds a letter may take.
    pub timeout_seconds: TimeoutSeconds,
    /// How many letters this server sends in a minute, at most.
    pub letters_per_minute: LettersPerMinute,
}

impl MailConfig {
    /// Our name and our password there, where both are set.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        Some(Login { username: self.username.clone()?, password: self.password.clone()? })
    }

    /// How long a letter may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.0.into())
    }

    /// The shortest time between two letters.
    #[must_use]
    pub fn pace(&self) -> Duration {
        Duration::from_secs(60).checked_div(self.letters_per_minute.0.into()).unwrap_or_default()
    }
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            url: None,
            starttls: StartTls::Required,
            username: None,
            password: None,
            from: None,
            link_base: None,
            ca_file: None,
            timeout_seconds: TimeoutSeconds(30),
            letters_per_minute: LettersPerMinute(120),
        }
    }
}

/// What a mail server is to do before it is told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// It has to speak TLS.
    Required,
    /// Nothing: everybody on the way reads the letters.
    Off,
}

/// Where a mail server is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MailUrl {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS from the first byte.
    pub tls: bool,
}

/// What links begin with, without a `/` at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LinkBase(pub String);

/// Seconds that a letter may take: 1 to 120.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct TimeoutSeconds(pub u16);

/// Letters in a minute: 1 to 6,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct LettersPerMinute(pub u16);

/// A setting cannot be used. No variant says an address: it may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailInvalid {
    /// The mail server.
    #[error("`url` must be `smtp://host:port` or `smtps://host:port`, without a name, a password or a path")]
    Url,
    /// The links.
    #[error(
        "`link_base` must be `https://host` or `https://host/path` (or `http://`), without a name, `?` or `#`"
    )]
    LinkBase,
    /// A number.
    #[error("`{name}` is {value}; 1 to {max} are allowed")]
    OutOfBounds {
        /// The setting.
        name: &'static str,
        /// What it is.
        value: u16,
        /// What it may be at most.
        max: u16,
    },
}

impl TryFrom<String> for MailUrl {
    type Error = MailInvalid;

    fn try_from(text: String) -> Result<Self, MailInvalid> {
        let (scheme, place) = text.split_once("://").ok_or(MailInvalid::Url)?;
        let (tls, usual) = match scheme {
            "smtp" => (false, 587),
            "smtps" => (true, 465),
            _ => return Err(MailInvalid::Url),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| MailInvalid::Url)?),
            None => (place, usual),
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(letter) || port == 0 {
            return Err(MailInvalid::Url);
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl TryFrom<String> for LinkBase {
    type Error = MailInvalid;

    fn try_from(text: String) -> Result<Self, MailInvalid> {
        let place = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let place = place.ok_or(MailInvalid::LinkBase)?;
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:/[]%".contains(&byte);
        if place.is_empty() || place.starts_with('/') || !place.bytes().all(letter) {
            return Err(MailInvalid::LinkBase);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<u16> for TimeoutSeconds {
    type Error = MailInvalid;

    fn try_from(value: u16) -> Result<Self, MailInvalid> {
        bounded("timeout_seconds", value, 120).map(Self)
    }
}

impl TryFrom<u16> for LettersPerMinute {
    type Error = MailInvalid;

    fn try_from(value: u16) -> Result<Self, MailInvalid> {
        bounded("letters_per_minute", value, 6_000).map(Self)
    }
}

fn bounded(name: &'static str, value: u16, max: u16) -> Result<u16, MailInvalid> {
    if (1..=max).contains(&value) { Ok(value) } else { Err(MailInvalid::OutOfBounds { name, value, max }) }
}

/// The refusal of an address does not say which setting it is.
fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let parsed = text.map(|text| Address::parse(&text)).transpose();
    parsed.map_err(|error| serde::de::Error::custom(format!("`from` {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_mail_server_is_read() {
        let check = |text: &str, expected: Option<(&str, u16, bool)>| {
            let read = MailUrl::try_from(text.to_owned()).ok();
            let read = read.as_ref().map(|url| (url.host.as_str(), url.port, url.tls));
            assert_eq!(read, expected, "{text}");
        };
        check("smtp://mail", Some(("mail", 587, false)));
        check("smtps://mail.example.com", Some(("mail.example.com", 465, true)));
        check("smtp://127.0.0.1:2525/", Some(("127.0.0.1", 2525, false)));
        check("mail:25", None);
        check("http://mail.test", None);
        check("smtp://", None);
        check("smtp://name:secret@mail", None);
        check("smtp://mail/path", None);
        check("smtp://mail\r\n", None);
        check("smtp://mail:0", None);
        check("smtp://mail:70000", None);
    }

    #[test]
    fn links_begin_with_a_place_and_nothing_that_changes_it() {
        let check = |text: &str, expected: Option<&str>| {
            let read = LinkBase::try_from(text.to_owned()).ok();
            assert_eq!(read.as_ref().map(|base| base.0.as_str()), expected, "{text}");
        };
        check("https://app.example.com", Some("https://app.example.com"));
        check("http://127.0.0.1:7180/account/", Some("http://127.0.0.1:7180/account"));
        check("https://", None);
        check("https:///path", None);
        check("app.example.com", None);
        check("javascript://alert", None);
        check("https://name:secret@app.example.com", None);
        check("https://app.example.com/?next=", None);
        check("https://app.example.com/#", None);
        check("https://app.example.com/\"x", None);
        check("https://app.example.com\n", None);
    }
}
