//! Ids of our making: a prefix that says what it names, and a `UUIDv7`, so that ids sort by age.

use uuid::Uuid;

/// A new id: `prefix_` and 32 hexadecimal digits.
#[must_use]
pub fn fresh(prefix: &str) -> String {
    from_seed(prefix, Uuid::now_v7())
}

/// The id that a seed makes, always the same: a retried request makes the same things.
#[must_use]
pub fn from_seed(prefix: &str, seed: Uuid) -> String {
    format!("{prefix}_{}", seed.simple())
}
