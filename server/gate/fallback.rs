//! What decides while the counters are away: which limits hold, and with how much of what they allow (design §5).

use std::num::NonZeroU32;

use crate::gate::policy::{FailPolicy, Policy, Quota, RateKind, RateLimit};

/// What limits and credits do while the counters are away, where the plan does not say it of them.
#[derive(Clone, Copy, Debug)]
pub struct Fallback {
    /// Rates and quotas.
    pub limits: FailPolicy,
    /// Credits. The grants are not known then: `Local` spends beyond them, up to a share of the plan's cap.
    pub credits: FailPolicy,
    /// Over how many servers a share is taken.
    pub replicas: NonZeroU32,
}

impl Fallback {
    /// The policy by which a server decides alone. All servers together allow no more than the plan: shares are rounded down,
    /// and a limit smaller than the number of servers allows nothing.
    #[must_use]
    pub fn policy(self, policy: &Policy) -> Policy {
        let overage_max_micros = match policy.credits_fail_policy.unwrap_or(self.credits) {
            FailPolicy::Open => i64::MAX,
            FailPolicy::Closed => 0,
            FailPolicy::Local => self.share(policy.overage_max_micros),
        };
        let mut alone = Policy { allowance_micros: 0, overage_max_micros, ..policy.clone() };
        alone.rates.retain_mut(|rate| self.lessen(rate));
        alone.quotas.iter_mut().for_each(|quota| self.lessen_quota(quota));
        alone
    }

    /// Whether the rate still holds.
    fn lessen(self, rate: &mut RateLimit) -> bool {
        match rate.fail_policy.unwrap_or(self.limits) {
            FailPolicy::Open => return false,
            FailPolicy::Closed => lessen(rate, |_| 0),
            FailPolicy::Local => lessen(rate, |units| self.share(units)),
        }
        true
    }

    fn lessen_quota(self, quota: &mut Quota) {
        quota.limit = match quota.fail_policy.unwrap_or(self.limits) {
            // It goes on being counted, so that what passes is in the period's sum.
            FailPolicy::Open => None,
            FailPolicy::Closed => quota.limit.map(|_| 0),
            FailPolicy::Local => quota.limit.map(|units| self.share(units)),
        };
    }

    fn share(self, units: i64) -> i64 {
        units.div_euclid(i64::from(self.replicas.get()))
    }
}

