//! A decision becomes the contract's `Verdict`.

use tollgate_client::v1;

use crate::gate::decision::{Decision, DenialReason, LimitKind, LimitState, Refusal, Verdict};
use crate::gate::policy::Policy;
use crate::ledger::entry::reason_number;
use crate::time::{SECOND, Timestamp};

/// The verdict of a decision about a call.
pub(super) fn verdict(decision: &Decision, policy: &Policy) -> v1::Verdict {
    let mut verdict = v1::Verdict {
        decision: v1::Decision::Allowed.into(),
        limits: decision.limits.iter().map(limit).collect(),
        credits_charged_micros: decision.price_micros,
        credits_remaining_micros: decision.balance_micros,
        ..v1::Verdict::default()
    };
    if let Verdict::Denied(refusal) = &decision.verdict {
        deny(&mut verdict, refusal, decision, policy);
    }
    verdict
}

/// The verdict where no limit was asked: the credential or the tenant refused.
pub(super) fn refused_at_the_door(reason: DenialReason, denied_by: &str) -> v1::Verdict {
    let message = match reason {
        DenialReason::ApiKeyRevoked => "the API key was revoked",
        DenialReason::ApiKeyExpired => "the API key has expired",
        DenialReason::ApiKeyNetwork => "the API key is not allowed this network",
        DenialReason::ApiKeyService => "the API key is not allowed this service",
        DenialReason::TenantSuspended => "the tenant is suspended",
        DenialReason::TenantDeleted => "the tenant was deleted",
        _ => "the API key is not known",
    };
    v1::Verdict {
        decision: v1::Decision::Denied.into(),
        reason: reason_number(reason),
        denied_by: denied_by.to_owned(),
        message: message.to_owned(),
        ..v1::Verdict::default()
    }
}

fn deny(verdict: &mut v1::Verdict, refusal: &Refusal, decision: &Decision, policy: &Policy) {
    verdict.decision = v1::Decision::Denied.into();
    verdict.reason = reason_number(refusal.reason);
    verdict.denied_by = refusal.denied_by.as_ref().to_owned();
    verdict.message = message(refusal, decision);
    verdict.credits_charged_micros = 0;
    verdict.retry_after = refusal.retry_after.map(duration);
    verdict.upgrade = policy.upgrade.as_ref().map(|upgrade| v1::UpgradeHint {
        plan: upgrade.plan.as_ref().to_owned(),
        message: upgrade.message.as_ref().to_owned(),
    });
}

fn message(refusal: &Refusal, decision: &Decision) -> String {
    let by = &refusal.denied_by;
    let limit = decision.limits.iter().find(|limit| limit.name == *by);
    let amount =
        limit.and_then(|limit| Some(format!(" of {} {}", limit.limit?, limit.unit))).unwrap_or_default();
    match refusal.reason {
        DenialReason::PlanRequired => {
            "the endpoint is premium, and the plan has no premium access".to_owned()
        }
        DenialReason::FeatureNotInPlan => format!("the plan does not have the feature `{by}`"),
        DenialReason::RateLimited => format!("the rate limit `{by}`{amount} is reached"),
        DenialReason::QuotaExceeded => format!("the quota `{by}`{amount} is used up"),
        DenialReason::CreditsExhausted => "the credits do not cover the price of the call".to_owned(),
        DenialReason::ApiKeyInvalid
        | DenialReason::ApiKeyRevoked
        | DenialReason::ApiKeyExpired
        | DenialReason::ApiKeyNetwork
        | DenialReason::ApiKeyService
        | DenialReason::TenantSuspended
        | DenialReason::TenantDeleted => refused_at_the_door(refusal.reason, by).message,
    }
}

/// The state of one limit.
pub(super) fn limit(limit: &LimitState) -> v1::LimitState {
    let kind = match limit.kind {
        LimitKind::Sliding => v1::LimitKind::SlidingWindow,
        LimitKind::Bucket => v1::LimitKind::TokenBucket,
        LimitKind::Fixed => v1::LimitKind::FixedWindow,
        LimitKind::Quota => v1::LimitKind::Quota,
    };
    v1::LimitState {
        name: limit.name.as_ref().to_owned(),
        kind: kind.into(),
        unit: limit.unit.as_ref().to_owned(),
        limit: limit.limit,
        remaining: limit.remaining,
        window: Some(duration(limit.window)),
        reset_at: Some(timestamp(limit.reset_at)),
    }
}

/// Microseconds as the contract's duration.
pub(crate) fn duration(micros: i64) -> prost_types::Duration {
    let nanos = i32::try_from(micros % SECOND * 1_000).unwrap_or(0);
    prost_types::Duration { seconds: micros / SECOND, nanos }
}

/// A moment as the contract's timestamp.
pub(crate) fn timestamp(moment: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(moment.micros().rem_euclid(SECOND) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: moment.seconds(), nanos }
}
