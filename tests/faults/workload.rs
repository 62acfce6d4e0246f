//! What the callers do: tenants on plans with limits, quotas and credits, and an endless choice of operations.

use std::collections::BTreeMap;

use prost_types::{Duration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tollgate::time::{Clock as _, SystemClock};
use tollgate_client::v1::{
    CallerPrices, ChangeSubscriptionRequest, Completion, Consumer, ConsumerKind, CreateApiKeyRequest,
    CreatePlanRequest, CreateTenantRequest, LimitKind, PlanSpec, PriceRule, PublishPlanVersionRequest, Quota,
    RateLimit, TokenPrices, Tokens, UsageEvent,
};
use tonic::Status;

use crate::connection::Connection;
use crate::history::{EndKind, Name, Way};

/// Units that a tenant of the plan `small` may use in a month: few enough to be used up in each run.
pub(crate) const SMALL_QUOTA: i64 = 400;

/// One thing to send, and to send again.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Call(Box<CallPlan>),
    /// Some with the same id twice.
    Batch(Vec<CallPlan>),
    Complete {
        tenant: String,
        completions: Vec<Completion>,
    },
    Grant {
        tenant: String,
        request_id: String,
        credits_micros: i64,
        expires: Option<Timestamp>,
    },
    Extend {
        reservation: Name,
        request_id: String,
        additional_micros: i64,
    },
    End {
        reservation: Name,
        kind: EndKind,
    },
}

/// One event to send.
#[derive(Clone, Debug)]
pub(crate) struct CallPlan {
    pub(crate) tenant: String,
    pub(crate) event: UsageEvent,
    pub(crate) way: Way,
    /// Seconds that a reservation lives.
    pub(crate) ttl: i64,
}

/// The tenants, with what each was promised and its own key.
#[derive(Clone, Debug)]
pub(crate) struct Tenants {
    pub(crate) plans: BTreeMap<String, PlanSpec>,
    pub(crate) keys: BTreeMap<String, String>,
}

impl Tenants {
    /// Makes the plans and two tenants on each.
    pub(crate) async fn create(connection: &Connection) -> Result<Self, Status> {
        let mut tenants = Self { plans: BTreeMap::new(), keys: BTreeMap::new() };
        for (slug, spec) in [("open", open()), ("metered", metered()), ("small", small())] {
            publish(connection, slug, spec.clone()).await?;
            for number in 1..=2 {
                let tenant = format!("{slug}-{number}");
                let key = subscribe(connection, &tenant, slug).await?;
                tenants.plans.insert(tenant.clone(), spec.clone());
                tenants.keys.insert(tenant, key);
            }
        }
        Ok(tenants)
    }
}

/// Makes a plan that can be subscribed to.
pub(crate) async fn publish(connection: &Connection, slug: &str, spec: PlanSpec) -> Result<(), Status> {
    let plan = CreatePlanRequest {
        slug: slug.to_owned(),
        name: slug.to_owned(),
        spec: Some(spec),
        request_id: format!("plan-{slug}"),
    };
    connection.plans().create_plan(connection.ask(plan)).await?;
    let version = PublishPlanVersionRequest { plan: slug.to_owned(), version: 1 };
    connection.plans().publish_plan_version(connection.ask(version)).await?;
    Ok(())
}

/// Makes a tenant on a plan; answers its key.
pub(crate) async fn subscribe(connection: &Connection, tenant: &str, plan: &str) -> Result<String, Status> {
    let request = CreateTenantRequest {
        tenant_id: tenant.to_owned(),
        name: tenant.to_owned(),
        request_id: format!("tenant-{tenant}"),
        ..Default::default()
    };
    connection.admin().create_tenant(connection.ask(request)).await?;
    let change = ChangeSubscriptionRequest {
        tenant_id: tenant.to_owned(),
        plan: plan.to_owned(),
        request_id: format!("subscription-{tenant}"),
        ..Default::default()
    };
    connection.plans().change_subscription(connection.ask(change)).await?;
    let key = CreateApiKeyRequest {
        tenant_id: tenant.to_owned(),
        name: "checker".to_owned(),
        request_id: format!("key-{tenant}"),
        ..Default::default()
    };
    Ok(connection.auth().create_api_key(connection.ask(key)).await?.into_inner().secret)
}

fn quota(limit: Option<i64>) -> Vec<Quota> {
    vec![Quota { name: "month".to_owned(), limit, ..Default::default() }]
}

