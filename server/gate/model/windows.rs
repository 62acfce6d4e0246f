//! Windows as simply as can be: what passed is kept as a list, and summed up anew at each question.

use crate::gate::policy::{RateKind, RateLimit};
use crate::gate::window::CLOCK_AHEAD_MAX;
use crate::time::Timestamp;

/// One counter of a rate limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// When units passed; in a fixed window, the start of the window that they passed in. Never out of order.
    passed: Vec<(i64, i64)>,
    /// When units passed last, as the counter was told then: it is kept for that long, even if it is pulled back since.
    charged_at: i64,
}

impl Window {
    /// The units that fit at a moment of the clock.
    pub(super) fn remaining(&mut self, rate: &RateLimit, now: Timestamp) -> i64 {
        self.pull_back(rate, now);
        let time = self.time(rate, now);
        let since = |from: i64| {
            self.passed.iter().filter(|&&(at, _)| at >= from).map(|&(_, units)| units).sum::<i64>()
        };
        match rate.kind {
            RateKind::Sliding => rate.limit - since(time - rate.window + 1),
            RateKind::Fixed => rate.limit - since(time),
            RateKind::Bucket { burst } => {
                let full = i128::from(burst) * i128::from(rate.window);
                let mut tokens = full;
                let mut before = None;
                for &(at, units) in self.passed.iter().chain([&(time, 0)]) {
                    let elapsed = i128::from(at - before.unwrap_or(at));
                    tokens = full.min(tokens + elapsed * i128::from(rate.limit));
                    tokens -= i128::from(units) * i128::from(rate.window);
                    before = Some(at);
                }
                i64::try_from(tokens.div_euclid(i128::from(rate.window))).unwrap()
            }
        }
    }

    /// Lets units pass, and checks promise I5 over every interval that ends with them.
    pub(super) fn pass(&mut self, rate: &RateLimit, units: i64, now: Timestamp) {
        let time = self.time(rate, now);
        self.passed.push((time, units));
        self.charged_at = time;
        let mut sum = 0;
        for &(at, units) in self.passed.iter().rev() {
            let promised = match rate.kind {
                RateKind::Sliding if time - at >= rate.window => break,
                RateKind::Fixed if at < time => break,
                RateKind::Sliding | RateKind::Fixed => rate.limit * rate.window,
                RateKind::Bucket { burst } => burst * rate.window + (time - at) * rate.limit,
            };
            sum += units;
            assert!(sum * rate.window <= promised, "{} passed {sum} in {} µs", rate.name, time - at);
        }
        // After such a rest every window is free and every bucket full: what was before says nothing.
        let full = self.passed.windows(2).rposition(|pair| pair[1].0 - pair[0].0 >= 3 * rate.window);
        if let Some(full) = full {
            self.passed.drain(..=full);
        }
    }

    /// Whether a sliding window holds nothing, even if the clock steps back as far as it may.
    pub(super) fn is_free(&self, rate: &RateLimit, now: Timestamp) -> bool {
        self.charged_at + rate.window + CLOCK_AHEAD_MAX <= now.micros()
    }

    fn time(&self, rate: &RateLimit, now: Timestamp) -> i64 {
        let clock = if rate.kind == RateKind::Fixed { now.floor(rate.window) } else { now };
        self.passed.last().map_or(clock.micros(), |newest| newest.0.max(clock.micros()))
    }

    /// Where the clock was wrong by more than it may be, all that passed keeps its age.
    fn pull_back(&mut self, rate: &RateLimit, now: Timestamp) {
        let Some(&(newest, _)) = self.passed.last() else { return };
        if newest - now.micros() <= CLOCK_AHEAD_MAX {
            return;
        }
        if rate.kind == RateKind::Fixed {
            self.passed.retain(|&(at, _)| at == newest);
            self.passed.iter_mut().for_each(|entry| entry.0 = now.floor(rate.window).micros());
        } else {
            self.passed.iter_mut().for_each(|entry| entry.0 -= newest - now.micros());
        }
    }
}
