//! A part of all tenants under one lock, with the marks of their events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::adapters::memory::marks::{Answer, Marks, NewMark};
use crate::adapters::memory::resting::Resting;
use crate::adapters::memory::tenant::Tenant;
use crate::gate::state::State;
use crate::time::{HOUR, SECOND, Timestamp};

/// How long a tenant may be idle before it is let go. It is loaded again at its next use (rule K).
const IDLE_MAX: i64 = HOUR;
/// How long a tenant may be idle before it is packed.
const AWAKE_MAX: i64 = 10 * SECOND;

/// A part of all tenants.
#[derive(Debug)]
pub(super) struct Shard {
    tenants: HashMap<Arc<str>, Slot>,
    /// The marks of their events.
    pub(super) marks: Marks,
    /// Every tenant that is awake, once, in the order in which they are looked at.
    awake: VecDeque<Arc<str>>,
    /// Tenants that rest or have rested, each once, and when each may have been idle for too long; soonest first.
    ///
    /// They are not looked at before: a million of them are in no cache.
    resting: VecDeque<(Arc<str>, Timestamp)>,
}

#[derive(Debug)]
enum Slot {
    Awake(Box<Tenant>),
    Resting(Resting),
}

impl Shard {
    pub(super) fn new(marks_max: usize) -> Self {
        let marks = Marks::new(marks_max);
        Self { tenants: HashMap::new(), marks, awake: VecDeque::new(), resting: VecDeque::new() }
    }

    /// The tenant and the marks, if the tenant is installed. Each call looks after one or two others.
    pub(super) fn tenant(&mut self, tenant: &str, now: Timestamp) -> Option<(&mut Tenant, &mut Marks)> {
        self.put_to_rest(tenant, now);
        self.let_go(tenant, now);
        if let Slot::Resting(resting) = self.tenants.get(tenant)? {
            let woken = Box::new(resting.unpack()?);
            let (name, _) = self.tenants.get_key_value(tenant)?;
            self.awake.push_back(Arc::clone(name));
            *self.tenants.get_mut(tenant)? = Slot::Awake(woken);
        }
        let Slot::Awake(tenant) = self.tenants.get_mut(tenant)? else { return None };
        tenant.used_at = now;
        Some((tenant, &mut self.marks))
    }

    /// Installs a tenant with its marks, where none is.
    pub(super) fn install(&mut self, tenant: &str, mut state: State, now: Timestamp) {
        if self.tenants.contains_key(tenant) {
            return;
        }
        for mark in std::mem::take(&mut state.marks) {
            let (payload, at, price_micros) = (mark.payload, mark.at, mark.price_micros);
            let decided = (mark.event, payload, price_micros);
            let completed = mark.outcome.map(|outcome| (mark.event.completion(), outcome, 0));
            for (event, payload, price_micros) in [Some(decided), completed].into_iter().flatten() {
                if self.marks.find(event, now).is_none() {
                    let answer = Answer::Plain;
                    self.marks.keep(NewMark { event, payload, at, price_micros, answer, durable: true }, now);
                }
            }
        }
        let name: Arc<str> = Arc::from(tenant);
        self.awake.push_back(Arc::clone(&name));
        self.tenants.insert(name, Slot::Awake(Box::new(Tenant::new(state, now))));
    }

    /// Looks at the next tenant that is awake: tidies it, and packs it if it has not been called for a while.
    fn put_to_rest(&mut self, called: &str, now: Timestamp) {
        let Some(name) = self.awake.pop_front() else { return };
        let Some(Slot::Awake(tenant)) = self.tenants.get_mut(&name) else { return };
        tenant.tidy(now);
        let idle = now.since(tenant.used_at);
        if idle <= AWAKE_MAX || *name == *called {
            self.awake.push_back(name);
        } else if let Some(resting) = Resting::pack(tenant) {
            if !tenant.is_queued {
                self.resting.push_back((Arc::clone(&name), tenant.used_at.plus(IDLE_MAX)));
            }
            self.tenants.insert(name, Slot::Resting(resting));
        } else if idle <= IDLE_MAX || tenant.state.has_holds() {
            self.awake.push_back(name);
        } else {
            self.tenants.remove(&name);
        }
    }

