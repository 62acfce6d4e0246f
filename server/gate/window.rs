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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::{NOON, rate};
    use crate::gate::table::WINDOW_MAX;
    use crate::time::{DAY, HOUR, MINUTE};

    /// When, counted from noon, how many units, and what remains or how long to wait.
    type Sent = (i64, i64, Result<i64, Option<i64>>);

    fn check(rate: &RateLimit, calls: &[Sent]) {
        let mut counter = fresh(rate.kind, NOON);
        for (place, &(at, units, expected)) in calls.iter().enumerate() {
            let now = NOON.plus(at);
            pull_back(&mut counter, rate, now);
            let answer = if units <= read(Some(&counter), rate, now).remaining {
                charge(&mut counter, rate, units, now);
                Ok(read(Some(&counter), rate, now).remaining)
            } else {
                Err(wait(Some(&counter), rate, units, now))
            };
            assert_eq!(answer, expected, "call {place} of {:?}", rate.kind);
        }
    }

    #[test]
    fn an_entry_leaves_the_sliding_window_exactly_one_window_later() {
        let five = rate("minute", RateKind::Sliding, 5, MINUTE);
        check(
            &five,
            &[
                (0, 2, Ok(3)),
                (30 * SECOND, 3, Ok(0)),
                (MINUTE - 1, 1, Err(Some(1))),
                (MINUTE - 1, 3, Err(Some(30 * SECOND + 1))),
                (MINUTE, 2, Ok(0)),
                (90 * SECOND - 1, 1, Err(Some(1))),
                (90 * SECOND, 4, Err(Some(30 * SECOND))),
                (90 * SECOND, 3, Ok(0)),
                (90 * SECOND, 6, Err(None)),
                (HOUR, 5, Ok(0)),
            ],
        );
    }

    #[test]
    fn a_bucket_fills_up_without_rounding() {
        let seven = rate("three", RateKind::Bucket { burst: 2 }, 7, 3 * SECOND);
        let mut calls = vec![(0, 2, Ok(0)), (0, 3, Err(None)), (0, 1, Err(Some(428_572)))];
        // One unit takes 428,571 and 3/7 µs: after 7 units exactly 3 s have passed, not 3 s and some rounded parts.
        for unit in 1..=70 {
            let exact = unit * 3 * SECOND;
            let at = (exact + 6) / 7;
            calls.push((at - 1, 1, Err(Some(1))));
            calls.push((at, 1, Ok(0)));
        }
        check(&seven, &calls);
        check(
            &rate("many", RateKind::Bucket { burst: 9 }, 3_000_000, SECOND),
            &[(0, 9, Ok(0)), (3, 9, Ok(0))],
        );
    }

    #[test]
    fn the_largest_bucket_does_not_overflow() {
        let most = 9_000_000_000_000_000;
        let month = rate("month", RateKind::Bucket { burst: most }, most, WINDOW_MAX);
        check(
            &month,
            &[(0, most, Ok(0)), (WINDOW_MAX / 2, most, Err(Some(WINDOW_MAX / 2))), (WINDOW_MAX, most, Ok(0))],
        );
        let slow = rate("slow", RateKind::Bucket { burst: 1 }, 1, WINDOW_MAX);
        check(&slow, &[(0, 1, Ok(0)), (1, 1, Err(Some(WINDOW_MAX - 1))), (WINDOW_MAX, 1, Ok(0))]);
        check(&slow, &[(0, 1, Ok(0)), (i64::MAX - NOON.micros(), 1, Ok(0))]);
    }

    #[test]
    fn a_fixed_window_starts_at_a_multiple_of_its_length() {
        let day = rate("day", RateKind::Fixed, 5, DAY);
        check(
            &day,
            &[
                (0, 3, Ok(2)),
                (12 * HOUR - 1, 3, Err(Some(1))),
                (12 * HOUR - 1, 2, Ok(0)),
                (12 * HOUR, 6, Err(None)),
                (12 * HOUR, 5, Ok(0)),
                (36 * HOUR - 1, 1, Err(Some(1))),
                (100 * DAY, 1, Ok(4)),
            ],
        );
    }

    #[test]
    fn a_clock_that_steps_back_a_little_stands_still_until_it_has_caught_up() {
        let kinds =
            [(RateKind::Sliding, MINUTE), (RateKind::Bucket { burst: 5 }, MINUTE), (RateKind::Fixed, DAY)];
        for (kind, length) in kinds {
            let retry = match kind {
                RateKind::Sliding => MINUTE + 4 * SECOND,
                RateKind::Bucket { .. } => 16 * SECOND,
                RateKind::Fixed => 12 * HOUR + 4 * SECOND,
            };
            check(&rate("any", kind, 5, length), &[(0, 5, Ok(0)), (-4 * SECOND, 1, Err(Some(retry)))]);
        }
    }

    #[test]
    fn a_clock_that_steps_back_an_hour_neither_frees_nor_freezes() {
        let minute = |kind| rate("minute", kind, 5, MINUTE);
        let back = |at| at - HOUR;
        check(
            &minute(RateKind::Sliding),
            &[
                (0, 2, Ok(3)),
                (20 * SECOND, 3, Ok(0)),
                (back(0), 1, Err(Some(40 * SECOND))),
                (back(40 * SECOND) - 1, 1, Err(Some(1))),
                (back(40 * SECOND), 2, Ok(0)),
                (back(MINUTE) - 1, 1, Err(Some(1))),
                (back(MINUTE), 3, Ok(0)),
            ],
        );
        check(
            &minute(RateKind::Bucket { burst: 5 }),
            &[(0, 5, Ok(0)), (back(0), 1, Err(Some(12 * SECOND))), (back(12 * SECOND), 1, Ok(0))],
        );
        check(
            &minute(RateKind::Fixed),
            &[(0, 5, Ok(0)), (back(30 * SECOND), 1, Err(Some(30 * SECOND))), (back(MINUTE), 5, Ok(0))],
        );
    }

    #[test]
    fn a_new_limit_holds_at_once() {
        let limit = |kind, limit| rate("minute", kind, limit, MINUTE);
        for kind in [RateKind::Sliding, RateKind::Fixed] {
            let mut counter = fresh(kind, NOON);
            charge(&mut counter, &limit(kind, 10), 8, NOON);
            let remaining = |most| read(Some(&counter), &limit(kind, most), NOON).remaining;
            assert_eq!((remaining(10), remaining(5), remaining(20)), (2, 0, 12), "{kind:?}");
        }
        let bucket = |burst| limit(RateKind::Bucket { burst }, burst);
        let mut counter = fresh(bucket(10).kind, NOON);
        charge(&mut counter, &bucket(10), 8, NOON);
        let remaining = |burst, at| read(Some(&counter), &bucket(burst), NOON.plus(at)).remaining;
        assert_eq!((remaining(10, 0), remaining(5, 0), remaining(20, 0)), (2, 0, 12));
        assert_eq!(remaining(5, 24 * SECOND), 2, "a smaller bucket is empty, not in debt");
    }
}
