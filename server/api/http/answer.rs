//! The answer to `POST /api/track`: JSON where the call may pass, a problem with the same fields where it may not.

use ::http::StatusCode;
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use tollgate_client::v1;

use crate::api::http::decimal;
use crate::api::http::headers::add_limits;
use crate::api::http::problem::Problem;
use crate::config::ResetFormat;
use crate::time::Timestamp;

/// What was decided.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    allowed: bool,
    reason: Option<&'static str>,
    message: String,
    event_id: String,
    replayed: bool,
    credits_charged: Box<RawValue>,
    credits_remaining: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    denied_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<Upgrade>,
    limits: Vec<Limit>,
}

#[derive(Debug, Serialize)]
struct Upgrade {
    plan: String,
    message: String,
}

#[derive(Debug, Serialize)]
struct Limit {
    name: String,
    kind: &'static str,
    unit: String,
    limit: Option<i64>,
    remaining: Option<i64>,
    window_seconds: Option<i64>,
    reset_at: Option<String>,
}

/// The response to a call that was decided at `now`.
pub(super) fn respond(tracked: v1::TrackResponse, now: Timestamp, format: ResetFormat) -> Response {
    let verdict = tracked.verdict.unwrap_or_default();
    let mut limits = ::http::HeaderMap::new();
    add_limits(&mut limits, &verdict, now, format);
    let allowed = verdict.decision() != v1::Decision::Denied;
    let (reason, message) = (verdict.reason(), verdict.message.clone());
    let answer = Answer {
        allowed,
        reason: (!allowed).then(|| reason_name(reason)),
        message: verdict.message,
        event_id: tracked.event_id,
        replayed: tracked.replayed,
        credits_charged: number(verdict.credits_charged_micros),
        credits_remaining: verdict.credits_remaining_micros.map(number),
        denied_by: verdict.denied_by,
        retry_after_seconds: verdict.retry_after.map(|wait| number(micros(&wait))),
        upgrade: verdict.upgrade.map(|hint| Upgrade { plan: hint.plan, message: hint.message }),
        limits: verdict.limits.into_iter().map(limit).collect(),
    };
    let mut response = if allowed {
        Json(answer).into_response()
    } else {
        Problem::new(refusal_status(reason), reason_name(reason), message).with_answer(answer).into_response()
    };
    response.headers_mut().extend(limits);
    response
}

/// How a refusal is said over HTTP.
const fn refusal_status(reason: v1::DenialReason) -> StatusCode {
    use v1::DenialReason as Reason;
    match reason {
        Reason::ApiKeyInvalid | Reason::ApiKeyRevoked | Reason::ApiKeyExpired => StatusCode::UNAUTHORIZED,
        Reason::CreditsExhausted => StatusCode::PAYMENT_REQUIRED,
        Reason::RateLimited | Reason::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Reason::Unspecified
        | Reason::ApiKeyNetwork
        | Reason::ApiKeyService
        | Reason::TenantSuspended
        | Reason::TenantDeleted
        | Reason::PlanRequired
        | Reason::FeatureNotInPlan => StatusCode::FORBIDDEN,
    }
}

fn reason_name(reason: v1::DenialReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("DENIAL_REASON_").unwrap_or(name)
}

fn limit(state: v1::LimitState) -> Limit {
    let kind = state.kind().as_str_name();
    Limit {
        name: state.name,
        kind: kind.strip_prefix("LIMIT_KIND_").unwrap_or(kind),
        unit: state.unit,
        limit: state.limit,
        remaining: state.remaining,
        window_seconds: state.window.map(|window| window.seconds),
        reset_at: state.reset_at.map(|at| moment(&at)),
    }
}

/// A JSON number with all its digits.
fn number(millionths: i64) -> Box<RawValue> {
    RawValue::from_string(decimal::text(millionths)).expect("a decimal number is JSON")
}

fn micros(duration: &prost_types::Duration) -> i64 {
    duration.seconds.saturating_mul(1_000_000).saturating_add(i64::from(duration.nanos / 1_000))
}

fn moment(at: &prost_types::Timestamp) -> String {
    let micros = at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos / 1_000));
    Timestamp::from_micros(micros).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn read(tracked: v1::TrackResponse) -> (StatusCode, String, Value) {
        let response = respond(tracked, Timestamp::EPOCH, ResetFormat::Epoch);
        let status = response.status();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, kind, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_call_that_may_pass_is_plain_json() {
        let verdict = v1::Verdict {
            decision: v1::Decision::Allowed.into(),
            credits_charged_micros: 2_500_000,
            credits_remaining_micros: Some(7_000_001),
            limits: vec![v1::LimitState { name: "minute".into(), limit: Some(60), ..Default::default() }],
            ..Default::default()
        };
        let tracked =
            v1::TrackResponse { verdict: Some(verdict), event_id: "e1".into(), ..Default::default() };
        let (status, kind, body) = read(tracked).await;
        assert_eq!((StatusCode::OK, "application/json"), (status, kind.as_str()));
        assert_eq!(json!(true), body["allowed"]);
        assert_eq!(Value::Null, body["reason"]);
        assert_eq!("2.5", body["credits_charged"].to_string());
        assert_eq!("7.000001", body["credits_remaining"].to_string());
        assert_eq!(json!("e1"), body["event_id"]);
        assert_eq!(json!(60), body["limits"][0]["limit"]);
    }

    #[tokio::test]
    async fn a_refusal_is_a_problem_with_the_same_fields() {
        use v1::DenialReason as Reason;
        for (reason, status, name) in [
            (Reason::ApiKeyInvalid, 401, "API_KEY_INVALID"),
            (Reason::ApiKeyRevoked, 401, "API_KEY_REVOKED"),
            (Reason::ApiKeyExpired, 401, "API_KEY_EXPIRED"),
            (Reason::CreditsExhausted, 402, "CREDITS_EXHAUSTED"),
            (Reason::TenantSuspended, 403, "TENANT_SUSPENDED"),
            (Reason::PlanRequired, 403, "PLAN_REQUIRED"),
            (Reason::FeatureNotInPlan, 403, "FEATURE_NOT_IN_PLAN"),
            (Reason::RateLimited, 429, "RATE_LIMITED"),
            (Reason::QuotaExceeded, 429, "QUOTA_EXCEEDED"),
        ] {
            let verdict = v1::Verdict {
                decision: v1::Decision::Denied.into(),
                reason: reason.into(),
                message: "no".into(),
                retry_after: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
                ..Default::default()
            };
            let (found, kind, body) =
                read(v1::TrackResponse { verdict: Some(verdict), ..Default::default() }).await;
            assert_eq!((status, "application/problem+json"), (found.as_u16(), kind.as_str()), "{name}");
            assert_eq!(
                (json!(false), json!(name), json!(status)),
                (body["allowed"].clone(), body["reason"].clone(), body["status"].clone())
            );
            assert_eq!(
                (json!("no"), json!("no"), json!(1.5)),
                (body["detail"].clone(), body["message"].clone(), body["retry_after_seconds"].clone())
            );
        }
    }
}
