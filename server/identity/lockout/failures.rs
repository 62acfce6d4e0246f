//! The port `Failures`: counts that end by themselves.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::time::Timestamp;

/// Counts that end by themselves, by names of letters and digits.
///
/// # Contract
///
/// - The time is the caller's. A count begins with the first [`Failures::add`] after the one before has ended, and ends so
///   long after it, whatever is added meanwhile: at `ends_at`, exclusive.
/// - Each change is atomic, also between servers that share the counts: of two who add, one is told the higher number.
/// - A count may be lost, and nothing else may depend on it. What cannot be reached is counted by this process alone: there is
///   always an answer, and soon.
#[async_trait]
pub trait Failures: Send + Sync + Debug {
    /// Counts one more, and answers the count with it. A new count lives for `lifetime` microseconds.
    async fn add(&self, name: &str, lifetime: i64, now: Timestamp) -> Count;

    /// Counts one less, where anything is counted.
    async fn take_back(&self, name: &str, now: Timestamp);

    /// Counts from zero again.
    async fn forget(&self, name: &str);
}

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many there are.
    pub failures: u32,
    /// When it ends.
    pub ends_at: Timestamp,
}
