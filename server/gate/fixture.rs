//! What the tests of this room begin with: a plan without limits, and a plain call.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::gate::call::{Call, Demand, Effect, EventKey, PayloadHash, TokenCount};
use crate::gate::decision::LimitKind;
use crate::gate::period::{Anchor, PeriodRule};
use crate::gate::policy::{Features, LimitKey, PlanRef, Policy, Quota, RateKind, RateLimit, Scope};
use crate::gate::price::{CallerPrices, PriceList};
use crate::gate::state::Grant;
use crate::time::Timestamp;

/// A Sunday noon.
pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_793_534_400_000_000);

pub(crate) fn policy() -> Policy {
    Policy {
        plan: PlanRef { slug: Arc::from("free"), version: 1 },
        rates: Vec::new(),
        quotas: Vec::new(),
        period: PeriodRule { anchor: Anchor::CalendarMonth, zone: TimeZone::UTC },
        prices: PriceList { rules: Vec::new(), caller_prices: CallerPrices::Trusted },
        premium: false,
        features: Features::All,
        untracked: Vec::new(),
        allowance_micros: 0,
        subscription: Arc::from("sub"),
        overage_max_micros: 0,
        credits_fail_policy: None,
        upgrade: None,
    }
}

pub(crate) fn rate(name: &str, kind: RateKind, limit: i64, window: i64) -> RateLimit {
    RateLimit {
        name: Arc::from(name),
        key: LimitKey::of(name, kind.limit_kind(), window),
        kind,
        limit,
        window,
        scope: Scope::Tenant,
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    }
}

pub(crate) fn quota(name: &str, limit: Option<i64>) -> Quota {
    let key = LimitKey::of(name, LimitKind::Quota, 0);
    let unit = Arc::from("requests");
    Quota { name: Arc::from(name), key, limit, endpoints: None, unit, fail_policy: None }
}

pub(crate) fn grant(id: &str, priority: u8, expires_at: Option<Timestamp>, remaining_micros: i64) -> Grant {
    Grant { id: Arc::from(id), priority, expires_at, remaining_micros }
}

pub(crate) fn call() -> Call<'static> {
    Call {
        service: "search",
        endpoint: "/search",
        method: "GET",
        feature: "",
        model: "",
        region: "",
        premium: false,
        status_code: 0,
        weight: 1,
        caller_price_micros: None,
        tokens: TokenCount::default(),
        api_key: None,
        consumers: &[],
    }
}

pub(crate) fn demand(call: Call<'_>) -> Demand<'_> {
    Demand { event: EventKey(1), payload: PayloadHash(1), call, price_micros: 0, effect: Effect::Charge }
}
