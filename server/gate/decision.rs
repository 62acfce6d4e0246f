//! The verdict: one call against all limits, all or nothing.

use std::sync::Arc;

use crate::gate::period::Period;
use crate::gate::policy::LimitKey;
use crate::time::Timestamp;

/// What was decided, with all that the record of it keeps (rule U).
#[derive(Clone, Debug)]
pub struct Decision {
    /// Allowed, or the first thing that refused.
    pub verdict: Verdict,
    /// The counters' clock at the decision.
    pub at: Timestamp,
    /// The epoch of this tenant's counters (rules L, N): numbers are compared within it.
    pub epoch: u64,
    /// The number of the change of this tenant's counters (rule L); zero where nothing was changed.
    pub number: u64,
    /// All limits that apply, as they stand after it.
    pub limits: Vec<LimitState>,
    /// What was charged, counter by counter; empty in a refusal.
    pub charges: Vec<CounterCharge>,
    /// What was burned or held, grant by grant, in order (rule S).
    pub burns: Vec<Burn>,
    /// The part of the price that no grant covered, in micro-credits.
    pub overage_micros: i64,
    /// The price charged, or the hold, in micro-credits.
    pub price_micros: i64,
    /// What is free to be spent afterwards, in micro-credits; `None`: neither plan nor tenant has credits.
    pub balance_micros: Option<i64>,
    /// The billing period that quotas were counted in.
    pub period: Period,
    /// When the hold ends; only for `Effect::Hold`.
    pub expires_at: Option<Timestamp>,
    /// What it was decided on.
    pub basis: Basis,
}

/// What a decision was made on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// The counters that all servers share.
    #[default]
    Counters,
    /// This server's own, while the others were away: its share of the limits (design §5).
    Local,
}

/// May it pass?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No, and nothing was taken.
    Denied(Refusal),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first thing that failed.
    pub reason: DenialReason,
    /// The limit or feature that refused; may be empty.
    pub denied_by: Arc<str>,
    /// Microseconds until the same call could pass; `None`: waiting does not help.
    pub retry_after: Option<i64>,
}

/// Why a call may not pass, in the order of design §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// The customer's key is not known.
    ApiKeyInvalid,
    /// The customer's key was revoked.
    ApiKeyRevoked,
    /// The customer's key has expired.
    ApiKeyExpired,
    /// The key is not allowed the network that the call comes from.
    ApiKeyNetwork,
    /// The key is not allowed the service that the call is about.
    ApiKeyService,
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenant was deleted.
    TenantDeleted,
    /// The endpoint is premium and the plan is not.
    PlanRequired,
    /// The plan lacks the feature.
    FeatureNotInPlan,
    /// A rate limit is reached.
    RateLimited,
    /// The quota is used up.
    QuotaExceeded,
    /// Credits do not cover the price.
    CreditsExhausted,
}

/// One limit as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Its name in the plan.
    pub name: Arc<str>,
    /// How it counts.
    pub kind: LimitKind,
    /// What a unit is.
    pub unit: Arc<str>,
    /// Units that may be used; `None`: unlimited.
    pub limit: Option<i64>,
    /// Units left, never negative; `None`: unlimited.
    pub remaining: Option<i64>,
    /// The window's or period's length in microseconds.
    pub window: i64,
    /// When it is wholly free again if nothing more is used.
    pub reset_at: Timestamp,
}

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// An exact sliding window.
    Sliding,
    /// A token bucket.
    Bucket,
    /// A fixed window.
    Fixed,
    /// A quota of the billing period.
    Quota,
}

/// Names one counter of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterId {
    /// The limit.
    pub limit: LimitKey,
    /// The key or consumer that it counts; empty: the whole tenant.
    pub member: Arc<str>,
}

/// One counter before and after: enough to explain the decision, and to rebuild the counter from the ledger (rule K).
#[derive(Clone, Debug)]
pub struct CounterCharge {
    /// Which counter.
    pub counter: CounterId,
    /// The limit's name in the plan.
    pub name: Arc<str>,
    /// How it counts.
    pub kind: LimitKind,
    /// Units charged.
    pub units: i64,
    /// Units used before; in a bucket, those missing, rounded up.
    pub used_before: i64,
    /// Units used after.
    pub used_after: i64,
    /// The limit at that moment; `None`: unlimited.
    pub limit: Option<i64>,
    /// The window's length in microseconds; for a quota, zero.
    pub window: i64,
    /// Fixed: the window's start. Quota: the period's start. Bucket and sliding: the counter's time at the charge.
    pub mark: Timestamp,
}

/// What one grant paid or holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burn {
    /// The grant.
    pub grant: Arc<str>,
    /// How much, in micro-credits, above zero.
    pub micros: i64,
}
