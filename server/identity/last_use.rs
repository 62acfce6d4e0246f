//! When keys were last used: noted behind the answers, at most once a minute for a key, and never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::identity::api_key::ApiKey;
use crate::store::records::{Change, Records};
use crate::store::{Documents, StoreError};
use crate::time::{MINUTE, Timestamp};

/// Notes that wait, at most. One more is dropped, and the key is noted at a later use.
const WAITING_MAX: usize = 1_024;
/// How much of the store's time is left to others between two notes: so many times what one took.
const PAUSES: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// Where uses are thrown in.
#[derive(Clone, Debug)]
pub struct Uses(mpsc::Sender<Use>);

#[derive(Clone, Debug)]
struct Use {
    key: Arc<str>,
    at: Timestamp,
}

/// When one key was last seen here.
#[derive(Debug)]
pub(super) struct Seen(AtomicI64);

impl Seen {
    /// It was last used then.
    pub(super) fn at(used_at: Option<Timestamp>) -> Self {
        Self(AtomicI64::new(used_at.map_or(i64::MIN, Timestamp::micros)))
    }

    /// Whether a use is to be noted; of many at once one is.
    fn is_due(&self, now: Timestamp) -> bool {
        let before = self.0.load(Ordering::Relaxed);
        if now.micros().saturating_sub(before) < MINUTE {
            return false;
        }
        self.0.compare_exchange(before, now.micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Uses {
    /// Notes that a key was used, if it is due.
    pub(super) fn note(&self, seen: &Seen, key: Option<&Arc<str>>, now: Timestamp) {
        if let Some(key) = key.filter(|_| seen.is_due(now)) {
            // Where too many wait, a later use is noted.
            self.0.try_send(Use { key: Arc::clone(key), at: now }).ok();
        }
    }
}

/// Writes down what was thrown in.
#[derive(Debug)]
pub struct Notebook {
    keys: Records<ApiKey>,
    uses: mpsc::Receiver<Use>,
}

/// A place for uses, and the notebook that they come into.
#[must_use]
pub fn notebook(documents: &Arc<dyn Documents>) -> (Uses, Notebook) {
    let (sender, uses) = mpsc::channel(WAITING_MAX);
    (Uses(sender), Notebook { keys: Records::new(Arc::clone(documents)), uses })
}

impl Notebook {
    /// Writes until it is stopped.
    pub async fn run(mut self, stopping: CancellationToken) {
        while let Some(Some(used)) = stopping.run_until_cancelled(self.uses.recv()).await {
            let began = Instant::now();
            if let Err(error) = self.write(&used).await {
                debug!(error = %error, "the use of a key was not noted; a later one will be: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(began.elapsed().saturating_mul(PAUSES).max(PAUSE_MIN)) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn write(&self, used: &Use) -> Result<(), StoreError> {
        let noted = self.keys.update(&used.key, |key: &mut ApiKey| {
            // Another server may have noted it in the same minute.
            if key.used_at.is_some_and(|before| used.at.since(before) < MINUTE) {
                return Ok(Change::None);
            }
            key.used_at = Some(used.at);
            Ok::<_, StoreError>(Change::Keep)
        });
        noted.await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_due_once_a_minute() {
        let start = Timestamp::from_micros(1_000 * MINUTE);
        let seen = Seen::at(None);
        let due: Vec<_> = [0, 1, MINUTE - 1, MINUTE, MINUTE, 2 * MINUTE - 1, 5 * MINUTE]
            .map(|after| seen.is_due(start.plus(after)))
            .to_vec();
        assert_eq!(due, [true, false, false, true, false, false, true]);
        assert!(!Seen::at(Some(start)).is_due(start.plus(MINUTE - 1)), "another server has noted it");
        assert!(!seen.is_due(start), "a clock that was set back notes nothing");
    }
}
