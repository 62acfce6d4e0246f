//! What decides while the counters are away: which limits hold, and with how much of what they allow (design §5).

use std::num::NonZeroU32;

use serde::Deserialize;

use crate::gate::policy::{Policy, Quota, RateKind, RateLimit};

/// What a limit does while the counters are away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailPolicy {
    /// It refuses nothing.
    Open,
    /// It refuses everything that it would count.
    Closed,
    /// It counts in this process, up to this server's share of what it allows.
    #[default]
    Local,
}

/// What limits and credits do while the counters are away.
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
        let overage_max_micros = match self.credits {
            FailPolicy::Open => i64::MAX,
            FailPolicy::Closed => 0,
            FailPolicy::Local => self.share(policy.overage_max_micros),
        };
        let mut alone = Policy { allowance_micros: 0, overage_max_micros, ..policy.clone() };
        match self.limits {
            FailPolicy::Open => {
                alone.rates.clear();
                // A quota goes on being counted, so that what passes is in the period's sum.
                alone.quotas.iter_mut().for_each(|quota| quota.limit = None);
            }
            FailPolicy::Closed => {
                alone.rates.iter_mut().for_each(|rate| lessen(rate, |_| 0));
                alone.quotas.iter_mut().for_each(|quota| lessen_quota(quota, |_| 0));
            }
            FailPolicy::Local => {
                alone.rates.iter_mut().for_each(|rate| lessen(rate, |units| self.share(units)));
                alone.quotas.iter_mut().for_each(|quota| lessen_quota(quota, |units| self.share(units)));
            }
        }
        alone
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

fn lessen_quota(quota: &mut Quota, share: impl Fn(i64) -> i64) {
    quota.limit = quota.limit.map(share);
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

    /// How many of twenty calls at once pass, and why the next one does not.
    fn check(fallback: Fallback, limit: i64, price_micros: i64, passes: usize, reason: Option<DenialReason>) {
        let alone = fallback.policy(&plan(limit));
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
        let of = |limits, credits, replicas: u32| Fallback {
            limits,
            credits,
            replicas: NonZeroU32::new(replicas).unwrap(),
        };
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
}
