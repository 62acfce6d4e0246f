//! A token's text read strictly: three parts in the one spelling they have, and no member of them twice.

use std::collections::HashSet;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};

/// The parts of a token.
pub(super) struct Parts<'a> {
    pub(super) header: Vec<u8>,
    pub(super) claims: Vec<u8>,
    /// What was signed.
    pub(super) message: &'a str,
    /// As it stands in the text.
    pub(super) signature: &'a str,
}

/// The parts of a text; `None`: it is no token. No two texts have the same parts.
pub(super) fn parts(text: &str) -> Option<Parts<'_>> {
    let (message, signature) = text.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    // A part is refused that has padding, another letter, or bits that mean nothing.
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
    decode(signature)?;
    Some(Parts { header: decode(header)?, claims: decode(claims)?, message, signature })
}

/// Reads an object in which no member stands twice. Members that are not asked for are left alone.
pub(super) fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice::<NoMemberTwice>(json).ok()?;
    serde_json::from_slice(json).ok()
}

/// An object in which no member stands twice: two readers could see two different ones.
struct NoMemberTwice;

impl<'de> Deserialize<'de> for NoMemberTwice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = NoMemberTwice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<NoMemberTwice, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(NoMemberTwice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_spelling() {
        let check = |text: &str, expected: bool| assert_eq!(parts(text).is_some(), expected, "{text:?}");
        check("e30.e30.AAAA", true);
        check("e30.e30.", true);
        for wrong in [
            "",
            ".",
            "e30.e30",
            "e30..e30.AAAA",
            "e30.e30.AAAA.",
            ".e30.e30.AAAA",
            "e30=.e30.AAAA",
            "e30.e30.AAA=",
            "e31.e30.AAAA",
            "e30.e31.AAAA",
            "e30.e30.AB",
            " e30.e30.AAAA",
            "e30.e30.AAAA\n",
            "e30.e30.AA+A",
            "e30.e30.AA/A",
            "e30.e30.é",
        ] {
            check(wrong, false);
        }
    }

    #[test]
    fn member_that_stands_twice_is_refused_however_it_is_spelled() {
        #[derive(Deserialize)]
        struct Known {
            a: u32,
        }
        let check = |json: &str, expected: Option<u32>| {
            assert_eq!(object::<Known>(json.as_bytes()).map(|known| known.a), expected, "{json}");
        };
        check(r#"{"a":1,"b":{"b":2}}"#, Some(1));
        check(r#"{"a":1,"a":1}"#, None);
        check(r#"{"a":1,"\u0061":2}"#, None);
        check(r#"{"a":1,"b":1,"b":1}"#, None);
        check(r#"{"a":1} "#, Some(1));
        check(r#"{"a":1}{}"#, None);
        check("[1]", None);
        check("1", None);
    }
}
