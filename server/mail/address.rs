//! An address for mail that a person gave: one, and nothing that could be more than one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest address that mail servers take (RFC 5321, 4.5.3.1).
const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;

/// An address as it was given, which is where mail goes. Two that differ in case alone are one account's: [`Address::key`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// It is no address that mail can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one address of the form name@example.com, in ASCII, of at most {BYTES_MAX} characters")]
pub struct NoAddress;

impl Address {
    /// The address in a text. Quoted names, comments, address literals and several addresses are refused: who has none of
    /// them loses nothing, and none of them can carry a second line or a second recipient. Names of domains beyond ASCII are
    /// given in their `xn--` form.
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        let (local, domain) = text.split_once('@').ok_or(NoAddress)?;
        let is_good = text.len() <= BYTES_MAX && is_local(local) && is_domain(domain);
        if is_good { Ok(Self(text.to_owned())) } else { Err(NoAddress) }
    }

    /// The address itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is found by: the address in small letters. Mail servers may tell case in a name apart, and none that people
    /// use does.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// What may be said of it in a log: its first letter, and its domain.
    #[must_use]
    pub fn masked(&self) -> String {
        let (local, domain) = self.0.split_once('@').unwrap_or_default();
        format!("{}…@{domain}", local.chars().next().unwrap_or('?'))
    }
}

/// A dot-atom of RFC 5322.
fn is_local(local: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(letter);
    local.len() <= LOCAL_BYTES_MAX && local.split('.').all(is_atom)
}

fn is_domain(domain: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}

impl TryFrom<String> for Address {
    type Error = NoAddress;

    fn try_from(text: String) -> Result<Self, NoAddress> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

/// A log has no addresses of people.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_plain_address_is_taken_and_nothing_else() {
        for good in ["a@example.com", "Ada.Lovelace+tag@sub.example.co.uk", "o'hara@xn--bcher-kva.example"] {
            assert_eq!(Address::parse(good).unwrap().as_str(), good);
        }
        let long_name = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}example.com", "a23456789.".repeat(25));
        for wrong in [
            "",
            "a",
            "@example.com",
            "a@",
            "a@localhost",
            "a@b@example.com",
            "a@example.com,b@example.com",
            "a@example.com b@example.com",
            "a@example.com\r\nBcc: b@example.com",
            "a\n@example.com",
            "\"a b\"@example.com",
            "\"a\r\n\"@example.com",
            "a(b)@example.com",
            "a@[127.0.0.1]",
            ".a@example.com",
            "a..b@example.com",
            "a@-example.com",
            "a@example..com",
            "ä@example.com",
            "a@bücher.example",
            "a\0@example.com",
            "Ada <a@example.com>",
            &long_name,
            &long,
        ] {
            assert_eq!(Address::parse(wrong), Err(NoAddress), "{wrong:?}");
        }
    }

    #[test]
    fn log_has_no_name() {
        let address = Address::parse("Ada@Example.com").unwrap();
        assert_eq!(format!("{address:?}"), "Address(A…@Example.com)");
        assert_eq!(address.key(), "ada@example.com");
    }
}
