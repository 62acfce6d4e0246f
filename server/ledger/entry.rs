//! Turns what was decided into the records that are kept of it.

use prost::Message as _;

use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::counters::EndDecision;
use crate::gate::decision::{
    Basis, Burn, CounterCharge, Decision, DenialReason, LimitKind, Refusal as Denial,
};
use crate::gate::policy::Policy;
use crate::ledger::event::Event;
use crate::ledger::record::{
    Body, Charge, ChargeKind, End, EndKind, GrantBurn, Hold, Mode, Record, Refusal, Usage,
};
use crate::time::Timestamp;

/// What all records of one call share.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// The key under which it exists once.
    pub key: EventKey,
    /// Its content's hash.
    pub payload: PayloadHash,
}

/// The change of a tenant's counters that a record is of (rule L).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The epoch of the counters.
    pub epoch: u64,
    /// The number of the change; 0: they were not changed.
    pub number: u64,
}

impl Change {
    /// The counters were not changed.
    pub const NONE: Self = Self { epoch: 0, number: 0 };

    /// The change that a decision made.
    #[must_use]
    pub const fn of(decision: &Decision) -> Self {
        Self { epoch: decision.epoch, number: decision.number }
    }
}

impl Head<'_> {
    /// The encoded record of something that was decided at `at`.
    #[must_use]
    pub fn record(&self, at: Timestamp, change: Change, body: Body) -> Vec<u8> {
        let (key_high, key_low) = halves(self.key.0);
        let (payload_high, payload_low) = halves(self.payload.0);
        let record = Record {
            tenant: self.tenant.to_owned(),
            at_micros: at.micros(),
            number: change.number,
            counter_epoch: change.epoch,
            key_high,
            key_low,
            payload_high,
            payload_low,
            body: Some(body),
        };
        record.encode_to_vec()
    }
}

impl Record {
    /// The key under which it exists once.
    #[must_use]
    pub fn key(&self) -> EventKey {
        EventKey(whole(self.key_high, self.key_low))
    }

    /// Its content's hash.
    #[must_use]
    pub fn payload(&self) -> PayloadHash {
        PayloadHash(whole(self.payload_high, self.payload_low))
    }

    /// When it was decided.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.at_micros)
    }
}

/// The body of a call that was counted.
#[must_use]
pub fn usage(mode: Mode, event: Event, api_key: &str, policy: &Policy, decision: &Decision) -> Usage {
    Usage {
        mode: mode.into(),
        event,
        api_key_id: api_key.to_owned(),
        plan: policy.plan.slug.as_ref().to_owned(),
        plan_version: policy.plan.version,
        charges: decision.charges.iter().map(charge).collect(),
        burns: burns(&decision.burns),
        overage_micros: decision.overage_micros,
        price_micros: decision.price_micros,
        period_start_micros: decision.period.start.micros(),
        period_end_micros: decision.period.end.micros(),
        hold: None,
        degraded: decision.basis == Basis::Local,
    }
}

/// The body of history: it touches no counter and no credits (rule R).
#[must_use]
pub fn history(event: Event, api_key: &str) -> Usage {
    Usage { mode: Mode::Import.into(), event, api_key_id: api_key.to_owned(), ..Usage::default() }
}

/// The hold of a reservation that a decision opened.
#[must_use]
pub fn hold(reservation: &str, expires_at: Timestamp, excess_allowed: bool) -> Hold {
    Hold { reservation: reservation.to_owned(), expires_at_micros: expires_at.micros(), excess_allowed }
}

/// The body of a call that was refused, by what stood on that basis.
#[must_use]
pub fn refusal(event: Event, api_key: &str, policy: &Policy, denial: &Denial, basis: Basis) -> Refusal {
    Refusal {
        event,
        api_key_id: api_key.to_owned(),
        plan: policy.plan.slug.as_ref().to_owned(),
        plan_version: policy.plan.version,
        reason: reason_number(denial.reason),
        denied_by: denial.denied_by.as_ref().to_owned(),
        degraded: basis == Basis::Local,
    }
}

/// The body of the end of a reservation.
#[must_use]
pub fn end(reservation: &str, kind: EndKind, decision: &EndDecision) -> End {
    End {
        reservation: reservation.to_owned(),
        kind: kind.into(),
        paid: burns(&decision.paid),
        released: burns(&decision.released),
        excess: burns(&decision.excess),
        overage_micros: decision.overage_micros,
        outcome: None,
        period_start_micros: decision.period.start.micros(),
    }
}

/// Burns as they are kept.
#[must_use]
pub fn burns(burns: &[Burn]) -> Vec<GrantBurn> {
    burns
        .iter()
        .map(|burn| GrantBurn { grant: burn.grant.as_ref().to_owned(), micros: burn.micros })
        .collect()
}

/// The number that a reason has in the contract.
#[must_use]
pub const fn reason_number(reason: DenialReason) -> i32 {
    match reason {
        DenialReason::ApiKeyInvalid => 1,
        DenialReason::ApiKeyRevoked => 2,
        DenialReason::ApiKeyExpired => 3,
        DenialReason::TenantSuspended => 4,
        DenialReason::PlanRequired => 5,
        DenialReason::FeatureNotInPlan => 6,
        DenialReason::RateLimited => 7,
        DenialReason::QuotaExceeded => 8,
        DenialReason::CreditsExhausted => 9,
        DenialReason::ApiKeyNetwork => 10,
        DenialReason::ApiKeyService => 11,
        DenialReason::TenantDeleted => 12,
    }
}

fn charge(charge: &CounterCharge) -> Charge {
    Charge {
        limit_key: charge.counter.limit.0,
        member: charge.counter.member.as_ref().to_owned(),
        name: charge.name.as_ref().to_owned(),
        kind: kind(charge.kind).into(),
        units: charge.units,
        used_before: charge.used_before,
        used_after: charge.used_after,
        limit: charge.limit,
        window_micros: charge.window,
        mark_micros: charge.mark.micros(),
    }
}

const fn kind(kind: LimitKind) -> ChargeKind {
    match kind {
        LimitKind::Sliding => ChargeKind::Sliding,
        LimitKind::Bucket => ChargeKind::Bucket,
        LimitKind::Fixed => ChargeKind::Fixed,
        LimitKind::Quota => ChargeKind::Quota,
    }
}

/// The first and the last 64 bits.
const fn halves(whole: u128) -> (u64, u64) {
    let bytes = whole.to_be_bytes();
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p]))
}

fn whole(high: u64, low: u64) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}
