//! The text of a key: made once, told once, and refused without any look-up where it is mistyped.
//!
//! `tg_tenant_` or `tg_service_`, the key's id in 32 hexadecimal digits, `_`, 32 random characters (190 bits), and
//! 6 characters that check all before them.

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::identity::api_key::KeyKind;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH: usize = 32;
const RANDOM_LENGTH: usize = 32;
const CHECK_LENGTH: usize = 6;

/// A new credential for the key with that seed.
#[must_use]
pub fn fresh(kind: KeyKind, seed: Uuid) -> SecretString {
    let mut text = format!("{}{}_", prefix(kind), seed.simple());
    text.extend((0..RANDOM_LENGTH).map(|_| letter(rand::random_range(0..ALPHABET.len()))));
    let check: String = check(&text).collect();
    text.push_str(&check);
    SecretString::from(text)
}

/// The id of the key that a credential is of; `None`: it is none of ours, or is mistyped.
#[must_use]
pub fn key_id(text: &str) -> Option<String> {
    let rest = [KeyKind::Tenant, KeyKind::ServiceAccount]
        .into_iter()
        .find_map(|kind| text.strip_prefix(prefix(kind)))?;
    let (id, random_and_check) = rest.split_once('_')?;
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_whole = random_and_check.len() == RANDOM_LENGTH + CHECK_LENGTH && random_and_check.is_ascii();
    let (checked, found) = text.split_at_checked(text.len().checked_sub(CHECK_LENGTH)?)?;
    let is_checked = check(checked).eq(found.chars());
    (is_id && is_whole && is_checked).then(|| format!("key_{id}"))
}

const fn prefix(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Tenant => "tg_tenant_",
        KeyKind::ServiceAccount => "tg_service_",
    }
}

/// No secret goes into it: it finds mistakes of people, not of those who want to deceive.
fn check(text: &str) -> impl Iterator<Item = char> {
    let digest = Sha256::digest(text);
    let mut number = digest.iter().take(4).fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    (0..CHECK_LENGTH).map(move |_| {
        let place = number % ALPHABET.len();
        number /= ALPHABET.len();
        letter(place)
    })
}

fn letter(place: usize) -> char {
    ALPHABET.get(place).copied().map_or('0', char::from)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn credential_leads_to_its_key() {
        let seed = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00ff);
        for (kind, prefix) in [(KeyKind::Tenant, "tg_tenant_"), (KeyKind::ServiceAccount, "tg_service_")] {
            let secret = fresh(kind, seed);
            let text = secret.expose_secret();
            assert!(text.starts_with(prefix));
            assert_eq!(key_id(text).as_deref(), Some("key_019000000000700080000000000000ff"));
            assert_ne!(fresh(kind, seed).expose_secret(), text, "the same key has another secret each time");
            assert!(!format!("{secret:?}").contains(text));
        }
    }

    #[test]
    fn any_mistyped_letter_is_found() {
        let secret = fresh(KeyKind::Tenant, Uuid::from_u128(7));
        let text = secret.expose_secret();
        for place in 0..text.len() {
            for other in ['a', 'Z', '0', '_', ' '] {
                let mistyped: String = text
                    .char_indices()
                    .map(|(at, letter)| if at == place { other } else { letter })
                    .collect();
                assert!(mistyped == text || key_id(&mistyped).is_none(), "`{other}` at {place}");
            }
        }
    }

    #[test]
    fn what_is_no_credential_is_none() {
        let secret = fresh(KeyKind::Tenant, Uuid::from_u128(7));
        let text = secret.expose_secret();
        let longer = format!("{text}0");
        let (headless, tailless) = (text.trim_start_matches('t'), text.split_at(text.len() - 1).0);
        for wrong in ["", "tg_", "tg_tenant_", "tg_tenant__", "é", headless, tailless, &longer] {
            assert_eq!(key_id(wrong), None, "`{wrong}`");
        }
        let umlauts = format!("tg_tenant_{}_{}", "0".repeat(32), "é".repeat(19));
        assert_eq!(key_id(&umlauts), None);
    }
}
