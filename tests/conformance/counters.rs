//! The contract of `Counters`.

mod away;
mod chance;
mod charge;
mod encrypted;
mod members;
mod race;
pub(crate) mod redis;
mod reservation;
mod upkeep;

use std::sync::Arc;

use jiff::tz::TimeZone;
use tollgate::adapters::memory::counters::MemoryCounters;
use tollgate::gate::call::{Call, Demand, Effect, EventKey, PayloadHash, TokenCount};
use tollgate::gate::counters::{Charged, Counters};
use tollgate::gate::decision::{Decision, DenialReason, LimitKind, Verdict};
use tollgate::gate::period::{Anchor, PeriodRule};
use tollgate::gate::policy::{Features, LimitKey, PlanRef, Policy, Quota, RateKind, RateLimit, Scope};
use tollgate::gate::price::{CallerPrices, PriceList};
use tollgate::gate::state::{Grant, State};
use tollgate::time::{ManualClock, Timestamp};

/// A Sunday noon.
const NOON: Timestamp = Timestamp::from_micros(1_793_534_400_000_000);
/// The tenant of most cases.
const ACME: &str = "acme";

/// One adapter under test: its name, itself, and the clock it goes by.
type Adapter = (&'static str, Arc<dyn Counters>, Arc<ManualClock>);

/// Every adapter, with nobody installed, and the clock it goes by, at noon.
async fn adapters() -> Vec<Adapter> {
    let clock = Arc::new(ManualClock::at(NOON));
    let mut adapters: Vec<Adapter> = vec![("memory", Arc::new(MemoryCounters::new(clock.clone())), clock)];
    for (name, url) in redis::servers() {
        let clock = Arc::new(ManualClock::at(NOON));
        adapters.push((name, redis::private(url, &clock).await, clock));
    }
    adapters
}

/// Every adapter, with acme installed and with this many free micro-credits.
async fn installed(micros: i64) -> Vec<Adapter> {
    let adapters = adapters().await;
    for (_, counters, _) in &adapters {
        counters.install(ACME, State::default()).await.expect("the counters answer");
        if micros > 0 {
            assert!(counters.grant(ACME, grant("gift", micros)).await.expect("the counters answer"));
        }
    }
    adapters
}

fn policy() -> Policy {
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

fn with_rate(kind: RateKind, limit: i64, window: i64) -> Policy {
    let limit_kind = match kind {
        RateKind::Sliding => LimitKind::Sliding,
        RateKind::Bucket { .. } => LimitKind::Bucket,
        RateKind::Fixed => LimitKind::Fixed,
    };
    let rate = RateLimit {
        name: Arc::from("rate"),
        key: LimitKey::of("rate", limit_kind, window),
        kind,
        limit,
        window,
        scope: Scope::Tenant,
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    };
    Policy { rates: vec![rate], ..policy() }
}

fn with_quota(limit: i64) -> Policy {
    let quota = Quota {
        name: Arc::from("month"),
        key: LimitKey::of("month", LimitKind::Quota, 0),
        limit: Some(limit),
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    };
    Policy { quotas: vec![quota], ..policy() }
}

fn grant(id: &str, micros: i64) -> Grant {
    Grant { id: Arc::from(id), priority: 100, expires_at: None, remaining_micros: micros }
}

/// A demand to charge; its payload is that of its event and price.
fn demand(event: u128, price_micros: i64) -> Demand<'static> {
    let call = Call {
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
    };
    let payload = PayloadHash(event.wrapping_mul(1_000).wrapping_add(price_micros.unsigned_abs().into()));
    Demand { event: EventKey(event), payload, call, price_micros, effect: Effect::Charge }
}

/// The decision of a demand that is decided now.
async fn decided(counters: &dyn Counters, policy: &Policy, demand: &Demand<'_>) -> Decision {
    match counters.charge(ACME, policy, demand).await.expect("the counters answer") {
        Charged::Decided(decision) => *decision,
        other => panic!("not decided now: {other:?}"),
    }
}

/// The first decision of a demand that was decided before, and whether the ledger has it.
async fn replayed(counters: &dyn Counters, policy: &Policy, demand: &Demand<'_>) -> (Decision, bool) {
    match counters.charge(ACME, policy, demand).await.expect("the counters answer") {
        Charged::Replayed { decision, durable } => (*decision, durable),
        other => panic!("not replayed: {other:?}"),
    }
}

async fn committed(counters: &dyn Counters, event: EventKey) {
    counters.committed(&[(Arc::from(ACME), event)]).await.expect("the counters answer");
}

fn denied(decision: &Decision) -> Option<DenialReason> {
    match &decision.verdict {
        Verdict::Allowed => None,
        Verdict::Denied(refusal) => Some(refusal.reason),
    }
}

/// What is free to be spent, as a question that takes nothing.
async fn balance(counters: &dyn Counters) -> Option<i64> {
    let ask = Demand { effect: Effect::Dry, ..demand(0, 0) };
    decided(counters, &policy(), &ask).await.balance_micros
}
