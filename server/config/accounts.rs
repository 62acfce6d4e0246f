//! `[accounts]`: people who log in, and the tokens that they get.

use std::num::{NonZeroU32, NonZeroUsize};
use std::thread::available_parallelism;

use serde::Deserialize;

use crate::config::bounded::{Bounded, Days, Seconds};
use crate::identity::accounts::SignUp;
use crate::identity::hasher::Cost;

const PARTY_BYTES_MAX: usize = 200;

/// The life of an access token. A signing key verifies for about as long as the longest after another one signs.
pub type TokenSeconds = Bounded<Seconds, 60, 3_600>;
/// The life of a session.
pub type SessionDays = Bounded<Days, 1, 3_650>;

/// People who log in, and the tokens that they get. Hashes of passwords that were made at another cost are made anew at the next login.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// KiB of memory that hashing a password takes.
    pub argon2_memory_kib: NonZeroU32,
    /// Passes over that memory.
    pub argon2_passes: NonZeroU32,
    /// Lanes in it.
    pub argon2_lanes: NonZeroU32,
    /// Passwords that are hashed at once. Unset: half of the cores, which leaves the others to everybody else.
    pub hashes_at_once: Option<NonZeroUsize>,
    /// Who makes the tokens, their `iss`. Servers that share a store share it.
    pub issuer: Party,
    /// Whom the tokens are for, their `aud`. Servers that share a store share it.
    pub audience: Party,
    /// For how many seconds an access token is good.
    pub access_token_seconds: TokenSeconds,
    /// For how many days a refresh token is good, and so a session that nobody uses.
    pub refresh_token_days: SessionDays,
    /// For how many days a session is good, however much it is used.
    pub session_days_max: SessionDays,
    /// Whether anybody may sign up.
    pub sign_up: SignUp,
}

impl Default for AccountsConfig {
    /// The first choice of OWASP's Password Storage Cheat Sheet: 19 MiB and two passes.
    fn default() -> Self {
        const MEMORY_KIB: NonZeroU32 = NonZeroU32::new(19_456).expect("it is above zero");
        const PASSES: NonZeroU32 = NonZeroU32::new(2).expect("two is above zero");
        Self {
            argon2_memory_kib: MEMORY_KIB,
            argon2_passes: PASSES,
            argon2_lanes: NonZeroU32::MIN,
            hashes_at_once: None,
            issuer: Party::default(),
            audience: Party::default(),
            access_token_seconds: TokenSeconds::of(600),
            refresh_token_days: SessionDays::of(30),
            session_days_max: SessionDays::of(365),
            sign_up: SignUp::default(),
        }
    }
}

impl AccountsConfig {
    /// What hashing a password costs.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        Cost { memory_kib: self.argon2_memory_kib, passes: self.argon2_passes, lanes: self.argon2_lanes }
    }

    /// Passwords that are hashed at once.
    #[must_use]
    pub fn hashes_at_once(&self) -> usize {
        let half = || available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
        self.hashes_at_once.map_or_else(half, NonZeroUsize::get)
    }
}

/// Who makes tokens, or whom they are for: 1 to 200 bytes, none of them a control character or a space.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Party(String);

impl Party {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Party {
    fn default() -> Self {
        Self(String::from("tollgate"))
    }
}

impl TryFrom<String> for Party {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_odd = |letter: char| letter.is_control() || letter.is_whitespace();
        if (1..=PARTY_BYTES_MAX).contains(&text.len()) && !text.contains(is_odd) {
            return Ok(Self(text));
        }
        Err(format!("{text:?} has not 1 to {PARTY_BYTES_MAX} bytes, or has a space in it"))
    }
}
