//! What people want to hear of: limits that refused, and credits that come to their end.
//!
//! Each is told about once: a rate limit once a minute, a quota once a period, credits once for what was granted so far.
//! Its id is made of just that, so whatever process tells it again says the same id.

use std::sync::Arc;

use serde::Serialize;

use super::Outlet;
use super::reading::Item;
use crate::gate::decision::DenialReason;
use crate::ledger::account::Account;
use crate::ledger::entry::reason_number;
use crate::ledger::record::{Body, Refusal, Usage};
use crate::live::announcement::{Announcement, Kind, Topic, id, json};
use crate::store::StoreError;
use crate::time::{MINUTE, Timestamp};

/// Credits are low when less than one part in that many is left.
const LOW_PART: i64 = 10;

/// A call that a limit refused, the first of those that are told as one.
#[derive(Debug, Serialize)]
struct RefusedBody<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    limit: &'a str,
    event_id: &'a str,
    service: &'a str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_key_id: &'a str,
    plan: &'a str,
    plan_version: u32,
}

/// A wallet that is nearly empty.
#[derive(Debug, Serialize)]
struct LowBody {
    balance_micros: String,
    granted_micros: String,
}

/// Whether the alerts of a record depend on its tenant's account.
pub(super) fn needs_account(item: &Item) -> bool {
    match &item.record.body {
        Some(Body::Usage(usage)) => !usage.burns.is_empty(),
        Some(Body::End(end)) => !end.excess.is_empty() || !end.paid.is_empty(),
        Some(Body::Refusal(refusal)) => refusal.reason == reason_number(DenialReason::CreditsExhausted),
        _ => false,
    }
}

/// The alerts that a record gives reason for.
pub(super) async fn of(
    item: &Item,
    account: Option<&Account>,
    outlet: &Outlet,
) -> Result<Option<Announcement>, StoreError> {
    match (&item.record.body, account) {
        (Some(Body::Refusal(refusal)), _) => refused(item, refusal, account, outlet).await,
        (Some(Body::Usage(Usage { burns, .. })), Some(account)) if !burns.is_empty() => {
            low(item, account, outlet).await
        }
        (Some(Body::End(_)), Some(account)) => low(item, account, outlet).await,
        _ => Ok(None),
    }
}

async fn refused(
    item: &Item,
    refusal: &Refusal,
    account: Option<&Account>,
    outlet: &Outlet,
) -> Result<Option<Announcement>, StoreError> {
    let at = Timestamp::from_micros(item.record.at_micros);
    let (kind, span) = match refusal.reason {
        reason if reason == reason_number(DenialReason::RateLimited) => {
            (Kind::RateLimitExceeded, at.floor(MINUTE).micros())
        }
        reason if reason == reason_number(DenialReason::QuotaExceeded) => {
            (Kind::QuotaExceeded, period_start(item, outlet).await?)
        }
        reason if reason == reason_number(DenialReason::CreditsExhausted) => {
            (Kind::CreditsExhausted, account.map_or(0, |account| account.granted_micros))
        }
        _ => return Ok(None),
    };
    let period = period_start(item, outlet).await?;
    let body = RefusedBody {
        limit: &refusal.denied_by,
        event_id: &refusal.event.id,
        service: &refusal.event.service,
        endpoint: &refusal.event.endpoint,
        api_key_id: &refusal.api_key_id,
        plan: &refusal.plan,
        plan_version: refusal.plan_version,
    };
    let parts = [refusal.denied_by.as_bytes(), &span.to_le_bytes(), &period.to_le_bytes()];
    alert(item, kind, &parts, json(&item.tenant, &body)?)
}

/// Credits that were spent down to less than a tenth of what was granted and has not ended.
async fn low(item: &Item, account: &Account, outlet: &Outlet) -> Result<Option<Announcement>, StoreError> {
    let open = account.grants.iter().filter(|grant| !grant.closed);
    let granted = open.map(|grant| grant.micros).fold(0, i64::saturating_add);
    let balance = account.balance_micros();
    // A grant that never ends is forgotten when it is spent: then nothing is left of anything.
    if granted > 0 && balance >= granted / LOW_PART {
        return Ok(None);
    }
    let body = LowBody { balance_micros: balance.to_string(), granted_micros: granted.to_string() };
    let period = period_start(item, outlet).await?;
    let parts: [&[u8]; 2] = [&account.granted_micros.to_le_bytes(), &period.to_le_bytes()];
    alert(item, Kind::CreditsLow, &parts, json(&item.tenant, &body)?)
}

/// The first moment of the billing period that a record was decided in.
async fn period_start(item: &Item, outlet: &Outlet) -> Result<i64, StoreError> {
    let tenant = outlet.directory.tenant(&item.tenant).await?;
    let at = Timestamp::from_micros(item.record.at_micros);
    Ok(tenant.map_or(0, |tenant| tenant.policy.period.containing(at).start.micros()))
}

#[expect(clippy::unnecessary_wraps, reason = "it ends those that can fail, and is their answer")]
fn alert(item: &Item, kind: Kind, parts: &[&[u8]], body: String) -> Result<Option<Announcement>, StoreError> {
    Ok(Some(Announcement {
        id: id(kind, &item.tenant, parts),
        kind,
        tenant: Arc::clone(&item.tenant),
        topic: Topic::Alerts,
        at: Timestamp::from_micros(item.record.at_micros),
        stamp: Some(item.stamp),
        body,
    }))
}
