//! What a password may be. The rules are those of NIST SP 800-63B, 3.1.1: long enough, known to nobody, and no demand for
//! digits or signs.

use std::sync::LazyLock;

use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::UnicodeNormalization as _;

use crate::fault::Invalid;

/// The shortest password that can be chosen.
const CHARACTERS_MIN: usize = 8;
/// The longest.
const CHARACTERS_MAX: usize = 128;
/// No password of so many characters has more bytes; what has is not looked at.
const BYTES_MAX: usize = 4 * CHARACTERS_MAX;
/// A name shorter than that is in too many passwords by chance.
const NAME_CHARACTERS_MIN: usize = 4;
/// Passwords that everybody tries first: one a line, in small letters, sorted.
static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("password/common.txt").lines().collect());

/// A password as it is hashed: in Unicode's form NFC, so that two keyboards that write one letter differently write one
/// password.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    /// A password that somebody wants to have from now on. `person`: what others know of them, such as their address and name.
    pub fn choose(text: &SecretString, person: &[&str]) -> Result<Self, Invalid> {
        let wrong = |description: String| Err(Invalid::field("password", description));
        let Some(password) = Self::given(text) else {
            return wrong(format!("must have at most {CHARACTERS_MAX} characters"));
        };
        let text = password.0.expose_secret();
        if text.chars().count() < CHARACTERS_MIN {
            return wrong(format!("must have at least {CHARACTERS_MIN} characters"));
        }
        if text.chars().any(char::is_control) {
            return wrong(String::from("must not have control characters"));
        }
        let plain = text.to_lowercase();
        if is_common(&plain) {
            return wrong(String::from("is one of those that everybody tries first"));
        }
        if person.iter().any(|known| is_of(&plain, known)) {
            return wrong(String::from("must not be the address or the name"));
        }
        Ok(password)
    }

    /// A password that somebody says they have. `None`: it is longer than any, and not worth a hash.
    #[must_use]
    pub fn given(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        if text.len() > BYTES_MAX {
            return None;
        }
        let normal = SecretString::from(text.nfc().collect::<String>());
        (normal.expose_secret().chars().count() <= CHARACTERS_MAX).then_some(Self(normal))
    }

    /// What is hashed.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// Whether a password in small letters is known to everybody, also with the digits and signs that people add to such.
fn is_common(plain: &str) -> bool {
    let base = plain.trim_end_matches(|letter: char| !letter.is_alphabetic());
    let is_one_letter = plain.chars().all(|letter| plain.starts_with(letter));
    is_one_letter || [plain, base].iter().any(|word| COMMON.binary_search(word).is_ok())
}

/// Whether a password in small letters is what others know of its owner, or a part of it before the `@`.
fn is_of(plain: &str, known: &str) -> bool {
    let known = known.to_lowercase();
    let base = plain.trim_end_matches(|letter: char| !letter.is_alphabetic());
    let local = known.split('@').next().unwrap_or_default();
    let is_long = |word: &str| word.chars().count() >= NAME_CHARACTERS_MIN;
    [known.as_str(), local].into_iter().filter(|word| is_long(word)).any(|word| word == plain || word == base)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: [&str; 2] = ["ada.lovelace@example.com", "Augusta"];

    /// Whether a password can be chosen, and why not.
    fn check(text: &str, expected: &str) {
        let chosen = Password::choose(&SecretString::from(text), &PERSON);
        let why = chosen.err().map(|invalid| invalid.to_string()).unwrap_or_default();
        assert!(why.contains(expected) && why.is_empty() == expected.is_empty(), "{text:?}: {why}");
    }

    #[test]
    fn long_ones_that_nobody_knows_can_be_chosen() {
        for good in ["correct horse", "пароль-из-слов", "x7#kPq2!", "ééééàààà", "a b c d e f g h"]
        {
            check(good, "");
        }
        check(&"aB".repeat(64), "");
    }

    #[test]
    fn what_is_short_long_known_or_ones_own_cannot() {
        check("", "at least 8");
        check("x7#kPq2", "at least 8");
        check(&"aB".repeat(65), "at most 128");
        check(&"x".repeat(1 << 20), "at most 128");
        check("tab\tand more", "control");
        check("nul\0and more", "control");
        for common in
            ["password", "PASSWORD", "Password1!", "qwertyuiop", "12345678", "iloveyou2024", "aaaaaaaaaa"]
        {
            check(common, "everybody");
        }
        for own in ["ada.lovelace@example.com", "Ada.Lovelace", "ada.lovelace1815", "augusta!"] {
            check(own, "address or the name");
        }
    }

    #[test]
    fn one_letter_written_in_two_ways_is_one_password() {
        let bytes = |text: &str| Password::given(&SecretString::from(text)).unwrap().bytes().to_vec();
        assert_eq!(bytes("e\u{301}t\u{e9}"), bytes("\u{e9}te\u{301}"));
        assert_ne!(bytes("①"), bytes("1"), "what only looks alike is another");
    }

    #[test]
    fn list_is_sorted_and_in_small_letters() {
        assert!(COMMON.len() > 1_000 && COMMON.is_sorted(), "{}", COMMON.len());
        assert!(COMMON.iter().all(|word| *word == word.to_lowercase() && !word.is_empty()));
    }

    #[test]
    fn debug_shows_nothing() {
        let password = Password::given(&SecretString::from("correct horse")).unwrap();
        assert!(!format!("{password:?}").contains("horse"));
    }
}
