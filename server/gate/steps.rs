//! Which counters a call stands on, and how each of them stands.

use std::sync::Arc;

use crate::gate::call::Call;
use crate::gate::decision::{CounterCharge, CounterId, DenialReason, LimitKind, LimitState, Refusal};
use crate::gate::gates::applies;
use crate::gate::period::Period;
use crate::gate::policy::{LimitKey, Policy, Quota, RateLimit, Scope};
use crate::gate::state::Counter;
use crate::gate::table::{CounterTable, MEMBER_SHARED};
use crate::gate::window::{self, Reading};
use crate::time::Timestamp;

/// One counter that a call stands on.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    limit: Limit<'a>,
    member: &'a str,
    units: i64,
    reading: Reading,
}

#[derive(Clone, Copy, Debug)]
enum Limit<'a> {
    Rate(&'a RateLimit),
    Quota(&'a Quota, Period),
}

/// All counters that the call stands on: rates in the plan's order, then quotas. No two steps have the same counter.
pub(crate) fn plan<'a>(
    counters: &mut CounterTable,
    policy: &'a Policy,
    call: &Call<'a>,
    period: Period,
    now: Timestamp,
) -> Vec<Step<'a>> {
    let mut steps = Vec::with_capacity(policy.rates.len().saturating_add(policy.quotas.len()));
    for rate in policy.rates.iter().filter(|rate| applies(rate.endpoints.as_ref(), call.endpoint)) {
        match rate.scope {
            Scope::Tenant => steps.push(Step::on(counters, rate, "", call.weight, now)),
            Scope::ApiKey => {
                if let Some(key) = call.api_key {
                    stand(&mut steps, counters, rate, std::slice::from_ref(key), call.weight, now);
                }
            }
            Scope::Consumer => stand(&mut steps, counters, rate, call.consumers, call.weight, now),
        }
    }
    for quota in policy.quotas.iter().filter(|quota| applies(quota.endpoints.as_ref(), call.endpoint)) {
        let limit = Limit::Quota(quota, period);
        let reading = limit.read(counters.get(quota.key, ""), now);
        steps.push(Step { limit, member: "", units: call.weight, reading });
    }
    steps
}