fn lessen(rate: &mut RateLimit, share: impl Fn(i64) -> i64) {
    let limit = share(rate.limit);
    if let RateKind::Bucket { burst } = &mut rate.kind {
        *burst = if limit == 0 { 0 } else { share(*burst) };
        // A bucket that nothing fits in may fill up as it likes, but it must fill up.
        rate.limit = limit.max(1);
        return;
    }
    rate.limit = limit;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::call::Demand;
    use crate::gate::decide::{Outcome, decide};
    use crate::gate::decision::{DenialReason, Verdict};
    use crate::gate::fixture::{NOON, call, demand, policy, quota, rate};
    use crate::gate::state::State;
    use crate::time::MINUTE;

    fn plan(limit: i64) -> Policy {
        let rates = vec![
            rate("sliding", RateKind::Sliding, limit, MINUTE),
            rate("bucket", RateKind::Bucket { burst: limit }, limit, MINUTE),
            rate("fixed", RateKind::Fixed, limit, MINUTE),
        ];
        let quotas = vec![quota("month", Some(limit)), quota("all", None)];
        Policy { rates, quotas, allowance_micros: 50, overage_max_micros: 9, ..policy() }
    }

    fn of(limits: FailPolicy, credits: FailPolicy, replicas: u32) -> Fallback {
        Fallback { limits, credits, replicas: NonZeroU32::new(replicas).unwrap() }
    }

    /// How many of twenty calls at once pass, and why the next one does not.
    fn check(fallback: Fallback, limit: i64, price_micros: i64, passes: usize, reason: Option<DenialReason>) {
        check_plan(fallback, &plan(limit), price_micros, passes, reason);
    }

    fn check_plan(
        fallback: Fallback,
        plan: &Policy,
        price_micros: i64,
        passes: usize,
        reason: Option<DenialReason>,
    ) {
        let alone = fallback.policy(plan);
        let mut state = State::default();
        let mut passed = 0_usize;
        let mut refused = None;
        for _ in 0..20 {
            let ask = Demand { price_micros, ..demand(call()) };
            let Outcome::Decided(decision) = decide(&mut state, &alone, &ask, NOON) else { panic!("due") };
            match decision.verdict {
                Verdict::Allowed => passed = passed.saturating_add(1),
                Verdict::Denied(refusal) => refused = Some(refusal.reason),
            }
        }
        assert_eq!((passed, refused), (passes, reason), "{fallback:?}");
    }

    #[test]
    fn a_server_alone_allows_its_share_and_no_credits() {
        use FailPolicy::{Closed, Local, Open};
        let (rate, credits) = (Some(DenialReason::RateLimited), Some(DenialReason::CreditsExhausted));
        check(of(Local, Closed, 1), 7, 0, 7, rate);
        check(of(Local, Closed, 3), 7, 0, 2, rate);
        check(of(Local, Closed, 8), 7, 0, 0, rate);
        check(of(Closed, Closed, 1), 7, 0, 0, rate);
        check(of(Open, Closed, 3), 7, 0, 20, None);
        check(of(Open, Closed, 1), 7, 1, 0, credits);
        check(of(Open, Local, 3), 7, 1, 3, credits);
        check(of(Open, Open, 3), 7, 1, 20, None);
    }

    #[test]
    fn what_a_plan_says_of_a_limit_goes_before_what_the_server_is_set_to() {
        use FailPolicy::{Closed, Local, Open};
        let (rate, month) = (Some(DenialReason::RateLimited), Some(DenialReason::QuotaExceeded));
        let credits = Some(DenialReason::CreditsExhausted);
        // Of rates, the quota and credits: what the plan says, then what passes on a server that is open and one that is closed.
        for (rates, quota, money, open, closed) in [
            (None, None, None, (20, None), (0, rate)),
            (Some(Local), None, None, (2, rate), (0, month)),
            (Some(Closed), None, None, (0, rate), (0, rate)),
            (Some(Open), None, None, (20, None), (0, month)),
            (Some(Open), Some(Local), None, (2, month), (0, credits)),
            (Some(Open), Some(Closed), None, (0, month), (0, month)),
            (Some(Open), Some(Open), Some(Closed), (0, credits), (0, credits)),
            (Some(Open), Some(Open), Some(Local), (3, credits), (3, credits)),
            (Some(Open), Some(Open), Some(Open), (20, None), (20, None)),
        ] {
            let mut said = Policy { credits_fail_policy: money, ..plan(7) };
            said.rates.iter_mut().for_each(|rate| rate.fail_policy = rates);
            said.quotas.iter_mut().for_each(|month| month.fail_policy = quota);
            check_plan(of(Open, Open, 3), &said, 1, open.0, open.1);
            check_plan(of(Closed, Closed, 3), &said, 1, closed.0, closed.1);
        }
    }

    #[test]
    fn each_limit_fails_in_its_own_way() {
        let mut said = plan(7);
        for (rate, fails) in
            said.rates.iter_mut().zip([FailPolicy::Open, FailPolicy::Local, FailPolicy::Closed])
        {
            rate.fail_policy = Some(fails);
        }
        let alone = of(FailPolicy::Open, FailPolicy::Open, 3).policy(&said);
        let left: Vec<_> = alone.rates.iter().map(|rate| (&*rate.name, rate.kind, rate.limit)).collect();
        let bucket = RateKind::Bucket { burst: 2 };
        assert_eq!(left, [("bucket", bucket, 2), ("fixed", RateKind::Fixed, 0)]);
    }
}
