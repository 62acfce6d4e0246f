//! The decision: one call against everything that a policy says, in one order, all or nothing.

use std::sync::Arc;

use crate::gate::call::{Call, Demand, Effect};
use crate::gate::credit;
use crate::gate::decision::{
    Basis, Burn, CounterCharge, Decision, DenialReason, LimitState, Refusal, Verdict,
};
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
        epoch: state.epoch,
        number: taken.number,
        limits: steps::limits(&steps),
        charges: taken.charges,
        burns: taken.burns,
        overage_micros: taken.overage_micros,
        price_micros,
        balance_micros: state.balance(policy, now),
        period,
        expires_at: taken.expires_at,
        basis: Basis::Counters,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::{NOON, call, demand, grant, policy, quota, rate};
    use crate::gate::period::Anchor;
    use crate::gate::policy::{RateKind, RateLimit, Scope};
    use crate::time::{DAY, HOUR, MINUTE, SECOND};

    fn decided(state: &mut State, policy: &Policy, demand: &Demand<'_>, now: Timestamp) -> Decision {
        match decide(state, policy, demand, now) {
            Outcome::Decided(decision) => decision,
            Outcome::AllowanceDue(period) => panic!("no allowance for {period:?}"),
        }
    }

    fn reason(decision: &Decision) -> Option<(DenialReason, &str)> {
        match &decision.verdict {
            Verdict::Allowed => None,
            Verdict::Denied(refusal) => Some((refusal.reason, &refusal.denied_by)),
        }
    }

    fn remaining(decision: &Decision) -> Vec<Option<i64>> {
        decision.limits.iter().map(|limit| limit.remaining).collect()
    }

    fn strict() -> Policy {
        let rates = vec![
            rate("minute", RateKind::Sliding, 3, MINUTE),
            rate("second", RateKind::Bucket { burst: 4 }, 4, SECOND),
            rate("hour", RateKind::Fixed, 5, HOUR),
        ];
        Policy { rates, quotas: vec![quota("month", Some(6)), quota("all", None)], ..policy() }
    }

    #[test]
    fn the_first_failure_is_the_reason_and_a_refusal_takes_nothing() {
        let mut state = State::default();
        credit::insert(&mut state.grants, grant("gift", 1, None, 10));
        let strict = strict();
        let all = [Some(3), Some(4), Some(5), Some(6), None];
        for (premium, weight, price, expected) in [
            (true, 9, 99, (DenialReason::PlanRequired, "premium")),
            (false, 9, 99, (DenialReason::RateLimited, "minute")),
            (false, 3, 11, (DenialReason::CreditsExhausted, "credits")),
        ] {
            let ask = Demand { price_micros: price, ..demand(Call { premium, weight, ..call() }) };
            let refused = decided(&mut state, &strict, &ask, NOON);
            assert_eq!(reason(&refused), Some(expected));
            assert_eq!(remaining(&refused), all);
            assert_eq!((refused.number, refused.price_micros, refused.balance_micros), (0, 0, Some(10)));
            assert!(refused.charges.is_empty() && refused.burns.is_empty());
            assert_eq!((state.number, state.period, state.counters.iter().count()), (0, None, 0));
        }
        for (rates, weight, expected) in [
            (vec![], 7, (DenialReason::QuotaExceeded, "month")),
            (vec![strict.rates[2].clone(), strict.rates[1].clone()], 6, (DenialReason::RateLimited, "hour")),
        ] {
            let other = Policy { rates, ..strict.clone() };
            let refused = decided(&mut state, &other, &demand(Call { weight, ..call() }), NOON);
            assert_eq!(reason(&refused), Some(expected));
        }
    }

    #[test]
    fn a_charge_takes_from_all_and_says_what_it_took() {
        let mut state = State::default();
        credit::insert(&mut state.grants, grant("gift", 1, None, 10));
        let ask = Demand { price_micros: 7, ..demand(Call { weight: 2, ..call() }) };
        let charged = decided(&mut state, &strict(), &ask, NOON);
        assert_eq!(reason(&charged), None);
        assert_eq!(remaining(&charged), [Some(1), Some(2), Some(3), Some(4), None]);
        assert_eq!((charged.number, charged.price_micros, charged.balance_micros), (1, 7, Some(3)));
        let charges: Vec<_> =
            charged.charges.iter().map(|it| (&*it.name, it.used_before, it.used_after)).collect();
        assert_eq!(
            charges,
            [("minute", 0, 2), ("second", 0, 2), ("hour", 0, 2), ("month", 0, 2), ("all", 0, 2)]
        );
        assert_eq!(charged.burns, [Burn { grant: Arc::from("gift"), micros: 7 }]);
        let resets: Vec<_> = charged.limits.iter().take(3).map(|limit| limit.reset_at.since(NOON)).collect();
        assert_eq!(resets, [MINUTE, SECOND / 2, HOUR]);
    }

    #[test]
    fn retry_after_waits_for_every_limit_that_refuses() {
        let mut state = State::default();
        decided(&mut state, &strict(), &demand(Call { weight: 3, ..call() }), NOON);
        for (weight, expected) in [(1, Some(MINUTE)), (3, Some(HOUR)), (4, None)] {
            let refused = decided(&mut state, &strict(), &demand(Call { weight, ..call() }), NOON);
            let Verdict::Denied(refusal) = &refused.verdict else { panic!("{weight} was allowed") };
            assert_eq!((&*refusal.denied_by, refusal.retry_after), ("minute", expected), "{weight}");
        }
    }

    #[test]
    fn a_dry_decision_changes_nothing() {
        let mut state = State::default();
        credit::insert(&mut state.grants, grant("gift", 1, None, 10));
        let dry = Demand { price_micros: 7, effect: Effect::Dry, ..demand(call()) };
        for _ in 0..10 {
            let asked = decided(&mut state, &strict(), &dry, NOON);
            assert_eq!((reason(&asked), asked.number, asked.price_micros), (None, 0, 7));
            assert_eq!(remaining(&asked), [Some(3), Some(4), Some(5), Some(6), None]);
            assert_eq!((state.number, state.period, state.counters.iter().count()), (0, None, 0));
            assert_eq!(asked.balance_micros, Some(10));
        }
    }

    #[test]
    fn a_recorded_call_is_never_refused_and_touches_no_rate() {
        let mut state = State::default();
        credit::insert(&mut state.grants, grant("gift", 1, None, 10));
        let strict = strict();
        let record = |occurred_at, price_micros| Demand {
            price_micros,
            effect: Effect::Record { occurred_at },
            ..demand(Call { weight: 9, premium: true, ..call() })
        };
        let now = decided(&mut state, &strict, &record(NOON.minus(HOUR), 12), NOON);
        assert_eq!((reason(&now), now.overage_micros, now.balance_micros), (None, 2, Some(0)));
        assert_eq!(remaining(&now), [Some(3), Some(4), Some(5), Some(0), None]);
        assert_eq!(now.charges.iter().map(|charge| charge.used_after).collect::<Vec<_>>(), [9, 9]);
        let before = decided(&mut state, &strict, &record(NOON.minus(32 * DAY), 0), NOON);
        assert!(before.charges.is_empty(), "a call of an earlier period is in no current quota");
        assert_eq!(before.number, 2);
    }

    #[test]
    fn overage_is_charged_up_to_the_cap_of_the_period() {
        let mut state = State::default();
        credit::insert(&mut state.grants, grant("gift", 1, None, 10));
        let capped = Policy { overage_max_micros: 5, ..policy() };
        let ask = |price_micros| Demand { price_micros, ..demand(call()) };
        let next = capped.period.containing(NOON).end;
        for (now, price, denied, overage) in [
            (NOON, 12, false, 2),
            (NOON, 4, true, 0),
            (NOON, 3, false, 3),
            (NOON, 1, true, 0),
            (next, 5, false, 5),
        ] {
            let decision = decided(&mut state, &capped, &ask(price), now);
            assert_eq!((reason(&decision).is_some(), decision.overage_micros), (denied, overage), "{price}");
        }
    }

    #[test]
    fn an_allowance_that_is_not_there_is_due_once_a_period() {
        let mut state = State::default();
        let monthly = Policy { allowance_micros: 5, ..policy() };
        let ask = Demand { price_micros: 5, ..demand(call()) };
        let period = monthly.period.containing(NOON);
        let Outcome::AllowanceDue(due) = decide(&mut state, &monthly, &ask, NOON) else { panic!("not due") };
        assert_eq!((due, state.period), (period, None));
        let post = |state: &mut State, due: Period| {
            let id = allowance_id("sub", due.start);
            credit::insert(&mut state.grants, grant(&id, 1, Some(due.end), 5))
        };
        assert!(post(&mut state, due));
        assert_eq!(reason(&decided(&mut state, &monthly, &ask, NOON)), None);
        let refused = decided(&mut state, &monthly, &ask, period.end.minus(1));
        assert_eq!(
            reason(&refused),
            Some((DenialReason::CreditsExhausted, "credits")),
            "used up is not due again"
        );
        let Outcome::AllowanceDue(next) = decide(&mut state, &monthly, &ask, period.end) else {
            panic!("not due")
        };
        assert!(post(&mut state, next));
        assert_eq!(reason(&decided(&mut state, &monthly, &ask, period.end)), None);
        let back = decided(&mut state, &monthly, &ask, period.end.minus(HOUR));
        assert_eq!(back.period.start, period.end, "a clock that steps back opens no period twice");
        assert!(reason(&back).is_some());
    }

    #[test]
    fn a_new_rule_holds_from_the_end_of_the_open_period() {
        let mut state = State::default();
        let old = Policy { quotas: vec![quota("month", Some(6))], ..policy() };
        let open = decided(&mut state, &old, &demand(call()), NOON).period.start;
        let end = old.period.containing(NOON).end;
        let mut new = old.clone();
        new.period.anchor = Anchor::Anniversary { since: NOON.minus(20 * DAY) };
        assert_eq!(decided(&mut state, &new, &demand(call()), end.minus(1)).period.start, open);
        let next = decided(&mut state, &new, &demand(call()), end);
        assert_eq!((next.period.start, next.limits[0].remaining), (end, Some(5)));
        assert_eq!(next.limits[0].reset_at, new.period.containing(end).end);
    }

    #[test]
    fn members_are_counted_apart_and_once_each() {
        let scoped = |name, scope| RateLimit { scope, ..rate(name, RateKind::Sliding, 2, MINUTE) };
        let rates = vec![scoped("keys", Scope::ApiKey), scoped("people", Scope::Consumer)];
        let mut state = State::default();
        let scoped = Policy { rates, ..policy() };
        let keys = ["key_1", "key_2"].map(Arc::<str>::from);
        let mut ask = |key: Option<usize>, people: &[&str]| {
            let consumers: Vec<_> = people.iter().map(ToString::to_string).collect();
            let api_key = key.map(|key| &keys[key]);
            let decision = decided(
                &mut state,
                &scoped,
                &demand(Call { api_key, consumers: &consumers, ..call() }),
                NOON,
            );
            (reason(&decision).map(|(_, by)| by.to_owned()), remaining(&decision))
        };
        assert_eq!(ask(Some(0), &["user:a", "user:a"]), (None, vec![Some(1), Some(1)]));
        assert_eq!(ask(Some(1), &["user:a", "user:b"]), (None, vec![Some(1), Some(0)]));
        assert_eq!(ask(Some(0), &["user:b", "user:a"]), (Some("people".into()), vec![Some(1), Some(0)]));
        assert_eq!(ask(Some(0), &["user:b"]), (None, vec![Some(0), Some(0)]));
        assert_eq!(ask(Some(0), &[]), (Some("keys".into()), vec![Some(0)]));
        assert_eq!(
            ask(None, &[]),
            (None, vec![]),
            "a call without a key and without consumers is on no such limit"
        );
    }

    #[test]
    fn limits_apply_to_their_endpoints() {
        let endpoints = crate::gate::pattern::Pattern::parse("/search/**").ok();
        let rates = vec![RateLimit { endpoints, ..rate("search", RateKind::Sliding, 1, MINUTE) }];
        let mut state = State::default();
        let scoped = Policy { rates, ..policy() };
        for (endpoint, allowed) in
            [("/search/a", true), ("/search/b", false), ("/notes", true), ("/notes", true)]
        {
            let decision = decided(&mut state, &scoped, &demand(Call { endpoint, ..call() }), NOON);
            assert_eq!(reason(&decision).is_none(), allowed, "{endpoint}");
        }
    }
}
