//! The windows and quotas of one tenant, found by limit and member.

use std::collections::HashMap;
use std::sync::Arc;

use crate::gate::decision::{CounterCharge, CounterId, LimitKind};
use crate::gate::policy::LimitKey;
use crate::gate::state::{Counter, SlidingLog};
use crate::gate::window::CLOCK_AHEAD_MAX;
use crate::time::{DAY, HOUR, SECOND, Timestamp};

/// The most members (keys, consumers) that have counters of their own (rule P).
pub const MEMBERS_MAX: usize = 100_000;

/// The member that stands for all those who have no counter of their own. No key and no consumer has this name.
pub const MEMBER_SHARED: &str = "*";

/// The longest window of a rate limit, in microseconds.
pub const WINDOW_MAX: i64 = 31 * DAY;
/// The longest sliding window, in microseconds.
pub const SLIDING_WINDOW_MAX: i64 = HOUR;

/// How often a full table is searched for members that are free again.
const ROOM_EVERY: i64 = 10 * SECOND;

/// Counters of one tenant. Those of the whole tenant are few and stand in a small list; members may be many.
#[derive(Clone, Debug, Default)]
pub struct CounterTable {
    whole: Vec<(LimitKey, Counter)>,
    members: Option<Box<Members>>,
}

#[derive(Clone, Debug, Default)]
struct Members {
    limits: Vec<(LimitKey, HashMap<Arc<str>, Member>)>,
    count: usize,
    searched_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Member {
    counter: Counter,
    /// When it is wholly free again: then it says no more than a missing one.
    free_at: Timestamp,
}

/// Where a counter stands.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The member's name, as it is kept.
    pub(crate) member: Arc<str>,
    /// The counter.
    pub(crate) counter: &'a mut Counter,
    /// When a member is wholly free again.
    pub(crate) free_at: Option<&'a mut Timestamp>,
}

impl CounterTable {
    /// The counter of a limit and a member; the empty member is the whole tenant.
    #[must_use]
    pub fn get(&self, limit: LimitKey, member: &str) -> Option<&Counter> {
        if member.is_empty() {
            return self.whole.iter().find(|(key, _)| *key == limit).map(|(_, counter)| counter);
        }
        Some(&self.members_of(limit)?.get(member)?.counter)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, limit: LimitKey, member: &str) -> Option<&mut Counter> {
        if member.is_empty() {
            return self.whole.iter_mut().find(|(key, _)| *key == limit).map(|(_, counter)| counter);
        }
        let limits = &mut self.members.as_deref_mut()?.limits;
        let (_, members) = limits.iter_mut().find(|(key, _)| *key == limit)?;
        Some(&mut members.get_mut(member)?.counter)
    }

    /// Puts a counter in its place; what was there is gone.
    pub fn insert(&mut self, id: &CounterId, counter: Counter) {
        let free_at = counter.free_by();
        self.insert_until(id, counter, free_at);
    }

    /// The same, for a counter of which it is known when a member is wholly free again.
    pub fn insert_until(&mut self, id: &CounterId, counter: Counter, free_at: Timestamp) {
        let place =
            self.place(id.limit, &id.member, || Counter::Quota { period_start: Timestamp::EPOCH, used: 0 });
        *place.counter = counter;
        if let Some(place) = place.free_at {
            *place = free_at;
        }
    }

