//! The decision: one call against everything that a policy says, in one order, all or nothing.

use std::sync::Arc;

use crate::gate::call::{Call, Demand, Effect};
use crate::gate::credit;
use crate::gate::decision::{Burn, CounterCharge, Decision, DenialReason, LimitState, Refusal, Verdict};
use crate::gate::period::Period;
use crate::gate::policy::Policy;
use crate::gate::state::{Reservation, State};
use crate::gate::steps::{self, Step};
use crate::time::Timestamp;

/// How a decision went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was made.
    Decided(Decision),
    /// It was not: the allowance of this period is not among the grants. Nothing was changed.
    AllowanceDue(Period),
}

/// The id of the grant that is a period's allowance. Whoever needs it first posts it, and nobody can post it twice.
#[must_use]
pub fn allowance_id(subscription: &str, period_start: Timestamp) -> String {
    format!("allowance:{subscription}:{}", period_start.micros())
}

/// Decides about a demand and carries the verdict out: gates, rate windows, quotas, credits; the first failure is the
/// reason, and a refusal takes nothing.
///
/// `Effect::Dry` changes nothing either, but that a time which a wrong clock wrote may be pulled back (rule O).
pub fn decide(state: &mut State, policy: &Policy, demand: &Demand<'_>, now: Timestamp) -> Outcome {
    let period = state.period_at(policy, now);
    if policy.allowance_micros > 0 && !state.has_allowance(policy, period) {
        return Outcome::AllowanceDue(period);
    }
    let mut steps = steps::plan(&mut state.counters, policy, &demand.call, period, now);
    let refusal = match demand.effect {
        Effect::Record { .. } => None,
        Effect::Charge | Effect::Dry | Effect::Hold { .. } => {
            let closed = policy.admit(&demand.call).err();
            let refusal = closed.or_else(|| steps::refusal(&steps, &state.counters, now));
            refusal.or_else(|| state.credit_refusal(policy, demand, period, now))
        }
    };
    let mut taken = Taken::default();
    if refusal.is_none() && !matches!(demand.effect, Effect::Dry) {
        taken = state.take(demand, &mut steps, period, now);
    }
    let price_micros = match (&refusal, demand.effect) {
        (Some(_), Effect::Charge | Effect::Hold { .. } | Effect::Record { .. }) => 0,
        _ => demand.price_micros,
    };
    Outcome::Decided(Decision {
        verdict: refusal.map_or(Verdict::Allowed, Verdict::Denied),
        at: now,
        number: taken.number,
        limits: steps::limits(&steps),
        charges: taken.charges,
        burns: taken.burns,
        overage_micros: taken.overage_micros,
        price_micros,
        balance_micros: state.balance(policy, now),
        period_start: period.start,
        expires_at: taken.expires_at,
    })
}

/// How the limits of a call and the credits stand, whatever was decided before. The policy's allowance may be missing.
#[must_use]
pub fn standing(
    state: &mut State,
    policy: &Policy,
    call: &Call<'_>,
    now: Timestamp,
) -> (Vec<LimitState>, Option<i64>) {
    let period = state.period_at(policy, now);
    let steps = steps::plan(&mut state.counters, policy, call, period, now);
    (steps::limits(&steps), state.balance(policy, now))
}

/// What a decision took.
#[derive(Debug, Default)]
struct Taken {
    number: u64,
    charges: Vec<CounterCharge>,
    burns: Vec<Burn>,
    overage_micros: i64,
    expires_at: Option<Timestamp>,
}

impl State {
    /// The billing period that counts at `now`: the open one until it ends, also for a clock that has stepped back before
    /// its start, so that no period is opened twice. The next one begins where it ended, whatever the rule says by then.
    #[must_use]
    pub fn period_at(&self, policy: &Policy, now: Timestamp) -> Period {
        match self.period {
            Some(open) if now < open.end => open,
            Some(past) => {
                let next = policy.period.containing(now);
                Period { start: next.start.max(past.end), end: next.end }
            }
            None => policy.period.containing(now),
        }
    }

    /// What is free to be spent, in micro-credits; `None`: neither plan nor tenant has credits.
    #[must_use]
    pub fn balance(&self, policy: &Policy, now: Timestamp) -> Option<i64> {
        let has_credits = policy.allowance_micros > 0 || !policy.prices.is_free() || !self.grants.is_empty();
        has_credits.then(|| credit::balance(&self.grants, now))
    }

    /// Counts one change and answers its number (rule L).
    pub(crate) fn advance(&mut self) -> u64 {
        self.number = self.number.saturating_add(1);
        self.number
    }

    fn has_allowance(&self, policy: &Policy, period: Period) -> bool {
        let is_it = |id: &str| {
            let start = id.strip_prefix("allowance:").and_then(|id| id.strip_prefix(&*policy.subscription));
            start.and_then(|start| start.strip_prefix(':')?.parse().ok()) == Some(period.start.micros())
        };
        self.grants.iter().any(|grant| is_it(&grant.id))
    }

    fn overage(&self, period: Period) -> i64 {
        if self.period == Some(period) { self.overage_micros } else { 0 }
    }

    /// No refusal where the grants cover the price, or the plan lets the rest be charged beyond them. A hold is of grants
    /// alone.
    fn credit_refusal(
        &self,
        policy: &Policy,
        demand: &Demand<'_>,
        period: Period,
        now: Timestamp,
    ) -> Option<Refusal> {
        if demand.price_micros <= 0 {
            return None;
        }
        let short = demand.price_micros.saturating_sub(credit::balance(&self.grants, now));
        let beyond = match demand.effect {
            Effect::Hold { .. } => 0,
            Effect::Charge | Effect::Dry | Effect::Record { .. } => {
                policy.overage_max_micros.saturating_sub(self.overage(period)).max(0)
            }
        };
        (short > beyond).then(no_credits)
    }

    fn take(&mut self, demand: &Demand<'_>, steps: &mut [Step<'_>], period: Period, now: Timestamp) -> Taken {
        let number = self.advance();
        self.open(period);
        let charges = match demand.effect {
            Effect::Record { occurred_at } if period.contains(occurred_at) => {
                steps::charge_quotas(steps, &mut self.counters, now)
            }
            Effect::Record { .. } => Vec::new(),
            Effect::Charge | Effect::Dry | Effect::Hold { .. } => {
                steps::charge(steps, &mut self.counters, now)
            }
        };
        let (burns, overage_micros) = credit::burn(&mut self.grants, demand.price_micros, now);
        self.overage_micros = self.overage_micros.saturating_add(overage_micros);
        let mut expires_at = None;
        if let Effect::Hold { reservation, ttl, excess_allowed } = demand.effect {
            let ends_at = now.plus(ttl);
            expires_at = Some(ends_at);
            let held = Reservation {
                held: burns.clone(),
                opened_at: now,
                expires_at: ends_at,
                excess_allowed,
                ended: None,
            };
            self.hold(reservation, held, now);
        }
        Taken { number, charges, burns, overage_micros, expires_at }
    }

    pub(crate) fn open(&mut self, period: Period) {
        if self.period != Some(period) {
            self.period = Some(period);
            self.period_number = self.number;
            self.overage_micros = 0;
            self.tidy(period.start);
        }
    }
}

pub(crate) fn no_credits() -> Refusal {
    let denied_by = Arc::from("credits");
    Refusal { reason: DenialReason::CreditsExhausted, denied_by, retry_after: None }
}
