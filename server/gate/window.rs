//! Rate windows: how one stands, what a charge makes of it, and how long until a call fits.

mod bucket;
mod fixed;
mod sliding;

use crate::gate::policy::{RateKind, RateLimit};
use crate::gate::state::Counter;
use crate::time::{SECOND, Timestamp};

use bucket::Refill;

/// How far ahead of the clock a stored time may be (rule O).
///
/// Up to there time stands still for the counter until the clock has caught up; what is further ahead was written by a
/// clock that was wrong, and is pulled back.
pub const CLOCK_AHEAD_MAX: i64 = 5 * SECOND;

/// One counter as it stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Units used.
    pub(crate) used: i64,
    /// Units that fit, never negative.
    pub(crate) remaining: i64,
    /// When it is wholly free if nothing more is used.
    pub(crate) reset_at: Timestamp,
}

/// How the counter of a rate limit stands.
pub(crate) fn read(counter: Option<&Counter>, rate: &RateLimit, now: Timestamp) -> Reading {
    match (rate.kind, counter) {
        (RateKind::Sliding, Some(Counter::Sliding(log))) => sliding::read(log, rate.limit, rate.window, now),
        (RateKind::Bucket { burst }, Some(&Counter::Bucket { at, units, parts })) => {
            Refill::of(rate, burst).read(at, units, parts, now)
        }
        (RateKind::Fixed, Some(&Counter::Fixed { start, used })) => {
            fixed::read(start, used, rate.limit, rate.window, now)
        }
        (RateKind::Fixed, _) => fixed::read(now.floor(rate.window), 0, rate.limit, rate.window, now),
        (RateKind::Sliding, _) => Reading { used: 0, remaining: rate.limit, reset_at: now },
        (RateKind::Bucket { burst }, _) => Reading { used: 0, remaining: burst, reset_at: now },
    }
}

/// Microseconds until that many units fit if nothing more is used; `None`: they never do.
pub(crate) fn wait(counter: Option<&Counter>, rate: &RateLimit, units: i64, now: Timestamp) -> Option<i64> {
    let most = match rate.kind {
        RateKind::Bucket { burst } => burst,
        RateKind::Sliding | RateKind::Fixed => rate.limit,
    };
    if units > most {
        return None;
    }
    let free_at = match (rate.kind, counter) {
        (RateKind::Sliding, Some(Counter::Sliding(log))) => {
            sliding::free_at(log, rate.limit.saturating_sub(units), rate.window, now)
        }
        (RateKind::Bucket { burst }, Some(&Counter::Bucket { at, units: missing, parts })) => {
            Refill::of(rate, burst).free_at(at, missing, parts, units, now)
        }
        _ => read(counter, rate, now).reset_at,
    };
    Some(free_at.since(now).max(0))
}

/// The counter that a rate limit begins with.
pub(crate) fn fresh(kind: RateKind, now: Timestamp) -> Counter {
    match kind {
        RateKind::Sliding => Counter::Sliding(Box::default()),
        RateKind::Bucket { .. } => Counter::Bucket { at: now, units: 0, parts: 0 },
        RateKind::Fixed => Counter::Fixed { start: Timestamp::from_micros(i64::MIN), used: 0 },
    }
}

/// Charges units, whether they fit or not; answers the counter's own time, or its window's start.
pub(crate) fn charge(counter: &mut Counter, rate: &RateLimit, units: i64, now: Timestamp) -> Timestamp {
    match (rate.kind, counter) {
        (RateKind::Sliding, Counter::Sliding(log)) => sliding::charge(log, rate.window, units, now),
        (RateKind::Bucket { burst }, Counter::Bucket { at, units: missing, parts }) => {
            let refill = Refill::of(rate, burst);
            (*at, *missing, *parts) = refill.charge(*at, *missing, *parts, units, now);
            *at
        }
        (RateKind::Fixed, Counter::Fixed { start, used }) => {
            (*start, *used) = fixed::charge(*start, *used, rate.window, units, now);
            *start
        }
        // The key of a limit is made of its kind: no counter stands under another one's key.
        (_, other) => {
            *other = fresh(rate.kind, now);
            now
        }
    }
}

/// Pulls back a time that is too far ahead of the clock (rule O): what was used stays used, and ages on from now.
pub(crate) fn pull_back(counter: &mut Counter, rate: &RateLimit, now: Timestamp) {
    match counter {
        Counter::Sliding(log) => sliding::pull_back(log, now),
        Counter::Bucket { at, .. } if is_ahead(*at, now) => *at = now,
        Counter::Fixed { start, .. } if is_ahead(*start, now) => *start = now.floor(rate.window),
        Counter::Bucket { .. } | Counter::Fixed { .. } | Counter::Quota { .. } => {}
    }
}

fn is_ahead(stored: Timestamp, now: Timestamp) -> bool {
    stored.since(now) > CLOCK_AHEAD_MAX
}