/// The first step that refuses, and how long until none would.
pub(crate) fn refusal(steps: &[Step<'_>], counters: &CounterTable, now: Timestamp) -> Option<Refusal> {
    let mut refusing = steps.iter().filter(|step| !step.fits()).peekable();
    let first = refusing.peek()?;
    let reason = match first.limit {
        Limit::Rate(_) => DenialReason::RateLimited,
        Limit::Quota(..) => DenialReason::QuotaExceeded,
    };
    let denied_by = Arc::clone(first.limit.name());
    let retry_after = refusing.try_fold(0, |longest: i64, step| Some(longest.max(step.wait(counters, now)?)));
    Some(Refusal { reason, denied_by, retry_after })
}

/// Charges every step.
pub(crate) fn charge(
    steps: &mut [Step<'_>],
    counters: &mut CounterTable,
    now: Timestamp,
) -> Vec<CounterCharge> {
    steps.iter_mut().map(|step| step.charge(counters, now)).collect()
}

/// Charges the quotas alone: what was recorded has passed already.
pub(crate) fn charge_quotas(
    steps: &mut [Step<'_>],
    counters: &mut CounterTable,
    now: Timestamp,
) -> Vec<CounterCharge> {
    let quotas = steps.iter_mut().filter(|step| matches!(step.limit, Limit::Quota(..)));
    quotas.map(|step| step.charge(counters, now)).collect()
}

/// How each limit stands; of a limit's members, the one with the least left.
pub(crate) fn limits(steps: &[Step<'_>]) -> Vec<LimitState> {
    let mut limits: Vec<LimitState> = Vec::with_capacity(steps.len());
    for step in steps {
        let state = step.state();
        match limits.last_mut().filter(|last| Arc::ptr_eq(&last.name, &state.name)) {
            Some(last) if state.remaining < last.remaining => *last = state,
            Some(_) => {}
            None => limits.push(state),
        }
    }
    limits
}

/// One step for each member that is counted on its own, and one for the others together.
fn stand<'a, M: AsRef<str> + PartialEq>(
    steps: &mut Vec<Step<'a>>,
    counters: &mut CounterTable,
    rate: &'a RateLimit,
    members: &'a [M],
    weight: i64,
    now: Timestamp,
) {
    let mut newcomers: usize = 0;
    let mut shared: i64 = 0;
    for (index, member) in members.iter().enumerate() {
        if members.iter().take(index).any(|earlier| earlier == member) {
            continue;
        }
        let member = member.as_ref();
        if !counters.is_own(rate.key, member, newcomers, now) {
            shared = shared.saturating_add(weight);
            continue;
        }
        if counters.get(rate.key, member).is_none() {
            newcomers = newcomers.saturating_add(1);
        }
        steps.push(Step::on(counters, rate, member, weight, now));
    }
    if shared > 0 {
        steps.push(Step::on(counters, rate, MEMBER_SHARED, shared, now));
    }
}

impl<'a> Step<'a> {
    fn on(
        counters: &mut CounterTable,
        rate: &'a RateLimit,
        member: &'a str,
        units: i64,
        now: Timestamp,
    ) -> Self {
        let mut counter = counters.get_mut(rate.key, member);
        if let Some(counter) = counter.as_deref_mut() {
            window::pull_back(counter, rate, now);
        }
        let limit = Limit::Rate(rate);
        Self { limit, member, units, reading: limit.read(counter.as_deref(), now) }
    }

    fn fits(&self) -> bool {
        self.limit.limit().is_none() || self.units <= self.reading.remaining
    }

    fn wait(&self, counters: &CounterTable, now: Timestamp) -> Option<i64> {
        match self.limit {
            Limit::Rate(rate) => window::wait(counters.get(rate.key, self.member), rate, self.units, now),
            Limit::Quota(quota, period) => {
                (self.units <= quota.limit.unwrap_or(i64::MAX)).then(|| period.end.since(now).max(0))
            }
        }
    }

    fn charge(&mut self, counters: &mut CounterTable, now: Timestamp) -> CounterCharge {
        let used_before = self.reading.used;
        let place = counters.place(self.limit.key(), self.member, || self.limit.fresh(now));
        let mark = match self.limit {
            Limit::Rate(rate) => window::charge(place.counter, rate, self.units, now),
            Limit::Quota(_, period) => {
                let used = used_before.saturating_add(self.units);
                *place.counter = Counter::Quota { period_start: period.start, used };
                period.start
            }
        };
        self.reading = self.limit.read(Some(place.counter), now);
        if let Some(free_at) = place.free_at {
            *free_at = self.reading.reset_at;
        }
        CounterCharge {
            counter: CounterId { limit: self.limit.key(), member: place.member },
            name: Arc::clone(self.limit.name()),
            kind: self.limit.kind(),
            units: self.units,
            used_before,
            used_after: self.reading.used,
            limit: self.limit.limit(),
            window: self.limit.window(),
            mark,
        }
    }

    fn state(&self) -> LimitState {
        let limit = self.limit.limit();
        let (unit, window) = match self.limit {
            Limit::Rate(rate) => (&rate.unit, rate.window),
            Limit::Quota(quota, period) => (&quota.unit, period.length()),
        };
        LimitState {
            name: Arc::clone(self.limit.name()),
            kind: self.limit.kind(),
            unit: Arc::clone(unit),
            limit,
            remaining: limit.map(|_| self.reading.remaining),
            window,
            reset_at: self.reading.reset_at,
        }
    }
}

impl Limit<'_> {
    fn read(self, counter: Option<&Counter>, now: Timestamp) -> Reading {
        match self {
            Self::Rate(rate) => window::read(counter, rate, now),
            Self::Quota(quota, period) => {
                let used = match counter {
                    Some(&Counter::Quota { period_start, used }) if period_start == period.start => used,
                    _ => 0,
                };
                let remaining = quota.limit.unwrap_or(i64::MAX).saturating_sub(used).max(0);
                Reading { used, remaining, reset_at: period.end }
            }
        }
    }

    fn fresh(self, now: Timestamp) -> Counter {
        match self {
            Self::Rate(rate) => window::fresh(rate.kind, now),
            Self::Quota(_, period) => Counter::Quota { period_start: period.start, used: 0 },
        }
    }

    fn key(self) -> LimitKey {
        match self {
            Self::Rate(rate) => rate.key,
            Self::Quota(quota, _) => quota.key,
        }
    }

    fn name(&self) -> &Arc<str> {
        match self {
            Self::Rate(rate) => &rate.name,
            Self::Quota(quota, _) => &quota.name,
        }
    }

    fn kind(self) -> LimitKind {
        match self {
            Self::Rate(rate) => rate.kind.limit_kind(),
            Self::Quota(..) => LimitKind::Quota,
        }
    }

    /// The units of one window or period; a bucket may hold fewer.
    fn limit(self) -> Option<i64> {
        match self {
            Self::Rate(rate) => Some(rate.limit),
            Self::Quota(quota, _) => quota.limit,
        }
    }

    fn window(self) -> i64 {
        match self {
            Self::Rate(rate) => rate.window,
            Self::Quota(..) => 0,
        }
    }
}
