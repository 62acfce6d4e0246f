//! The signing keys as they are kept: all in one document, so that all servers agree on which signs.
//!
//! A key is announced first, then it signs, and from when the next one signs it only verifies, until the longest token that
//! it may have signed has ended.

use serde::{Deserialize, Serialize};

use crate::store::records::Record;
use crate::time::{HOUR, MINUTE, Timestamp};

/// The one document of them.
pub(super) const ID: &str = "tokens";
/// The longest life of a token.
pub const TOKEN_LIFE_MAX: i64 = HOUR;
/// How far apart the clocks may be of who signs and who verifies.
pub const LEEWAY: i64 = MINUTE;
/// A server that has not heard yet that another key signs may sign with the old one for so long.
const UNHEARD: i64 = MINUTE;
/// How long a key is announced at least before it signs: as long as a list of our keys may be remembered.
pub const ANNOUNCED: i64 = 5 * MINUTE;
/// How long a key verifies after another one signs.
pub const VERIFIES_ON: i64 = TOKEN_LIFE_MAX + LEEWAY + UNHEARD;

/// All signing keys, oldest first. The last one is announced; it signs when it is its turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeySet {
    pub(super) keys: Vec<SigningKey>,
}

/// One signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SigningKey {
    /// Its id, `sig_…`, the `kid` of tokens.
    pub id: String,
    /// Both halves as PKCS 8, sealed. The public one stands nowhere else: who can write into the store cannot add a key.
    pub sealed: String,
    /// Since when it is announced.
    pub announced_at: Timestamp,
    /// From when on it signs; `None`: its turn has not come.
    pub signs_from: Option<Timestamp>,
}

/// What a signing key does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Nothing yet: it is announced, so that everybody knows it when it signs.
    Announced,
    /// It signs.
    Signing,
    /// It verifies what it signed.
    Verifying,
    /// Nothing any more.
    Ended,
}

/// A key without its halves, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// What it does.
    pub duty: Duty,
    /// Since when it is announced.
    pub announced_at: Timestamp,
    /// From when on it signs; `None`: its turn has not come.
    pub signs_from: Option<Timestamp>,
    /// When it ends to verify; `None`: that is not known yet.
    pub ends_at: Option<Timestamp>,
}

impl Record for KeySet {
    const KIND: &'static str = "signing_keys";

    fn id(&self) -> &str {
        ID
    }
}

impl KeySet {
    /// The keys of a new installation: one signs at once, because there is nobody yet who could not know it.
    pub(super) fn begin(mut first: SigningKey, next: SigningKey) -> Self {
        first.signs_from = Some(first.announced_at);
        Self { keys: vec![first, next] }
    }

    /// Lets the announced key sign, as soon as it was announced for long enough, and announces another one. `false`: a key is
    /// about to sign already, and nothing was changed.
    pub(super) fn rotate(&mut self, fresh: SigningKey, now: Timestamp) -> bool {
        let awaited = self.keys.iter().any(|key| key.signs_from.is_some_and(|from| from > now));
        if awaited {
            return false;
        }
        if let Some(next) = self.keys.last_mut().filter(|key| key.signs_from.is_none()) {
            next.signs_from = Some(now.max(next.announced_at.plus(ANNOUNCED)));
        }
        // Each ends before its successor, so the ended ones stand first.
        let ended = (0..self.keys.len()).take_while(|place| self.duty(*place, now) == Duty::Ended).count();
        self.keys.drain(..ended);
        self.keys.push(fresh);
        true
    }

    /// All keys and what they do at a moment, oldest first.
    pub(super) fn listed(&self, now: Timestamp) -> Vec<Listed> {
        let listed = self.keys.iter().enumerate().map(|(place, key)| {
            let (id, announced_at, signs_from) = (key.id.clone(), key.announced_at, key.signs_from);
            let (duty, ends_at) = (self.duty(place, now), self.ends_at(place));
            Listed { id, duty, announced_at, signs_from, ends_at }
        });
        listed.collect()
    }

    /// What the key at a place does at a moment.
    pub(super) fn duty(&self, place: usize, now: Timestamp) -> Duty {
        let has_come = |from: Option<Timestamp>| from.is_some_and(|from| now >= from);
        if has_come(self.ends_at(place)) {
            Duty::Ended
        } else if has_come(self.signs_from(place.saturating_add(1))) {
            Duty::Verifying
        } else if has_come(self.signs_from(place)) {
            Duty::Signing
        } else {
            Duty::Announced
        }
    }

    /// Since when the key signs that signs at a moment.
    pub(super) fn signs_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.keys.iter().filter_map(|key| key.signs_from).filter(|from| *from <= now).max()
    }

    /// When the key at a place ends: its successor's first moment, and then the longest token.
    fn ends_at(&self, place: usize) -> Option<Timestamp> {
        self.signs_from(place.saturating_add(1)).map(|from| from.plus(VERIFIES_ON))
    }

    fn signs_from(&self, place: usize) -> Option<Timestamp> {
        self.keys.get(place)?.signs_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const START: Timestamp = Timestamp::from_micros(1_000_000 * SECOND);

    fn key(id: &str, announced_at: Timestamp) -> SigningKey {
        SigningKey { id: id.to_owned(), sealed: String::from("00"), announced_at, signs_from: None }
    }

    #[track_caller]
    fn check(set: &KeySet, now: Timestamp, expected: &str) {
        let listed = set.listed(now);
        let words = listed.iter().map(|listed| format!("{} {:?}", listed.id, listed.duty));
        assert_eq!(words.collect::<Vec<_>>().join(", "), expected);
    }

    fn begun() -> KeySet {
        KeySet::begin(key("a", START), key("b", START))
    }

    #[test]
    fn first_key_signs_at_once_and_the_next_is_announced() {
        check(&begun(), START, "a Signing, b Announced");
        check(&begun(), START.minus(SECOND), "a Announced, b Announced");
    }

    #[test]
    fn old_key_verifies_until_its_longest_token_has_ended() {
        let (mut set, turn) = (begun(), START.plus(ANNOUNCED));
        assert!(set.rotate(key("c", turn), turn));
        check(&set, turn.minus(1), "a Signing, b Announced, c Announced");
        check(&set, turn, "a Verifying, b Signing, c Announced");
        let end = turn.plus(VERIFIES_ON);
        check(&set, end.minus(1), "a Verifying, b Signing, c Announced");
        check(&set, end, "a Ended, b Signing, c Announced");
        assert!(set.rotate(key("d", end), end));
        check(&set, end, "b Verifying, c Signing, d Announced");
    }

    #[test]
    fn key_that_was_announced_just_now_waits_for_its_turn() {
        let mut set = begun();
        let later = START.plus(SECOND);
        assert!(set.rotate(key("c", later), later));
        check(&set, later, "a Signing, b Announced, c Announced");
        assert!(!set.rotate(key("d", later), later), "b is about to sign already");
        check(&set, START.plus(ANNOUNCED), "a Verifying, b Signing, c Announced");
        assert!(set.rotate(key("d", later), START.plus(ANNOUNCED)));
        check(&set, later.plus(ANNOUNCED), "a Verifying, b Verifying, c Signing, d Announced");
    }
}
