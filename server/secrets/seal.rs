//! The installation's secret at work: what only this installation can make, and recognise again.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

/// What a seal leaves on a text.
pub type Digest = [u8; 32];

/// Makes digests for one purpose: HMAC-SHA256 under a key made of the installation's secret and the purpose.
#[derive(Clone)]
pub struct Seal {
    keyed: Hmac<Sha256>,
}

impl Seal {
    /// The seal of that purpose.
    #[must_use]
    pub fn new(secret: &SecretBox<[u8; 32]>, purpose: &str) -> Self {
        let key = digest(&keyed(secret.expose_secret()), &[purpose.as_bytes()]);
        Self { keyed: keyed(&key) }
    }

    /// The digest of `parts`, one after the other; whoever joins parts of any length takes care that they cannot be mistaken.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> Digest {
        digest(&self.keyed, parts)
    }
}

fn digest(keyed: &Hmac<Sha256>, parts: &[&[u8]]) -> Digest {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A key shorter than a block of SHA-256 is filled up with zeros, as HMAC has it.
fn keyed(key: &Digest) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// Whether two digests are equal, in a time that does not tell where they differ.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    let differences = left.iter().zip(right).fold(0, |found, (left, right)| found | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differences) == 0
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

/// The bytes that [`to_hex`] wrote.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    bytes.filter(|_| whole)
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SecretBox<[u8; 32]> {
        SecretBox::new(Box::new([byte; 32]))
    }

    #[test]
    fn digest_depends_on_secret_purpose_and_text() {
        let seal = |byte, purpose| Seal::new(&secret(byte), purpose).digest(&[b"text"]);
        assert_eq!(seal(1, "key"), seal(1, "key"));
        assert_ne!(seal(1, "key"), seal(2, "key"));
        assert_ne!(seal(1, "key"), seal(1, "page"));
        let in_parts = Seal::new(&secret(1), "key").digest(&[b"te", b"xt"]);
        assert!(equal(&in_parts, &seal(1, "key")));
        assert!(!equal(&in_parts, &in_parts[1..]) && !equal(&in_parts, &[0; 32]));
    }

    #[test]
    fn hexadecimal_text_is_read_as_it_was_written() {
        assert_eq!(to_hex(&[0, 0x9f, 0xff]), "009fff");
        assert_eq!(from_hex("009fff"), Some(vec![0, 0x9f, 0xff]));
        for wrong in ["0", "0g", "FF", "é"] {
            assert_eq!(from_hex(wrong), None, "`{wrong}`");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", Seal::new(&secret(7), "key")), "Seal { .. }");
    }
}
