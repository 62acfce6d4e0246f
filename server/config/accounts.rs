//! `[accounts]`: people who log in.

use std::num::{NonZeroU32, NonZeroUsize};
use std::thread::available_parallelism;

use serde::Deserialize;

use crate::identity::accounts::SignUp;
use crate::identity::hasher::Cost;

/// People who log in. Hashes of passwords that were made at another cost are made anew at the next login.
#[derive(Clone, Copy, Debug, Deserialize)]
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
