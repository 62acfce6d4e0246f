//! What a plan allows one tenant, compiled for deciding: limits, gates, prices and the billing period.

use std::sync::Arc;

use crate::gate::pattern::Pattern;
use crate::gate::period::PeriodRule;
use crate::gate::price::PriceList;

/// The rules one tenant's calls are decided by. Immutable; a change of plan makes a new one.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The plan that it was compiled from.
    pub plan: PlanRef,
    /// How fast, in the plan's order.
    pub rates: Vec<RateLimit>,
    /// How much in a period, in the plan's order.
    pub quotas: Vec<Quota>,
    /// How billing periods are cut.
    pub period: PeriodRule,
    /// What a call costs.
    pub prices: PriceList,
    /// Whether calls to premium endpoints may pass.
    pub premium: bool,
    /// Which features calls may name.
    pub features: Features,
    /// Endpoints that are always allowed and never kept.
    pub untracked: Vec<Pattern>,
    /// Micro-credits granted in each period; zero: none.
    pub allowance_micros: i64,
    /// The subscription that the allowance is promised to: part of the grant's id (design §4).
    pub subscription: Arc<str>,
    /// How much may be charged in a period beyond all grants, in micro-credits.
    pub overage_max_micros: i64,
    /// The plan to hint at in a refusal.
    pub upgrade: Option<Upgrade>,
}

/// Which plan, which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRef {
    /// The plan's slug.
    pub slug: Arc<str>,
    /// The version's number.
    pub version: u32,
}

/// How fast calls may come.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// The limit's name in the plan.
    pub name: Arc<str>,
    /// Which counter it stands on: made of name, kind and window, so that a new plan goes on counting where the old one was.
    pub key: LimitKey,
    /// How it counts.
    pub kind: RateKind,
    /// Units that may pass in one window.
    pub limit: i64,
    /// The window's length in microseconds.
    pub window: i64,
    /// Whom it counts together.
    pub scope: Scope,
    /// To which endpoints it applies; `None`: all.
    pub endpoints: Option<Pattern>,
    /// What a unit is.
    pub unit: Arc<str>,
}

/// How a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateKind {
    /// Exact: no interval of the window's length passes more than the limit.
    Sliding,
    /// GCRA: `burst` units at once, refilled at `limit` in a window.
    Bucket {
        /// Units that the full bucket holds.
        burst: i64,
    },
    /// Counted anew in each window; windows start at multiples of their length since the epoch.
    Fixed,
}

/// Whom a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All calls of the tenant.
    Tenant,
    /// Each API key apart. A call without a key of the tenant is not counted.
    ApiKey,
    /// Each consumer apart. A call with several consumers is counted for each.
    Consumer,
}

/// How much may be used in a billing period.
#[derive(Clone, Debug)]
pub struct Quota {
    /// The quota's name in the plan.
    pub name: Arc<str>,
    /// Which counter it stands on.
    pub key: LimitKey,
    /// Units that may be used; `None`: unlimited, but counted.
    pub limit: Option<i64>,
    /// To which endpoints it applies; `None`: all.
    pub endpoints: Option<Pattern>,
    /// What a unit is.
    pub unit: Arc<str>,
}

/// Names a counter across plans and versions: stable, and kept in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(pub u64);

/// Which features calls may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// Every one.
    All,
    /// These; sorted.
    Only(Vec<Arc<str>>),
}

/// The plan to hint at in a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Its slug.
    pub plan: Arc<str>,
    /// What it offers, in words.
    pub message: Arc<str>,
}
