//! How long to wait after a failure, and how often to speak of it.

use std::time::Duration;

use tokio::time::Instant;

/// Before the first try after a failure; each further wait is twice as long.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait between two tries.
const MAX: Duration = Duration::from_secs(2);
/// Between two lines of the log about a failure that goes on.
const SPEAK: Duration = Duration::from_secs(60);

/// A failure that may go on.
#[derive(Debug, Default)]
pub(super) struct Retry {
    waited: Option<Duration>,
    since: Option<Instant>,
    spoken: Option<Instant>,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// How long to wait before the next try.
    pub(super) wait: Duration,
    /// Whether to say so in the log.
    pub(super) speak: bool,
}

impl Retry {
    /// It failed.
    pub(super) fn failed(&mut self) -> Again {
        let now = Instant::now();
        self.since.get_or_insert(now);
        let wait = self.waited.map_or(FIRST, |waited| waited.saturating_mul(2)).min(MAX);
        self.waited = Some(wait);
        let speak = self.spoken.is_none_or(|spoken| now.duration_since(spoken) >= SPEAK);
        if speak {
            self.spoken = Some(now);
        }
        Again { wait, speak }
    }

    /// It goes on. Answers how long it did not, where that was said.
    pub(super) fn went_well(&mut self) -> Option<Duration> {
        let before = std::mem::take(self);
        before.since.map(|since| since.elapsed())
    }
}
