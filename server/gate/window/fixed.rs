//! The fixed window: counted anew at each multiple of its length since the epoch.

use crate::gate::window::Reading;
use crate::time::Timestamp;

pub(super) fn read(start: Timestamp, used: i64, limit: i64, window: i64, now: Timestamp) -> Reading {
    let (start, used) = current(start, used, window, now);
    Reading { used, remaining: limit.saturating_sub(used).max(0), reset_at: start.plus(window) }
}

pub(super) fn charge(
    start: Timestamp,
    used: i64,
    window: i64,
    units: i64,
    now: Timestamp,
) -> (Timestamp, i64) {
    let (start, used) = current(start, used, window, now);
    (start, used.saturating_add(units))
}

/// The window that counts at `now`: the stored one as long as the clock has not passed it, even if it is before it.
fn current(start: Timestamp, used: i64, window: i64, now: Timestamp) -> (Timestamp, i64) {
    let here = now.floor(window);
    if here > start { (here, 0) } else { (start, used) }
}
