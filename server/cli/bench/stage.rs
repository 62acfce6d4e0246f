//! What the product needs before it is measured: a plan, tenants on it, and a key that may track for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tollgate_client::Client;
use tollgate_client::v1::{
    ApiKeyKind, CreateApiKeyRequest, CreatePlanRequest, CreateTenantRequest, Freshness, LimitKind, PlanSpec,
    PriceRule, PublishPlanVersionRequest, QueryUsageRequest, Quota, RateLimit,
};
use tonic::Code;

use crate::cli::bench::BenchError;
use crate::cli::bench::load::tenant;

const PLAN: &str = "bench";
const CALLS_PER_SECOND: i64 = 1_000_000;
/// So high that nothing is refused; each is charged all the same.
const PLENTY: i64 = 1_000_000_000_000;
const PRICE_MICROS: i64 = 1_000;
const CREATORS: usize = 64;
/// The ledger has that long to catch up.
const FOLD_ATTEMPTS_MAX: u32 = 30;

/// Makes the plan and the tenants, and gives the secret of a service account.
pub(super) async fn set(operator: &Client, tenants: u64) -> Result<String, BenchError> {
    make_plan(operator).await?;
    make_tenants(operator, tenants).await?;
    let request = CreateApiKeyRequest {
        kind: ApiKeyKind::ServiceAccount.into(),
        name: String::from("bench"),
        ..CreateApiKeyRequest::default()
    };
    Ok(operator.auth().create_api_key(request).await.map_err(BenchError::call)?.into_inner().secret)
}

/// Waits until all that was acknowledged is in the ledger, and gives the calls of a tenant.
pub(super) async fn folded(operator: &Client, number: u64) -> Result<u64, BenchError> {
    for _ in 0..FOLD_ATTEMPTS_MAX {
        let request = QueryUsageRequest {
            tenant_id: tenant(number),
            freshness: Freshness::Fresh.into(),
            ..QueryUsageRequest::default()
        };
        match operator.track().query_usage(request).await {
            Ok(answer) => {
                let calls = answer.into_inner().totals.unwrap_or_default().calls;
                return Ok(u64::try_from(calls).unwrap_or_default());
            }
            // The server itself gives up waiting after ten seconds.
            Err(status) if status.code() == Code::Unavailable => {}
            Err(status) => return Err(BenchError::call(status)),
        }
    }
    Err(BenchError::NotFolded)
}

async fn make_plan(operator: &Client) -> Result<(), BenchError> {
    let bucket = RateLimit {
        name: String::from("second"),
        kind: LimitKind::TokenBucket.into(),
        limit: CALLS_PER_SECOND,
        window: Some(Duration::from_secs(1).try_into().unwrap_or_default()),
        ..RateLimit::default()
    };
    let quota = Quota { name: String::from("month"), limit: Some(PLENTY), ..Quota::default() };
    let price = PriceRule { credits_micros: PRICE_MICROS, ..PriceRule::default() };
    let spec = PlanSpec {
        rate_limits: vec![bucket],
        quotas: vec![quota],
        credits_per_period_micros: PLENTY,
        prices: vec![price],
        ..PlanSpec::default()
    };
    let request = CreatePlanRequest {
        slug: String::from(PLAN),
        name: String::from("Bench"),
        spec: Some(spec),
        ..CreatePlanRequest::default()
    };
    operator.plans().create_plan(request).await.map_err(BenchError::call)?;
    let request = PublishPlanVersionRequest { plan: String::from(PLAN), version: 1 };
    operator.plans().publish_plan_version(request).await.map_err(BenchError::call)?;
    Ok(())
}

async fn make_tenants(operator: &Client, tenants: u64) -> Result<(), BenchError> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CREATORS {
        let (operator, next) = (operator.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tenants {
                    return Ok::<_, BenchError>(());
                }
                let request = CreateTenantRequest {
                    tenant_id: tenant(number),
                    name: tenant(number),
                    plan: String::from(PLAN),
                    ..CreateTenantRequest::default()
                };
                operator.admin().create_tenant(request).await.map_err(BenchError::call)?;
            }
        });
    }
    while let Some(made) = tasks.join_next().await {
        made.map_err(|_| BenchError::CallerDied)??;
    }
    Ok(())
}
