//! `Failures` in this process's memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::identity::lockout::failures::{Count, Failures};
use crate::time::Timestamp;

/// Counts that are kept. Where there are more, those that have ended go, and then all: whoever makes so many begins anew, and
/// what is locked stays locked.
const COUNTS_MAX: usize = 100_000;

/// Counts of this process.
#[derive(Debug, Default)]
pub struct MemoryFailures {
    counts: Mutex<HashMap<String, Count>>,
}

impl MemoryFailures {
    // A count is changed whole, so a poisoned lock is still good.
    fn counts(&self) -> MutexGuard<'_, HashMap<String, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Failures for MemoryFailures {
    async fn add(&self, name: &str, lifetime: i64, now: Timestamp) -> Count {
        let mut counts = self.counts();
        if counts.len() >= COUNTS_MAX && !counts.contains_key(name) {
            counts.retain(|_, count| count.ends_at > now);
            if counts.len() >= COUNTS_MAX {
                counts.clear();
            }
        }
        let fresh = Count { failures: 0, ends_at: now.plus(lifetime) };
        let count = counts.entry(name.to_owned()).or_insert(fresh);
        // One that ends later than a new one is of a clock that has stepped back.
        if count.ends_at <= now || count.ends_at > fresh.ends_at {
            *count = fresh;
        }
        count.failures = count.failures.saturating_add(1);
        *count
    }

    async fn take_back(&self, name: &str, now: Timestamp) {
        if let Some(count) = self.counts().get_mut(name).filter(|count| count.ends_at > now) {
            count.failures = count.failures.saturating_sub(1);
        }
    }

    async fn forget(&self, name: &str) {
        self.counts().remove(name);
    }
}
