//! Turns: those of one server who change the same record wait for each other, so that only servers meet in the store.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

const LANES: usize = 64;

/// Turns by key. Two keys may share one.
#[derive(Debug)]
pub(super) struct Turns {
    lanes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// Waits for its turn, which lasts as long as the guard.
    pub(super) async fn take(&self, key: &str) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one(key) % (LANES as u64);
        self.lanes[usize::try_from(place).unwrap_or_default()].lock().await
    }
}
