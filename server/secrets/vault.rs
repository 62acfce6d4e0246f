//! What has to be read again, and by nobody else: sealed under the installation's own secret.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{SecretBox, zeroize::Zeroize as _};

use crate::secrets::seal::{Seal, from_hex, to_hex};

/// Seals texts for one purpose: ChaCha20-Poly1305 under a key made of the installation's secret and the purpose.
///
/// A nonce is drawn anew each time: with 96 random bits some four billion texts can be sealed for a purpose before two nonces
/// are likely to be alike.
pub struct Vault {
    key: LessSafeKey,
}

impl Vault {
    /// The vault of that purpose.
    #[must_use]
    pub fn new(secret: &SecretBox<[u8; 32]>, purpose: &str) -> Self {
        let mut key = Seal::new(secret, purpose).digest(&[b"vault"]);
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("a digest is as long as a key");
        key.zeroize();
        Self { key: LessSafeKey::new(unbound) }
    }

    /// Seals a text.
    #[must_use]
    pub fn seal(&self, text: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = text.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("a text that fits in memory can be sealed");
        to_hex(&[&nonce[..], &sealed].concat())
    }

    /// The text that was sealed; `None`: it was sealed elsewhere or for something else, or was changed since.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<SecretBox<Vec<u8>>> {
        let bytes = from_hex(sealed)?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = rest.to_vec();
        let length = self.key.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len();
        text.truncate(length);
        Some(SecretBox::new(Box::new(text)))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn vault(byte: u8, purpose: &str) -> Vault {
        Vault::new(&SecretBox::new(Box::new([byte; 32])), purpose)
    }

    #[test]
    fn what_was_sealed_is_read_by_the_same_vault_alone() {
        let sealed = vault(1, "signing").seal(b"text");
        assert_eq!(vault(1, "signing").open(&sealed).unwrap().expose_secret(), b"text");
        assert!(vault(2, "signing").open(&sealed).is_none());
        assert!(vault(1, "second factor").open(&sealed).is_none());
        assert_ne!(vault(1, "signing").seal(b"text"), sealed, "each has a nonce of its own");
        assert_eq!(format!("{:?}", vault(1, "signing")), "Vault { .. }");
    }

    #[test]
    fn any_changed_digit_is_noticed() {
        let sealed = vault(1, "signing").seal(b"text");
        for place in 0..sealed.len() {
            let digit = |(at, digit): (usize, char)| match (at == place, digit) {
                (true, '0') => '1',
                (true, _) => '0',
                (false, digit) => digit,
            };
            let changed: String = sealed.char_indices().map(digit).collect();
            assert!(vault(1, "signing").open(&changed).is_none(), "at {place}");
        }
        let shorter = sealed.split_at(40).0;
        for wrong in ["", "00", "é", shorter] {
            assert!(vault(1, "signing").open(wrong).is_none(), "`{wrong}`");
        }
    }
}
