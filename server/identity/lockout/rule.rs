//! How many tries are looked at, and when the next one is.

use crate::identity::lockout::failures::Count;
use crate::identity::lockout::lock::Lock;
use crate::time::{DAY, MINUTE, SECOND, Timestamp};

/// Wrong ones in a row from one network before the first wait.
const PAIR_FREE: u32 = 5;
/// The longest wait between two of them.
const PAIR_WAIT_MAX: i64 = 15 * MINUTE;
/// How long they are remembered.
const PAIR_LIFE: i64 = DAY;
/// Wrong ones from one network, whatever the account, in [`NETWORK_LIFE`].
const NETWORK_FREE: u32 = 100;
const NETWORK_LIFE: i64 = 10 * MINUTE;
/// Wrong ones on one account, wherever from, before they have to wait for each other.
const ACCOUNT_FREE: u32 = 25;
/// How many of them there are in [`ACCOUNT_LIFE`]. An hour touches three of those at most.
const ACCOUNT_MAX: u32 = 33;
const ACCOUNT_LIFE: i64 = 30 * MINUTE;
/// The wait between two of them then.
const ACCOUNT_WAIT: i64 = MINUTE;

/// What tries are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// One account from one network.
    Pair,
    /// One network.
    Network,
    /// One account.
    Account,
}

impl Rule {
    /// How long its counts live, in microseconds.
    pub(super) const fn lifetime(self) -> i64 {
        match self {
            Self::Pair => PAIR_LIFE,
            Self::Network => NETWORK_LIFE,
            Self::Account => ACCOUNT_LIFE,
        }
    }

    /// So many are looked at before there is a lock.
    const fn free(self) -> u32 {
        match self {
            Self::Pair => PAIR_FREE,
            Self::Network => NETWORK_FREE,
            Self::Account => ACCOUNT_FREE,
        }
    }

    /// The lock that a try leaves which is looked at now and counted as `count`; `None`: the next one need not wait. What the
    /// lock before it says holds, should the count be lost.
    pub(super) fn lock(
        self,
        id: &str,
        account: &str,
        before: Option<&Lock>,
        count: Count,
        now: Timestamp,
    ) -> Option<Lock> {
        let before = before.filter(|lock| lock.ends_at > now);
        // Many that come at once have all been counted when the first of them gets here: it is the first for all that.
        let failures = before.map_or(count.failures.min(self.free()), |lock| lock.failures.saturating_add(1));
        let ends_at = before.map_or(count.ends_at, |lock| lock.ends_at);
        let (until, ends_at) = match self {
            Self::Pair if failures >= PAIR_FREE => {
                let doublings = failures.saturating_sub(PAIR_FREE).min(20);
                let until = now.plus((SECOND << doublings).min(PAIR_WAIT_MAX));
                (until, until.plus(PAIR_LIFE))
            }
            Self::Network if failures >= NETWORK_FREE => (ends_at, ends_at),
            Self::Account if failures >= ACCOUNT_MAX => (ends_at, ends_at),
            Self::Account if failures >= ACCOUNT_FREE => (now.plus(ACCOUNT_WAIT), ends_at),
            Self::Pair | Self::Network | Self::Account => return None,
        };
        let account = if self == Self::Network { String::new() } else { account.to_owned() };
        Some(Lock { id: id.to_owned(), account, until, failures, ends_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_588_200_000_000);

    fn lock(failures: u32, ends_at: Timestamp) -> Lock {
        Lock { id: "id".into(), account: "account".into(), until: NOW, failures, ends_at }
    }

    /// The wait in seconds after so many wrong ones, half of a count's life before it ends.
    #[track_caller]
    fn check(rule: Rule, failures: u32, expected: Option<i64>) {
        let count = Count { failures, ends_at: NOW.plus(rule.lifetime() / 2) };
        let before = lock(failures.saturating_sub(1), count.ends_at);
        let before = (failures > rule.free()).then_some(&before);
        let lock = rule.lock("id", "account", before, count, NOW);
        assert_eq!(lock.map(|lock| lock.until.since(NOW) / SECOND), expected, "{rule:?} {failures}");
    }

    #[test]
    fn waits_grow_and_end() {
        check(Rule::Pair, 4, None);
        check(Rule::Pair, 5, Some(1));
        check(Rule::Pair, 6, Some(2));
        check(Rule::Pair, 14, Some(512));
        check(Rule::Pair, 15, Some(900));
        check(Rule::Pair, u32::MAX, Some(900));
        check(Rule::Network, 99, None);
        check(Rule::Network, 100, Some(300));
        check(Rule::Account, 24, None);
        check(Rule::Account, 25, Some(60));
        check(Rule::Account, 32, Some(60));
        check(Rule::Account, 33, Some(900));
    }

    #[test]
    fn many_at_once_are_one_after_the_other() {
        let count = Count { failures: 50, ends_at: NOW.plus(DAY) };
        let lock = Rule::Pair.lock("id", "account", None, count, NOW).unwrap();
        assert_eq!((lock.failures, lock.until.since(NOW)), (5, SECOND));
    }

    #[test]
    fn lost_count_goes_on_where_the_lock_was() {
        let lost = |rule: Rule, before: &Lock| {
            let count = Count { failures: 1, ends_at: NOW.plus(rule.lifetime()) };
            rule.lock("id", "account", Some(before), count, NOW).map(|lock| lock.failures)
        };
        assert_eq!(lost(Rule::Pair, &lock(7, NOW.plus(1))), Some(8));
        assert_eq!(lost(Rule::Pair, &lock(7, NOW)), None);
        assert_eq!(lost(Rule::Account, &lock(30, NOW.plus(1))), Some(31));
        assert_eq!(lost(Rule::Network, &lock(100, NOW.plus(1))), Some(101));
    }
}
