//! A part of all tenants under one lock, with the marks of their events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::adapters::memory::marks::{Answer, Marks, NewMark};
use crate::gate::counters::Correction;
use crate::gate::state::{Counter, State};
use crate::money::MICROS_MAX;
use crate::time::{HOUR, MINUTE, Timestamp};

/// How long a tenant may be idle before it is let go. It is loaded again at its next use (rule K).
const IDLE_MAX: i64 = HOUR;
/// How often a tenant's counters are tidied.
const TIDY_EVERY: i64 = MINUTE;
/// Every so many calls, one tenant of the shard is looked at.
const LOOK_EVERY: u32 = 4;

/// A part of all tenants.
#[derive(Debug)]
pub(super) struct Shard {
    tenants: HashMap<Arc<str>, Box<Tenant>>,
    /// The marks of their events.
    pub(super) marks: Marks,
    /// Every tenant once, in the order in which they are looked at.
    round: VecDeque<Arc<str>>,
    calls: u32,
}

/// One tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    /// Its counters.
    pub(super) state: State,
    corrected: Option<u64>,
    used_at: Timestamp,
    tidied_at: Timestamp,
}

impl Shard {
    pub(super) fn new(marks_max: usize) -> Self {
        let marks = Marks::new(marks_max);
        Self { tenants: HashMap::new(), marks, round: VecDeque::new(), calls: 0 }
    }

    /// The tenant and the marks, if the tenant is installed. Now and then another tenant is let go.
    pub(super) fn tenant(&mut self, tenant: &str, now: Timestamp) -> Option<(&mut Tenant, &mut Marks)> {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(LOOK_EVERY) {
            self.look_around(tenant, now);
        }
        let tenant = self.tenants.get_mut(tenant)?;
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
        state.grants.shrink_to_fit();
        let name: Arc<str> = Arc::from(tenant);
        let tenant = Tenant { state, corrected: None, used_at: now, tidied_at: now };
        self.round.push_back(Arc::clone(&name));
        self.tenants.insert(name, Box::new(tenant));
    }

    /// Looks at one tenant, the next in the round, while another is called.
    fn look_around(&mut self, called: &str, now: Timestamp) {
        let Some(name) = self.round.pop_front() else { return };
        let Some(tenant) = self.tenants.get_mut(&name) else { return };
        // A mark of a tenant that is idle for so long has been abandoned or answers no longer.
        if *name != *called && now.since(tenant.used_at) > IDLE_MAX && !tenant.state.has_holds() {
            self.tenants.remove(&name);
            return;
        }
        tenant.tidy(now);
        self.round.push_back(name);
    }
}

impl Tenant {
    /// Posts a correction (rule M); `false`: one at this or a higher number was posted before.
    pub(super) fn correct(&mut self, correction: &Correction) -> bool {
        if self.corrected >= Some(correction.number) {
            return false;
        }
        self.corrected = Some(correction.number);
        self.state.advance();
        for (id, units) in &correction.counters {
            // A quota that was opened since then does not have what the ledger was asked about.
            let same_period = correction.number >= self.state.period_number;
            match self.state.counters.get_mut(id.limit, &id.member) {
                Some(Counter::Quota { used, .. }) if same_period => {
                    *used = used.saturating_add(*units).max(0);
                }
                Some(Counter::Fixed { used, .. }) => *used = used.saturating_add(*units).max(0),
                _ => {}
            }
        }
        for (id, micros) in &correction.grants {
            if let Some(grant) = self.state.grants.iter_mut().find(|grant| grant.id == *id) {
                grant.remaining_micros = grant.remaining_micros.saturating_add(*micros).clamp(0, MICROS_MAX);
            }
        }
        true
    }

    fn tidy(&mut self, now: Timestamp) {
        // A clock that steps back is no reason to tidy at each look.
        if now.since(self.tidied_at).saturating_abs() >= TIDY_EVERY {
            self.tidied_at = now;
            self.state.tidy(now);
        }
    }
}
