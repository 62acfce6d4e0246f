//! What is still known of a decision that is durable, when only its time and price were kept.

use crate::gate::counters::EndDecision;
use crate::gate::credit;
use crate::gate::decision::{Burn, Decision};
use crate::gate::period::Period;
use crate::gate::policy::Policy;
use crate::gate::state::State;
use crate::time::Timestamp;

/// A decision that allowed its call, without what stands now: limits and balance.
#[must_use]
pub fn decision(state: &State, policy: &Policy, at: Timestamp, price_micros: i64) -> Decision {
    Decision::allowed(at, price_micros, state.period_at(policy, at))
}

/// The end of a reservation that held so much: what was paid, released, and charged above the hold.
#[must_use]
pub fn end(held: &[Burn], at: Timestamp, price_micros: i64, period: Period) -> EndDecision {
    let (paid, released) = credit::split(held, price_micros);
    let overage_micros = price_micros.saturating_sub(credit::total(&paid));
    let excess = Vec::new();
    EndDecision { at, epoch: 0, number: 0, period, paid, released, excess, overage_micros, balance_micros: 0 }
}
