//! The tenants of the workload: two on each of three plans, which between them have every kind of limit.

use std::collections::BTreeMap;

use prost_types::Duration;
use tollgate_client::v1::{
    CallerPrices, ChangeSubscriptionRequest, CreateApiKeyRequest, CreatePlanRequest, CreateTenantRequest,
    LimitKind, LimitScope, PlanSpec, PriceRule, PublishPlanVersionRequest, Quota, RateLimit, TokenPrices,
};
use tonic::Status;

use crate::connection::Connection;

/// Units that a tenant of the plan `small` may use in a month: few enough to be used up in each run.
const SMALL_QUOTA: i64 = 400;

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
pub(crate) fn open() -> PlanSpec {
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
            RateLimit {
                scope: LimitScope::Consumer.into(),
                ..rate("consumer", LimitKind::SlidingWindow, 8, 2, 0)
            },
            RateLimit { scope: LimitScope::ApiKey.into(), ..rate("key", LimitKind::FixedWindow, 15, 1, 0) },
        ],
        quotas: quota(Some(SMALL_QUOTA)),
        ..Default::default()
    }
}
