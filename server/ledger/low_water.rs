//! Low-water time: a moment before which this process will never again append a decision (rule C).

use std::sync::atomic::{AtomicU32, Ordering};

use crate::time::{SECOND, Timestamp};

/// Seconds that are kept apart. A place lives for at most 10 s in the queue, so none is older than the ring.
const SECONDS: usize = 64;
/// How far back the oldest place may be, in seconds: the ring less the present second.
const BACK_MAX: i64 = 63;

/// Counts the places taken in each of the last seconds.
#[derive(Debug)]
pub struct LowWater([AtomicU32; SECONDS]);

impl Default for LowWater {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl LowWater {
    /// A place was taken at that moment.
    pub fn enter(&self, at: Timestamp) {
        self.slot(at.seconds()).fetch_add(1, Ordering::AcqRel);
    }

    /// The place that was taken at that moment was given back, or its decision was appended.
    pub fn leave(&self, at: Timestamp) {
        self.slot(at.seconds()).fetch_sub(1, Ordering::AcqRel);
    }

    /// No decision before this moment will be appended any more.
    #[must_use]
    pub fn before(&self, now: Timestamp) -> Timestamp {
        let present = now.seconds();
        let first = present.saturating_sub(BACK_MAX);
        let oldest = (first..=present).find(|second| self.slot(*second).load(Ordering::Acquire) > 0);
        Timestamp::from_micros(oldest.unwrap_or(present).saturating_mul(SECOND))
    }

    fn slot(&self, second: i64) -> &AtomicU32 {
        let index = usize::try_from(second.rem_euclid(BACK_MAX.saturating_add(1))).unwrap_or(0);
        &self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND + 5)
    }

    #[test]
    fn an_open_place_holds_it_back() {
        let low_water = LowWater::default();
        low_water.enter(at(100));
        low_water.enter(at(103));
        assert_eq!(low_water.before(at(105)).seconds(), 100);
        low_water.leave(at(100));
        assert_eq!(low_water.before(at(105)).seconds(), 103);
        low_water.leave(at(103));
        assert_eq!(low_water.before(at(105)).seconds(), 105);
    }

    #[test]
    fn it_never_passes_the_present_second() {
        assert_eq!(LowWater::default().before(at(7)), Timestamp::from_micros(7 * SECOND));
    }
}