fn rule(endpoint: &str, credits_micros: i64, tokens: Option<TokenPrices>) -> PriceRule {
    PriceRule { endpoints: endpoint.to_owned(), credits_micros, tokens, ..Default::default() }
}

/// A rate limit of the whole tenant.
pub(crate) fn rate(name: &str, kind: LimitKind, limit: i64, seconds: i64, burst: i64) -> RateLimit {
    RateLimit {
        name: name.to_owned(),
        kind: kind.into(),
        limit,
        window: Some(Duration { seconds, nanos: 0 }),
        burst,
        ..Default::default()
    }
}

/// Refuses nobody: callers bring their prices, and what no grant covers is overage.
fn open() -> PlanSpec {
    PlanSpec {
        quotas: quota(Some(1_000_000_000_000)),
        prices: vec![rule("/search", 1_000, None), rule("/notes", 7, None)],
        premium: true,
        features: vec!["*".to_owned()],
        caller_prices: CallerPrices::Trusted.into(),
        overage_max_micros: 1_000_000_000_000_000,
        ..Default::default()
    }
}

/// Lives on its credits, which run out.
fn metered() -> PlanSpec {
    let tokens = TokenPrices {
        input_micros_per_million: 333_333,
        output_micros_per_million: 1_000_001,
        cached_input_micros_per_million: 70_007,
        cache_write_input_micros_per_million: 1,
    };
    PlanSpec {
        quotas: quota(Some(1_000_000)),
        credits_per_period_micros: 50_000_000,
        prices: vec![rule("/search", 1_000_000, None), rule("/chat", 250_000, Some(tokens))],
        ..Default::default()
    }
}

/// Is refused by each kind of limit.
fn small() -> PlanSpec {
    PlanSpec {
        rate_limits: vec![
            rate("sliding", LimitKind::SlidingWindow, 30, 1, 0),
            rate("fixed", LimitKind::FixedWindow, 40, 1, 0),
            rate("bucket", LimitKind::TokenBucket, 50, 1, 25),
        ],
        quotas: quota(Some(SMALL_QUOTA)),
        ..Default::default()
    }
}

/// Chooses operations; the same seed chooses the same.
#[derive(Debug)]
pub(crate) struct Chooser {
    random: StdRng,
    prefix: String,
    made: u64,
    tenants: Vec<String>,
}

