//! How tenants stand: whole states, so that who comes late or misses some knows as much as anybody.

use std::sync::Arc;

use serde::Serialize;

use super::follower::OutboxError;
use super::{Outlet, Shared};
use crate::identity::directory::TenantEntry;
use crate::ledger::account::Account;
use crate::live::announcement::{State, StatePart, json};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Tenants whose accounts are read at once.
const PAGE: usize = 256;

#[derive(Debug, Serialize)]
struct LimitsBody<'a> {
    plan: &'a str,
    plan_version: u32,
    period_start: String,
    period_end: String,
    quotas: Vec<QuotaBody<'a>>,
    at: String,
}

/// A quota. One without `limit` and `remaining` is unlimited.
#[derive(Debug, Serialize)]
struct QuotaBody<'a> {
    name: &'a str,
    unit: &'a str,
    used: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<String>,
}

#[derive(Debug, Serialize)]
struct BalanceBody {
    balance_micros: String,
    held_micros: String,
    granted_micros: String,
    debited_micros: String,
    breakage_micros: String,
    overage_micros: String,
    at: String,
}

/// Sends the states of tenants as the ledger has them now.
pub(super) async fn send(shared: &Shared, outlet: &Outlet, tenants: &[Arc<str>]) -> Result<(), OutboxError> {
    for page in tenants.chunks(PAGE) {
        let now = shared.parts.clock.now();
        let mut states = Vec::with_capacity(page.len().saturating_mul(2));
        for kept in shared.accounts.get_many(page).await? {
            states.push(balance(&kept.tenant, &kept.account, now)?);
            // A tenant that is no longer there has no plan.
            if let Some(tenant) = outlet.directory.tenant(&kept.tenant).await? {
                states.push(limits(&tenant, &kept.account, now)?);
            }
        }
        outlet.publisher.retain(&states).await?;
    }
    Ok(())
}

fn balance(tenant: &Arc<str>, account: &Account, now: Timestamp) -> Result<State, StoreError> {
    let body = BalanceBody {
        balance_micros: account.balance_micros().to_string(),
        held_micros: account.held_micros().to_string(),
        granted_micros: account.granted_micros.to_string(),
        debited_micros: account.debited().to_string(),
        breakage_micros: account.breakage_micros.to_string(),
        overage_micros: account.overage().to_string(),
        at: now.to_string(),
    };
    Ok(State { tenant: Arc::clone(tenant), part: StatePart::Balance, body: json(tenant, &body)? })
}

fn limits(tenant: &TenantEntry, account: &Account, now: Timestamp) -> Result<State, StoreError> {
    let policy = &tenant.policy;
    let period = policy.period.containing(now);
    let quotas = policy.quotas.iter().map(|quota| {
        let used = account.quota_used(quota.key, period.start);
        QuotaBody {
            name: &quota.name,
            unit: &quota.unit,
            used: used.to_string(),
            limit: quota.limit.map(|limit| limit.to_string()),
            remaining: quota.limit.map(|limit| limit.saturating_sub(used).max(0).to_string()),
        }
    });
    let body = LimitsBody {
        plan: &policy.plan.slug,
        plan_version: policy.plan.version,
        period_start: period.start.to_string(),
        period_end: period.end.to_string(),
        quotas: quotas.collect(),
        at: now.to_string(),
    };
    Ok(State { tenant: Arc::clone(&tenant.id), part: StatePart::Limits, body: json(&tenant.id, &body)? })
}