    /// Lets go the tenant that has rested for longest, if that is long enough.
    fn let_go(&mut self, called: &str, now: Timestamp) {
        if self.resting.front().is_none_or(|(_, due_at)| now <= *due_at) {
            return;
        }
        let Some((name, _)) = self.resting.pop_front() else { return };
        // A mark of a tenant that is idle for so long has been abandoned or answers no longer.
        match self.tenants.get_mut(&name) {
            Some(Slot::Awake(tenant)) => tenant.is_queued = false,
            Some(Slot::Resting(resting)) if resting.used_at().plus(IDLE_MAX) >= now || *name == *called => {
                let due_at = resting.used_at().plus(IDLE_MAX);
                self.resting.push_back((name, due_at));
            }
            Some(Slot::Resting(_)) => drop(self.tenants.remove(&name)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::decision::Burn;
    use crate::gate::state::{Grant, Reservation};
    use crate::time::MINUTE;

    const NOON: Timestamp = Timestamp::from_micros(1_793_534_400_000_000);

    fn shard(state: State) -> Shard {
        let mut shard = Shard::new(9);
        shard.install("acme", state, NOON);
        shard.install("other", State::default(), NOON);
        shard
    }

    /// Lets every tenant be looked at while nobody is called.
    fn pass_round(shard: &mut Shard, now: Timestamp) {
        for _ in 0..10 {
            assert!(shard.tenant("nobody", now).is_none());
        }
    }

    fn held() -> State {
        let held = vec![Burn { grant: Arc::from("gift"), micros: 6 }];
        let (opened_at, expires_at) = (NOON, NOON.plus(HOUR));
        let mut state = State::default();
        let hold = Reservation { held, opened_at, expires_at, excess_allowed: false, ended: None };
        state.reservations.insert(Arc::from("res_1"), hold);
        state
    }

    fn check(state: State, idle: i64, expected: Option<bool>) {
        let mut shard = shard(state);
        pass_round(&mut shard, NOON.plus(idle));
        let rests = shard.tenants.get("acme").map(|slot| matches!(slot, Slot::Resting(_)));
        assert_eq!(rests, expected, "{idle}");
        assert_eq!(shard.awake.len() + shard.resting.len(), shard.tenants.len());
    }

    #[test]
    fn an_idle_tenant_is_packed_and_then_let_go() {
        check(State::default(), AWAKE_MAX, Some(false));
        check(State::default(), AWAKE_MAX + 1, Some(true));
        check(State::default(), IDLE_MAX, Some(true));
        check(State::default(), IDLE_MAX + 1, None);
        check(State::default(), -HOUR, Some(false));
    }

    #[test]
    fn a_tenant_with_a_living_reservation_stays() {
        check(held(), IDLE_MAX, Some(false));
        check(held(), 2 * IDLE_MAX, Some(false));
    }

    #[test]
    fn a_tenant_that_rests_is_let_go_after_an_hour_and_woken_by_a_call() {
        let grants =
            vec![Grant { id: Arc::from("gift"), priority: 1, expires_at: None, remaining_micros: 5 }];
        let mut shard = shard(State { grants: grants.clone(), ..State::default() });
        pass_round(&mut shard, NOON.plus(MINUTE));
        let (tenant, _) = shard.tenant("acme", NOON.plus(MINUTE)).unwrap();
        assert_eq!((&tenant.state.grants, tenant.used_at), (&grants, NOON.plus(MINUTE)));
        pass_round(&mut shard, NOON.plus(2 * MINUTE));
        pass_round(&mut shard, NOON.plus(MINUTE + IDLE_MAX));
        assert!(shard.tenants.contains_key("acme") && !shard.tenants.contains_key("other"));
        pass_round(&mut shard, NOON.plus(MINUTE + IDLE_MAX + 1));
        assert!(shard.tenants.is_empty() && shard.awake.is_empty() && shard.resting.is_empty());
    }
}
