//! The text of a refresh token: which session it is of, the how manieth it is, and a seal over both.
//!
//! So an old one is recognised without a list of those that were used: its number is below the session's. Nothing of it is
//! kept, and only who has the installation's secret can make one.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use crate::secrets::seal::{Digest, Seal, equal, from_hex, to_hex};

const PREFIX: &str = "tg_refresh_";
/// No token is longer: the prefix, an id, a number and a digest.
const BYTES_MAX: usize = 160;

/// Makes refresh tokens, and reads them again.
#[derive(Clone)]
pub struct RefreshTokens {
    seal: Seal,
}

/// What a refresh token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session.
    pub session: String,
    /// The how manieth of it.
    pub turn: u64,
}

impl RefreshTokens {
    /// Those of an installation.
    #[must_use]
    pub fn new(secret: &SecretBox<[u8; 32]>) -> Self {
        Self { seal: Seal::new(secret, "refresh token") }
    }

    /// The text of a token.
    #[must_use]
    pub fn write(&self, token: &RefreshToken) -> SecretString {
        let said = format!("{}.{}", token.session, token.turn);
        let seal = to_hex(&self.digest(&said));
        SecretString::from(format!("{PREFIX}{said}.{seal}"))
    }

    /// What a text says; `None`: it is no token of this installation.
    #[must_use]
    pub fn read(&self, text: &SecretString) -> Option<RefreshToken> {
        let text = text.expose_secret();
        if text.len() > BYTES_MAX {
            return None;
        }
        let (said, seal) = text.strip_prefix(PREFIX)?.rsplit_once('.')?;
        if !equal(&from_hex(seal)?, &self.digest(said)) {
            return None;
        }
        let (session, turn) = said.split_once('.')?;
        Some(RefreshToken { session: session.to_owned(), turn: turn.parse().ok()? })
    }

    fn digest(&self, said: &str) -> Digest {
        self.seal.digest(&[said.as_bytes()])
    }
}

impl fmt::Debug for RefreshTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(byte: u8) -> RefreshTokens {
        RefreshTokens::new(&SecretBox::new(Box::new([byte; 32])))
    }

    fn token(turn: u64) -> RefreshToken {
        RefreshToken { session: String::from("ses_019000000000700080000000000000ff"), turn }
    }

    #[test]
    fn token_is_read_as_it_was_written_and_by_its_own_installation_only() {
        for turn in [0, 1, 41, u64::MAX] {
            let text = tokens(7).write(&token(turn));
            assert!(text.expose_secret().starts_with(PREFIX) && text.expose_secret().len() <= BYTES_MAX);
            assert_eq!(tokens(7).read(&text), Some(token(turn)));
            assert_eq!(tokens(8).read(&text), None);
            assert!(!format!("{text:?}").contains("ses_"));
        }
    }

    #[test]
    fn what_was_changed_is_no_token() {
        let text = tokens(7).write(&token(4)).expose_secret().to_owned();
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1;
            let changed = SecretString::from(String::from_utf8(changed).unwrap());
            assert_eq!(tokens(7).read(&changed), None, "changed at {place}");
        }
        let (prefix, rest) = text.split_once('.').unwrap();
        let (_, seal) = rest.split_once('.').unwrap();
        let long = "x".repeat(1 << 20);
        for wrong in
            ["", PREFIX, ".", "..", prefix, &format!("{prefix}.5.{seal}"), &format!("{text}00"), &long]
        {
            assert_eq!(tokens(7).read(&SecretString::from(wrong)), None, "`{wrong}`");
        }
    }
}