    /// The place of a counter, which begins as `fresh`.
    pub(crate) fn place(
        &mut self,
        limit: LimitKey,
        member: &str,
        fresh: impl FnOnce() -> Counter,
    ) -> Place<'_> {
        if !member.is_empty() {
            return self.members.get_or_insert_default().place(limit, member, fresh);
        }
        let index = self.whole.iter().position(|(key, _)| *key == limit).unwrap_or(self.whole.len());
        if index == self.whole.len() {
            // A tenant has two or three of these, and there may be a million tenants: no room is left over.
            self.whole.reserve_exact(1);
            self.whole.push((limit, fresh()));
        }
        Place { member: Arc::default(), counter: &mut self.whole[index].1, free_at: None }
    }

    /// Whether any member has a counter of its own.
    #[must_use]
    pub fn has_members(&self) -> bool {
        self.members.is_some()
    }

    /// All counters, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (CounterId, &Counter)> {
        let whole = self.whole.iter().map(|(limit, counter)| {
            let id = CounterId { limit: *limit, member: Arc::default() };
            (id, counter)
        });
        let limits = self.members.iter().flat_map(|members| &members.limits);
        let members = limits.flat_map(|(limit, members)| {
            members.iter().map(|(name, member)| {
                let id = CounterId { limit: *limit, member: Arc::clone(name) };
                (id, &member.counter)
            })
        });
        whole.chain(members)
    }

    /// Whether a member is counted on its own; otherwise it is counted on [`MEMBER_SHARED`].
    ///
    /// A new member comes to the shared counter while the table is full, and as long as that counter holds anything: what
    /// the member used there must not be forgotten when a place is free.
    pub(crate) fn is_own(&mut self, limit: LimitKey, member: &str, newcomers: usize, now: Timestamp) -> bool {
        let Some(members) = self.members.as_deref_mut() else { return true };
        if members.of(limit).is_some_and(|members| members.contains_key(member)) {
            return true;
        }
        if members.count.saturating_add(newcomers) >= MEMBERS_MAX {
            members.make_room(now);
        }
        let shared = members.of(limit).and_then(|members| members.get(MEMBER_SHARED));
        let shared_is_free = shared.is_none_or(|shared| shared.is_free(now));
        shared_is_free && members.count.saturating_add(newcomers) < MEMBERS_MAX
    }

    /// Forgets the members that are wholly free again.
    pub(crate) fn tidy(&mut self, now: Timestamp) {
        if let Some(members) = self.members.as_deref_mut() {
            members.tidy(now);
            if members.count == 0 {
                self.members = None;
            }
        }
    }

    fn members_of(&self, limit: LimitKey) -> Option<&HashMap<Arc<str>, Member>> {
        self.members.as_deref()?.of(limit)
    }
}

impl Members {
    fn of(&self, limit: LimitKey) -> Option<&HashMap<Arc<str>, Member>> {
        self.limits.iter().find(|(key, _)| *key == limit).map(|(_, members)| members)
    }

    fn place(&mut self, limit: LimitKey, name: &str, fresh: impl FnOnce() -> Counter) -> Place<'_> {
        let index = self.limits.iter().position(|(key, _)| *key == limit).unwrap_or(self.limits.len());
        if index == self.limits.len() {
            self.limits.push((limit, HashMap::new()));
        }
        let members = &mut self.limits[index].1;
        let name = members.get_key_value(name).map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
        let count = &mut self.count;
        let member = members.entry(Arc::clone(&name)).or_insert_with(|| {
            *count = count.saturating_add(1);
            Member { counter: fresh(), free_at: Timestamp::MAX }
        });
        Place { member: name, counter: &mut member.counter, free_at: Some(&mut member.free_at) }
    }

    /// Searches a full table, but not at every call.
    fn make_room(&mut self, now: Timestamp) {
        let due = self.searched_at.is_none_or(|at| now < at || now.since(at) >= ROOM_EVERY);
        if due {
            self.tidy(now);
            self.searched_at = Some(now);
        }
    }

    fn tidy(&mut self, now: Timestamp) {
        for (_, members) in &mut self.limits {
            members.retain(|_, member| !member.is_free(now));
            members.shrink_to(members.len().saturating_mul(2));
        }
        self.limits.retain(|(_, members)| !members.is_empty());
        self.count = self.limits.iter().map(|(_, members)| members.len()).sum();
    }
}

impl Member {
    /// Whether it can be forgotten, even if the clock steps back as far as it may.
    fn is_free(&self, now: Timestamp) -> bool {
        self.free_at.plus(CLOCK_AHEAD_MAX) <= now
    }
}

impl Counter {
    /// The counter that a charge found in the ledger leaves behind. `earlier` is what the charges before it left, oldest
    /// first (rule K).
    #[must_use]
    pub fn replay(earlier: Option<Self>, charge: &CounterCharge) -> Self {
        match charge.kind {
            LimitKind::Sliding => {
                let mut log = match earlier {
                    Some(Self::Sliding(log)) => log,
                    _ => Box::default(),
                };
                log.push(charge.mark, charge.units);
                Self::Sliding(log)
            }
            LimitKind::Bucket => Self::Bucket { at: charge.mark, units: charge.used_after, parts: 0 },
            LimitKind::Fixed => Self::Fixed { start: charge.mark, used: charge.used_after },
            LimitKind::Quota => Self::Quota { period_start: charge.mark, used: charge.used_after },
        }
    }

