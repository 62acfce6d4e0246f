//! Credits: grants burn by priority, then earliest expiry, then id (rule S).

use std::cmp::Ordering;

use crate::gate::decision::Burn;
use crate::gate::state::Grant;
use crate::time::Timestamp;

impl Grant {
    /// Whether it serves what is decided at `now`: its expiry is exclusive.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    fn burn_order(&self, other: &Self) -> Ordering {
        let key = |grant: &Self| (grant.priority, grant.expires_at.unwrap_or(Timestamp::MAX));
        key(self).cmp(&key(other)).then_with(|| self.id.cmp(&other.id))
    }
}

/// What is free to be spent, in micro-credits. What one grant lacks is no debt of another.
#[must_use]
pub fn balance(grants: &[Grant], now: Timestamp) -> i64 {
    let live = grants.iter().filter(|grant| grant.is_live(now));
    live.fold(0, |sum, grant| sum.saturating_add(grant.remaining_micros.max(0)))
}

/// Puts a grant in its place in the order of burning; `false`: its id is there already.
pub fn insert(grants: &mut Vec<Grant>, grant: Grant) -> bool {
    if grants.iter().any(|known| known.id == grant.id) {
        return false;
    }
    let place = grants.partition_point(|known| known.burn_order(&grant).is_lt());
    grants.reserve_exact(1);
    grants.insert(place, grant);
    true
}

/// Takes as much of the price as the live grants have, and says what no grant covered.
pub(crate) fn burn(grants: &mut [Grant], price_micros: i64, now: Timestamp) -> (Vec<Burn>, i64) {
    let mut burns = Vec::new();
    let mut rest = price_micros;
    for grant in grants {
        if rest == 0 {
            break;
        }
        let micros = grant.remaining_micros.min(rest);
        if micros > 0 && grant.is_live(now) {
            grant.remaining_micros = grant.remaining_micros.saturating_sub(micros);
            rest = rest.saturating_sub(micros);
            burns.push(Burn { grant: grant.id.clone(), micros });
        }
    }
    (burns, rest)
}

/// Gives back what was held to the grants that still serve; for the others it is breakage.
pub(crate) fn give_back(grants: &mut [Grant], released: &[Burn], now: Timestamp) {
    for burn in released {
        if let Some(grant) = grants.iter_mut().find(|grant| grant.id == burn.grant && grant.is_live(now)) {
            grant.remaining_micros = grant.remaining_micros.saturating_add(burn.micros);
        }
    }
}

/// Splits what is held into what the price takes, in the order in which it was held, and what is left.
pub(crate) fn split(held: &[Burn], price_micros: i64) -> (Vec<Burn>, Vec<Burn>) {
    let (mut paid, mut left) = (Vec::new(), Vec::new());
    let mut rest = price_micros;
    for burn in held {
        let micros = burn.micros.min(rest);
        rest = rest.saturating_sub(micros);
        let parts = [(&mut paid, micros), (&mut left, burn.micros.saturating_sub(micros))];
        for (part, micros) in parts {
            if micros > 0 {
                part.push(Burn { grant: burn.grant.clone(), micros });
            }
        }
    }
    (paid, left)
}

/// The sum of burns, in micro-credits.
#[must_use]
pub fn total(burns: &[Burn]) -> i64 {
    burns.iter().fold(0, |sum, burn| sum.saturating_add(burn.micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::{NOON, grant};
    use crate::time::DAY;

    fn wallet(grants: Vec<Grant>) -> Vec<Grant> {
        let mut wallet = Vec::new();
        for grant in grants {
            assert!(insert(&mut wallet, grant));
        }
        wallet
    }

    fn check(grants: Vec<Grant>, price: i64, expected: &[(&str, i64)], rest: i64) {
        let mut grants = wallet(grants);
        let before = balance(&grants, NOON);
        let (burns, uncovered) = burn(&mut grants, price, NOON);
        let split: Vec<_> = burns.iter().map(|burn| (&*burn.grant, burn.micros)).collect();
        assert_eq!((&*split, uncovered), (expected, rest));
        assert_eq!(balance(&grants, NOON).saturating_add(total(&burns)), before);
    }

    #[test]
    fn grants_burn_by_priority_then_expiry_then_id() {
        let (soon, late) = (Some(NOON.plus(DAY)), Some(NOON.plus(2 * DAY)));
        let grants = || {
            vec![
                grant("b", 2, soon, 10),
                grant("a", 2, None, 10),
                grant("d", 2, soon, 10),
                grant("c", 2, late, 10),
                grant("e", 1, None, 10),
            ]
        };
        check(grants(), 50, &[("e", 10), ("b", 10), ("d", 10), ("c", 10), ("a", 10)], 0);
        check(grants(), 15, &[("e", 10), ("b", 5)], 0);
        check(grants(), 51, &[("e", 10), ("b", 10), ("d", 10), ("c", 10), ("a", 10)], 1);
        check(grants(), 0, &[], 0);
    }

    #[test]
    fn a_grant_serves_until_its_expiry_exclusive() {
        check(vec![grant("a", 1, Some(NOON.plus(1)), 5)], 5, &[("a", 5)], 0);
        check(vec![grant("a", 1, Some(NOON), 5)], 5, &[], 5);
        check(vec![grant("a", 1, Some(NOON.minus(1)), 5), grant("b", 2, None, 3)], 5, &[("b", 3)], 2);
    }

    #[test]
    fn a_grant_is_there_once() {
        let mut grants = wallet(vec![grant("a", 1, None, 5)]);
        assert!(!insert(&mut grants, grant("a", 2, None, 7)));
        assert_eq!(balance(&grants, NOON), 5);
    }

    #[test]
    fn what_was_held_of_an_expired_grant_does_not_come_back() {
        let mut grants = wallet(vec![grant("a", 1, Some(NOON.plus(1)), 5), grant("b", 2, None, 5)]);
        let (held, _) = burn(&mut grants, 10, NOON);
        give_back(&mut grants, &held, NOON.plus(1));
        assert_eq!(balance(&grants, NOON), 5);
    }

    #[test]
    fn a_hold_is_split_in_the_order_in_which_it_was_taken() {
        let held = [("a", 4), ("b", 6)].map(|(id, micros)| Burn { grant: id.into(), micros });
        for (price, paid, left) in [(0, 0, 10), (3, 3, 7), (4, 4, 6), (5, 5, 5), (10, 10, 0), (12, 10, 0)] {
            let (taken, rest) = split(&held, price);
            assert_eq!((total(&taken), total(&rest)), (paid, left), "{price}");
            assert!(taken.iter().chain(&rest).all(|burn| burn.micros > 0));
        }
    }
}
