//! What is still known of a decision that is durable, when only its time and price were kept.

use crate::gate::counters::EndDecision;
use crate::gate::credit;
use crate::gate::decision::{Basis, Burn, Decision, Verdict};
use crate::gate::period::Period;
use crate::gate::policy::Policy;
use crate::gate::state::State;
use crate::time::Timestamp;

/// A decision that allowed its call, without what stands now: limits and balance.
#[must_use]
pub fn decision(state: &State, policy: &Policy, at: Timestamp, price_micros: i64) -> Decision {
    Decision {
        verdict: Verdict::Allowed,
        at,
        epoch: 0,
        number: 0,
        limits: Vec::new(),
        charges: Vec::new(),
        burns: Vec::new(),
        overage_micros: 0,
        price_micros,
        balance_micros: None,
        period: state.period_at(policy, at),
        expires_at: None,
        basis: Basis::Counters,
    }
}

/// The end of a reservation that held so much: what was paid, released, and charged above the hold.
#[must_use]
pub fn end(held: &[Burn], at: Timestamp, price_micros: i64, period: Period) -> EndDecision {
    let (paid, released) = credit::split(held, price_micros);
    let overage_micros = price_micros.saturating_sub(credit::total(&paid));
    let excess = Vec::new();
    EndDecision { at, epoch: 0, number: 0, period, paid, released, excess, overage_micros, balance_micros: 0 }
}
