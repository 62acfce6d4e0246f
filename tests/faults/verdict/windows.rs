//! The most that passed a rate limit in any of its windows.

use std::collections::BTreeMap;

use tollgate_client::v1::{LimitKind, RateLimit};

use super::limits::Admitted;
use crate::history::Blind;

/// The most units in one window: far from every fault, and near one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worst {
    pub(super) far: i128,
    pub(super) near: i128,
}

/// Units of a window, with its first and last moment.
struct Window {
    from: i128,
    until: i128,
    units: i128,
}

/// What one window may have, in a bucket what may pass at once.
pub(super) fn allowed(rate: &RateLimit) -> i128 {
    i128::from(if rate.kind() == LimitKind::TokenBucket && rate.burst > 0 { rate.burst } else { rate.limit })
}

/// The most that passed. All limits of the workload hold for every endpoint.
pub(super) fn worst(rate: &RateLimit, decided: &[Admitted], blinds: &[&Blind]) -> Worst {
    let length = i128::from(rate.window.map_or(0, |window| window.seconds)) * 1_000_000;
    let windows = match rate.kind() {
        LimitKind::SlidingWindow => sliding(decided, length),
        LimitKind::FixedWindow => fixed(decided, length),
        LimitKind::TokenBucket => bucket(decided, i128::from(rate.limit), length, blinds),
        LimitKind::Quota | LimitKind::Unspecified => Vec::new(),
    };
    let mut worst = Worst::default();
    for window in windows {
        let is_near = blinds.iter().any(|blind| {
            // What the counters lost of a window is lost until the window has passed.
            i128::from(blind.from) <= window.until && window.from <= i128::from(blind.until) + length
        });
        let most = if is_near { &mut worst.near } else { &mut worst.far };
        *most = window.units.max(*most);
    }
    worst
}

/// Each interval of that length that ends with a call.
fn sliding(decided: &[Admitted], length: i128) -> Vec<Window> {
    let (mut units, mut oldest) = (0, 0);
    let mut windows = Vec::with_capacity(decided.len());
    for (at, more) in decided {
        units += more;
        while decided[oldest].0 <= at - length {
            units -= decided[oldest].1;
            oldest += 1;
        }
        windows.push(Window { from: at - length, until: *at, units });
    }
    windows
}

fn fixed(decided: &[Admitted], length: i128) -> Vec<Window> {
    let mut windows = BTreeMap::<i128, i128>::new();
    for (at, units) in decided {
        *windows.entry(at.div_euclid(length) * length).or_default() += units;
    }
    windows.into_iter().map(|(from, units)| Window { from, until: from + length - 1, units }).collect()
}

/// Pours each call into a bucket that leaks `limit` in a window: the units in it after each, rounded up. After a fault it
/// begins anew, for nobody knows what was in it.
fn bucket(decided: &[Admitted], limit: i128, length: i128, blinds: &[&Blind]) -> Vec<Window> {
    let (mut level, mut before) = (0_i128, None);
    let mut windows = Vec::with_capacity(decided.len());
    for (at, units) in decided {
        let last = before.unwrap_or(*at);
        let ends = blinds.iter().map(|blind| i128::from(blind.until) + length);
        if ends.filter(|end| (last..*at).contains(end)).count() > 0 {
            level = 0;
        }
        // Levels are in units times the window's length.
        level = (level - (at - last) * limit).max(0) + units * length;
        before = Some(*at);
        let units = level.div_euclid(length) + i128::from(level.rem_euclid(length) > 0);
        windows.push(Window { from: *at, until: *at, units });
    }
    windows
}
