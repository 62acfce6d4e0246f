//! The exact sliding window: a log of what passed. An entry counts from its time on for the window's length, its end
//! exclusive, so that no interval of that length ever holds more than the limit.

use crate::gate::state::SlidingLog;
use crate::gate::window::{Reading, is_ahead};
use crate::time::Timestamp;

pub(super) fn read(log: &SlidingLog, limit: i64, window: i64, now: Timestamp) -> Reading {
    let used = log.units.saturating_sub(left(log, window, now));
    let newest = log.newest().filter(|_| used > 0);
    let reset_at = newest.map_or(now, |newest| newest.plus(window));
    Reading { used, remaining: limit.saturating_sub(used).max(0), reset_at }
}

/// When no more than `room` units are in the window any longer.
pub(super) fn free_at(log: &SlidingLog, room: i64, window: i64, now: Timestamp) -> Timestamp {
    let time = time(log, now);
    let mut units = log.units;
    let mut free_at = now;
    for &(at, weight) in &log.entries {
        if units <= room {
            break;
        }
        units = units.saturating_sub(weight);
        free_at = at.plus(window);
    }
    // While the clock catches up with the log, the log's own time is what entries have left by.
    if free_at <= time { now } else { free_at }
}

pub(super) fn charge(log: &mut SlidingLog, window: i64, units: i64, now: Timestamp) -> Timestamp {
    let now = time(log, now);
    while let Some(&(at, weight)) = log.entries.front()
        && at.plus(window) <= now
    {
        log.entries.pop_front();
        log.units = log.units.saturating_sub(weight);
    }
    log.push(now, units);
    now
}

/// Moves the whole log, so that its newest entry stands at the clock and the ages of all are kept.
pub(super) fn pull_back(log: &mut SlidingLog, now: Timestamp) {
    let Some(newest) = log.newest().filter(|&newest| is_ahead(newest, now)) else { return };
    let ahead = newest.since(now);
    for (at, _) in &mut log.entries {
        *at = at.minus(ahead);
    }
}

/// The units that have left the window, which a charge will prune.
fn left(log: &SlidingLog, window: i64, now: Timestamp) -> i64 {
    let now = time(log, now);
    let gone = log.entries.partition_point(|&(at, _)| at.plus(window) <= now);
    let staying = log.entries.len().saturating_sub(gone);
    // Sums up whichever part is shorter: a log that was forgotten for long is read as fast as one in use.
    if gone <= staying {
        return log.entries.iter().take(gone).map(|&(_, units)| units).sum();
    }
    log.units.saturating_sub(log.entries.iter().skip(gone).map(|&(_, units)| units).sum())
}

/// The log's own time, which never runs backward.
fn time(log: &SlidingLog, now: Timestamp) -> Timestamp {
    log.newest().map_or(now, |newest| newest.max(now))
}