impl Chooser {
    pub(crate) fn new(seed: u64, worker: u64, tenants: &Tenants) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(worker)),
            prefix: format!("w{worker}"),
            made: 0,
            tenants: tenants.plans.keys().cloned().collect(),
        }
    }

    /// Whether something of that chance in a hundred happens.
    pub(crate) fn percent(&mut self, chance: u32) -> bool {
        self.random.random_range(0..100) < chance
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    pub(crate) fn next_id(&mut self) -> String {
        self.made += 1;
        format!("{}-{}", self.prefix, self.made)
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among.choose(&mut self.random).copied().unwrap_or_default()
    }

    /// A new operation that needs nothing that happened before.
    pub(crate) fn next(&mut self) -> Operation {
        match self.random.random_range(0..100) {
            0..70 => Operation::Call(Box::new(self.call())),
            70..80 => Operation::Batch(self.batch()),
            80..93 => Operation::Call(Box::new(self.reserve())),
            _ => self.grant(),
        }
    }

    fn tenant(&mut self) -> String {
        let index = self.below(self.tenants.len());
        self.tenants[index].clone()
    }

    fn tenant_with_credits(&mut self) -> String {
        self.pick(&["open-1", "open-2", "metered-1", "metered-2"]).to_owned()
    }

    fn call(&mut self) -> CallPlan {
        let tenant = self.tenant();
        let records = !tenant.starts_with("small") && self.percent(15);
        let way = if records { Way::Record } else { Way::Decide };
        let event = self.event(&tenant, way);
        CallPlan { tenant, event, way, ttl: 0 }
    }

    fn batch(&mut self) -> Vec<CallPlan> {
        let size = if self.percent(10) { 150 } else { self.random.random_range(1..20) };
        let mut calls: Vec<CallPlan> = (0..size).map(|_| self.call()).collect();
        if self.percent(50) {
            let twice = self.below(calls.len());
            let place = self.below(calls.len() + 1);
            calls.insert(place, calls[twice].clone());
        }
        calls
    }

    fn reserve(&mut self) -> CallPlan {
        let tenant = self.tenant_with_credits();
        let way = Way::Reserve { hold_micros: self.random.random_range(1..3_000_000) };
        let mut event = self.event(&tenant, way);
        event.status_code = 0;
        event.credits_micros = None;
        let ttl = if self.percent(10) { 1 } else { 600 };
        CallPlan { tenant, event, way, ttl }
    }

    fn grant(&mut self) -> Operation {
        let tenant = self.tenant_with_credits();
        let expires = self.percent(30).then(|| now_plus(self.random.random_range(1..4)));
        let request_id = format!("grant-{}", self.next_id());
        let credits_micros = self.random.random_range(1..20_000_000);
        Operation::Grant { tenant, request_id, credits_micros, expires }
    }

    /// The outcome of an event that has none yet.
    pub(crate) fn completion(&mut self, event_id: &str) -> Completion {
        Completion {
            event_id: event_id.to_owned(),
            status_code: [200, 201, 404, 503][self.below(4)],
            latency: Some(self.latency()),
            tokens: None,
            quantities: BTreeMap::from([("bytes_out".to_owned(), self.random.random_range(0..10_000))]),
        }
    }

    pub(crate) fn end(&mut self, hold_micros: i64) -> EndKind {
        if self.percent(30) {
            return EndKind::Release;
        }
        let credits_micros = self.random.random_range(0..=hold_micros);
        EndKind::Settle { credits_micros, status_code: [200, 500][self.below(2)] }
    }

    pub(crate) fn additional_micros(&mut self) -> i64 {
        self.random.random_range(0..1_000_000)
    }

    fn latency(&mut self) -> Duration {
        Duration { seconds: 0, nanos: self.random.random_range(1..900_000) * 1_000 }
    }

    fn event(&mut self, tenant: &str, way: Way) -> UsageEvent {
        let is_done = self.percent(60);
        let chats = self.percent(30);
        let trusted = tenant.starts_with("open") && self.percent(20);
        let named = |names: &[&str], chooser: &mut Self| chooser.pick(names).to_owned();
        UsageEvent {
            id: self.next_id(),
            service: named(&["web", "app"], self),
            endpoint: if chats { "/chat".to_owned() } else { named(&["/search", "/notes", "/free"], self) },
            method: named(&["GET", "POST", ""], self),
            feature: String::new(),
            status_code: if is_done { [200, 200, 302, 400, 500][self.below(5)] } else { 0 },
            latency: is_done.then(|| self.latency()),
            weight: self.percent(30).then(|| self.random.random_range(1..4)),
            credits_micros: trusted.then(|| self.random.random_range(0..5_000)),
            premium: false,
            tokens: chats.then(|| self.tokens()),
            model: if chats { named(&["m-small", "m-large"], self) } else { String::new() },
            region: named(&["eu", "us", ""], self),
            country: named(&["PT", "DE", ""], self),
            api_version: named(&["v1", "v2"], self),
            consumers: self.consumers(),
            quantities: BTreeMap::from([("bytes_in".to_owned(), self.random.random_range(0..1_000))]),
            dimensions: BTreeMap::from([("team".to_owned(), named(&["red", "blue"], self))]),
            metadata: BTreeMap::from([("note".to_owned(), self.made.to_string())]),
            occurred_at: self.occurred_at(way),
        }
    }

    fn tokens(&mut self) -> Tokens {
        let input = self.random.random_range(1..5_000);
        Tokens {
            input,
            output: self.random.random_range(0..5_000),
            cached_input: self.random.random_range(0..=input),
            cache_write_input: self.random.random_range(0..=input),
        }
    }

    fn consumers(&mut self) -> Vec<Consumer> {
        let kinds = [ConsumerKind::User, ConsumerKind::Bot];
        let count = self.below(3);
        kinds[..count]
            .iter()
            .map(|kind| Consumer { kind: (*kind).into(), id: format!("c{}", self.below(5)) })
            .collect()
    }

    /// Mostly now; a decision at most minutes ago, a record up to a day.
    fn occurred_at(&mut self, way: Way) -> Option<Timestamp> {
        let seconds = match way {
            Way::Record => 86_400,
            Way::Decide | Way::Reserve { .. } => 240,
        };
        self.percent(40).then(|| now_plus(-self.random.random_range(0..seconds)))
    }
}

fn now_plus(seconds: i64) -> Timestamp {
    Timestamp { seconds: SystemClock.now().seconds() + seconds, nanos: 0 }
}
