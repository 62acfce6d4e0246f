//! What a plan allows one tenant, compiled for deciding: limits, gates, prices and the billing period.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::gate::decision::LimitKind;
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
    /// What credits do while the counters are away; `None`: as the server is set.
    pub credits_fail_policy: Option<FailPolicy>,
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
    /// What it does while the counters are away; `None`: as the server is set.
    pub fail_policy: Option<FailPolicy>,
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

impl RateKind {
    /// The same, without its parameters.
    #[must_use]
    pub const fn limit_kind(self) -> LimitKind {
        match self {
            Self::Sliding => LimitKind::Sliding,
            Self::Bucket { .. } => LimitKind::Bucket,
            Self::Fixed => LimitKind::Fixed,
        }
    }
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
    /// What it does while the counters are away; `None`: as the server is set.
    pub fail_policy: Option<FailPolicy>,
}

/// What a limit does while the counters are away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Names a counter across plans and versions: stable, and kept in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(pub u64);

impl LimitKey {
    /// The key of a limit of that name, kind and window (zero for a quota).
    ///
    /// FNV-1a of 64 bits over the name, a zero byte, the kind's number and the window's eight bytes, lowest first. It is
    /// kept on disk: it can never change.
    #[must_use]
    pub fn of(name: &str, kind: LimitKind, window: i64) -> Self {
        let kind = match kind {
            LimitKind::Sliding => 1,
            LimitKind::Bucket => 2,
            LimitKind::Fixed => 3,
            LimitKind::Quota => 4,
        };
        let bytes = name.bytes().chain([0, kind]).chain(window.to_le_bytes());
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, hash))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR, MINUTE};

    #[test]
    fn the_key_of_a_limit_never_changes() {
        assert_eq!(LimitKey::of("minute", LimitKind::Sliding, MINUTE), LimitKey(0xef5b_c0ff_4c52_f0fd));
        assert_eq!(LimitKey::of("month", LimitKind::Quota, 0), LimitKey(0x7a38_ed7a_52a5_c6c1));
    }

    #[test]
    fn another_name_kind_or_window_is_another_key() {
        let key = LimitKey::of("minute", LimitKind::Sliding, MINUTE);
        assert_ne!(key, LimitKey::of("minutes", LimitKind::Sliding, MINUTE));
        assert_ne!(key, LimitKey::of("minute", LimitKind::Fixed, MINUTE));
        assert_ne!(key, LimitKey::of("minute", LimitKind::Sliding, HOUR));
    }
}
