//! The tenants of the demo, and what each was promised.

use std::time::Duration;

use tollgate_client::Client;
use tollgate_client::v1::{
    CreateApiKeyRequest, CreatePlanRequest, CreateTenantRequest, GrantCreditsRequest, LimitKind, PlanSpec,
    PriceRule, PublishPlanVersionRequest, Quota, RateLimit, TokenPrices,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::cli::child::Server;
use crate::cli::demo::DemoError;

/// What a credit is, in micro-credits.
pub(super) const CREDIT: i64 = 1_000_000;
/// What a million tokens cost.
pub(super) const INPUT_MICROS_PER_MILLION: i64 = 3 * CREDIT;
pub(super) const OUTPUT_MICROS_PER_MILLION: i64 = 15 * CREDIT;

/// How a tenant asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// `Track`: the cost is known before the call.
    Track,
    /// `Reserve`, then `Settle`: the answer's length is known at its end.
    Reserve,
}

/// One tenant and its plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    pub(super) tenant: &'static str,
    pub(super) plan: &'static str,
    pub(super) manner: Manner,
    /// How many of twenty requests are its own.
    pub(super) share: usize,
    /// What it buys beside its plan, in micro-credits.
    bought_micros: i64,
    spec: fn() -> PlanSpec,
}

/// The tenants. Their shares make twenty.
const ROLES: [Role; 4] = [
    Role {
        tenant: "aurora",
        plan: "demo-tokens",
        manner: Manner::Track,
        share: 5,
        bought_micros: 0,
        spec: tokens,
    },
    Role {
        tenant: "birch",
        plan: "demo-scale",
        manner: Manner::Track,
        share: 8,
        bought_micros: 0,
        spec: scale,
    },
    Role {
        tenant: "cedar",
        plan: "demo-prepaid",
        manner: Manner::Reserve,
        share: 5,
        // A little less than the evening costs, so that the end is seen.
        bought_micros: 28 * CREDIT,
        spec: prepaid,
    },
    Role {
        tenant: "dune",
        plan: "demo-trial",
        manner: Manner::Track,
        share: 2,
        bought_micros: 0,
        spec: trial,
    },
];

/// A tenant with its own key.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) client: Client,
    pub(super) secret: String,
}

/// Makes what is not there yet of plans and tenants, and a new key for each.
pub(super) async fn gather(server: &Server) -> Result<Vec<Member>, DemoError> {
    let operator = server.operator()?;
    let mut members = Vec::new();
    for role in ROLES {
        make_plan(&operator, role).await?;
        make_tenant(&operator, role).await?;
        let request = CreateApiKeyRequest {
            tenant_id: role.tenant.to_owned(),
            name: String::from("demo"),
            ..CreateApiKeyRequest::default()
        };
        let secret =
            operator.auth().create_api_key(request).await.map_err(DemoError::call)?.into_inner().secret;
        members.push(Member { role, client: server.client(&secret)?, secret });
    }
    Ok(members)
}

async fn make_plan(operator: &Client, role: Role) -> Result<(), DemoError> {
    let request = CreatePlanRequest {
        slug: role.plan.to_owned(),
        name: role.plan.to_owned(),
        spec: Some((role.spec)()),
        ..CreatePlanRequest::default()
    };
    made(operator.plans().create_plan(request).await)?;
    let request = PublishPlanVersionRequest { plan: role.plan.to_owned(), version: 1 };
    operator.plans().publish_plan_version(request).await.map_err(DemoError::call)?;
    Ok(())
}

async fn make_tenant(operator: &Client, role: Role) -> Result<(), DemoError> {
    let request = CreateTenantRequest {
        tenant_id: role.tenant.to_owned(),
        name: role.tenant.to_owned(),
        plan: role.plan.to_owned(),
        ..CreateTenantRequest::default()
    };
    made(operator.admin().create_tenant(request).await)?;
    if role.bought_micros > 0 {
        let request = GrantCreditsRequest {
            tenant_id: role.tenant.to_owned(),
            credits_micros: role.bought_micros,
            name: String::from("bought"),
            request_id: format!("demo-{}", Uuid::now_v7()),
            ..GrantCreditsRequest::default()
        };
        operator.plans().grant_credits(request).await.map_err(DemoError::call)?;
    }
    Ok(())
}

/// What an earlier demo made is as good.
fn made<T>(answer: Result<T, Status>) -> Result<(), DemoError> {
    match answer {
        Err(status) if status.code() != Code::AlreadyExists => Err(DemoError::call(status)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// So much that this evening meets no limit.
fn scale() -> PlanSpec {
    PlanSpec {
        rate_limits: vec![per_minute(10_000)],
        quotas: vec![per_month(10_000_000)],
        ..PlanSpec::default()
    }
}

/// Credits each month, which tokens burn.
fn tokens() -> PlanSpec {
    PlanSpec {
        rate_limits: vec![per_minute(10_000)],
        quotas: vec![per_month(1_000_000)],
        credits_per_period_micros: 100 * CREDIT,
        prices: vec![token_price()],
        ..PlanSpec::default()
    }
}

/// Only what was bought.
fn prepaid() -> PlanSpec {
    PlanSpec { rate_limits: vec![per_minute(10_000)], prices: vec![token_price()], ..PlanSpec::default() }
}

/// So little that most of it is refused: at first by the rate, and when the month's quota is gone, by that.
fn trial() -> PlanSpec {
    let rate_limits = vec![sliding("ten-seconds", 100, 10)];
    PlanSpec { rate_limits, quotas: vec![per_month(500)], ..PlanSpec::default() }
}

fn per_minute(limit: i64) -> RateLimit {
    sliding("minute", limit, 60)
}

fn sliding(name: &str, limit: i64, seconds: u64) -> RateLimit {
    RateLimit {
        name: name.to_owned(),
        kind: LimitKind::SlidingWindow.into(),
        limit,
        window: Duration::from_secs(seconds).try_into().ok(),
        ..RateLimit::default()
    }
}

fn per_month(limit: i64) -> Quota {
    Quota { name: String::from("month"), limit: Some(limit), ..Quota::default() }
}

fn token_price() -> PriceRule {
    let tokens = TokenPrices {
        input_micros_per_million: INPUT_MICROS_PER_MILLION,
        output_micros_per_million: OUTPUT_MICROS_PER_MILLION,
        ..TokenPrices::default()
    };
    PriceRule { service: String::from("llm"), tokens: Some(tokens), ..PriceRule::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_twenty() {
        assert_eq!(20, ROLES.iter().map(|role| role.share).sum::<usize>());
    }
}
