//! The token bucket (GCRA), in whole numbers: what is missing is counted in parts of a unit, as many as the window has
//! microseconds, and each microsecond gives back as many parts as the limit has units. Nothing is ever rounded, so
//! that what passes in any time T is at most burst + limit · T / window.

use crate::gate::policy::RateLimit;
use crate::gate::window::Reading;
use crate::time::Timestamp;

/// How a bucket fills up again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refill {
    /// Parts given back in a microsecond.
    limit: i128,
    /// Parts in a unit.
    window: i128,
    /// Units in the full bucket.
    burst: i64,
}

impl Refill {
    pub(super) fn of(rate: &RateLimit, burst: i64) -> Self {
        Self { limit: i128::from(rate.limit), window: i128::from(rate.window), burst }
    }

    pub(super) fn read(self, at: Timestamp, units: i64, parts: i64, now: Timestamp) -> Reading {
        let missing = self.missing(at, units, parts, now);
        let used = whole(up(missing, self.window));
        let reset_at = at.max(now).plus(whole(up(missing, self.limit)));
        Reading { used, remaining: self.burst.saturating_sub(used), reset_at }
    }

    /// When that many units fit.
    pub(super) fn free_at(
        self,
        at: Timestamp,
        missing: i64,
        parts: i64,
        units: i64,
        now: Timestamp,
    ) -> Timestamp {
        let room = self.parts(self.burst.saturating_sub(units));
        let excess = self.missing(at, missing, parts, now).saturating_sub(room).max(0);
        at.max(now).plus(whole(up(excess, self.limit)))
    }

    /// The bucket after a charge: its time, the units missing, and the parts beyond them.
    pub(super) fn charge(
        self,
        at: Timestamp,
        missing: i64,
        parts: i64,
        units: i64,
        now: Timestamp,
    ) -> (Timestamp, i64, i64) {
        let missing = self.missing(at, missing, parts, now).saturating_add(self.parts(units));
        let units = missing.div_euclid(self.window);
        (at.max(now), whole(units), whole(missing.rem_euclid(self.window)))
    }

    /// The parts missing at `now`. A bucket is never more than empty: a plan with a smaller one forgives the difference.
    fn missing(self, at: Timestamp, units: i64, parts: i64, now: Timestamp) -> i128 {
        let then = self.parts(units).saturating_add(i128::from(parts));
        let refilled = i128::from(now.since(at).max(0)).saturating_mul(self.limit);
        then.min(self.parts(self.burst)).saturating_sub(refilled).max(0)
    }

    fn parts(self, units: i64) -> i128 {
        i128::from(units).saturating_mul(self.window)
    }
}

/// A quotient rounded up.
fn up(dividend: i128, divisor: i128) -> i128 {
    dividend.saturating_add(divisor.saturating_sub(1)).div_euclid(divisor)
}

fn whole(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