    /// A moment at which it is wholly free, whatever its limit.
    #[must_use]
    pub fn free_by(&self) -> Timestamp {
        match self {
            Self::Sliding(log) => {
                log.newest().map_or(Timestamp::EPOCH, |newest| newest.plus(SLIDING_WINDOW_MAX))
            }
            Self::Bucket { at, .. } => at.plus(WINDOW_MAX),
            Self::Fixed { start, .. } => start.plus(WINDOW_MAX),
            Self::Quota { .. } => Timestamp::MAX,
        }
    }
}

impl SlidingLog {
    /// When the newest entry came.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.entries.back().map(|&(at, _)| at)
    }

    /// Adds units that passed at a moment, not before the newest entry.
    pub fn push(&mut self, at: Timestamp, units: i64) {
        let at = self.newest().map_or(at, |newest| newest.max(at));
        match self.entries.back_mut() {
            Some((newest, sum)) if *newest == at => *sum = sum.saturating_add(units),
            _ => self.entries.push_back((at, units)),
        }
        self.units = self.units.saturating_add(units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::NOON;

    const LIMIT: LimitKey = LimitKey(7);

    fn put(table: &mut CounterTable, member: &str, free_at: Timestamp) {
        let place = table.place(LIMIT, member, || Counter::Fixed { start: NOON, used: 1 });
        if let Some(place) = place.free_at {
            *place = free_at;
        }
    }

    fn full() -> CounterTable {
        let mut table = CounterTable::default();
        for member in 0..MEMBERS_MAX {
            put(&mut table, &member.to_string(), NOON.plus(SECOND));
        }
        table
    }

    #[test]
    fn members_beyond_the_most_share_one_counter() {
        let mut table = full();
        assert!(table.is_own(LIMIT, "7", 0, NOON));
        assert!(!table.is_own(LIMIT, "new", 0, NOON));
        assert!(!table.is_own(LimitKey(8), "new", 0, NOON), "the most is over all limits of a tenant");
        assert!(
            !table.is_own(LIMIT, "new", 0, NOON.plus(SECOND)),
            "a full table is not searched at every call"
        );
        assert!(table.is_own(LIMIT, "new", 0, NOON.plus(SECOND + ROOM_EVERY)), "what is free makes room");
        assert_eq!(table.iter().count(), 0);
    }

    #[test]
    fn nobody_leaves_the_shared_counter_with_its_use_forgotten() {
        let mut table = full();
        assert!(!table.is_own(LIMIT, "new", 0, NOON));
        put(&mut table, MEMBER_SHARED, NOON.plus(HOUR));
        table.tidy(NOON.plus(SECOND + CLOCK_AHEAD_MAX));
        assert_eq!(table.iter().count(), 1);
        let free_at = NOON.plus(HOUR + CLOCK_AHEAD_MAX);
        assert!(!table.is_own(LIMIT, "new", 0, free_at.minus(1)));
        assert!(table.is_own(LIMIT, "new", 0, free_at));
    }

    #[test]
    fn newcomers_of_one_call_share_the_last_places() {
        let mut table = full();
        table.members.as_mut().unwrap().count -= 1;
        assert!(table.is_own(LIMIT, "new", 0, NOON));
        assert!(!table.is_own(LIMIT, "newer", 1, NOON));
    }

    #[test]
    fn a_counter_is_what_its_charges_made_it() {
        let charge = |kind, units, used_after, mark| CounterCharge {
            counter: CounterId { limit: LIMIT, member: Arc::default() },
            name: Arc::from("any"),
            kind,
            units,
            used_before: 0,
            used_after,
            limit: Some(9),
            window: SECOND,
            mark,
        };
        let later = NOON.plus(5);
        let log = SlidingLog { entries: [(NOON, 2), (later, 3)].into(), units: 5 };
        for (kind, expected) in [
            (LimitKind::Sliding, Counter::Sliding(Box::new(log))),
            (LimitKind::Bucket, Counter::Bucket { at: later, units: 4, parts: 0 }),
            (LimitKind::Fixed, Counter::Fixed { start: later, used: 4 }),
            (LimitKind::Quota, Counter::Quota { period_start: later, used: 4 }),
        ] {
            let first = Counter::replay(None, &charge(kind, 2, 2, NOON));
            assert_eq!(Counter::replay(Some(first), &charge(kind, 3, 4, later)), expected);
        }
    }
}
