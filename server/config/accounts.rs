//! `[accounts]`: people who log in, and the tokens that they get.

use std::num::{NonZeroU32, NonZeroUsize};
use std::thread::available_parallelism;

use serde::Deserialize;

const PARTY_BYTES_MAX: usize = 200;
const SECONDS_MIN: u32 = 60;
/// A signing key verifies for about as long after another one signs.
const SECONDS_MAX: u32 = 3_600;
const DAYS_MAX: u32 = 3_650;

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
    pub access_token_seconds: Seconds,
    /// For how many days a refresh token is good, and so a session that nobody uses.
    pub refresh_token_days: Days,
    /// For how many days a session is good, however much it is used.
    pub session_days_max: Days,
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
            access_token_seconds: Seconds::default(),
            refresh_token_days: Days(30),
            session_days_max: Days(365),
        }
    }
}

impl AccountsConfig {
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

/// Days of a session, 1 to 3,650.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Days(u32);

impl Days {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Days {
    type Error = String;

    fn try_from(days: u32) -> Result<Self, String> {
        if (1..=DAYS_MAX).contains(&days) {
            return Ok(Self(days));
        }
        Err(format!("{days} days are not 1 to {DAYS_MAX}"))
    }
}

/// The life of an access token in seconds, 60 to 3,600.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Seconds(u32);

impl Seconds {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Seconds {
    fn default() -> Self {
        Self(600)
    }
}

impl TryFrom<u32> for Seconds {
    type Error = String;

    fn try_from(seconds: u32) -> Result<Self, String> {
        if (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
            return Ok(Self(seconds));
        }
        Err(format!("{seconds} seconds are not {SECONDS_MIN} to {SECONDS_MAX}"))
    }
}
