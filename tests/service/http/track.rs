//! `POST /api/track`: what may pass, what may not, and that its headers agree with `GetLimits`.

use serde_json::{Value, json};
use tollgate_client::v1;

use crate::raw::{Page, post_track};
use crate::server::{NOW, Server};

const CREDIT: i64 = 1_000_000;

async fn post(server: &Server, key: &str, body: &Value) -> Page {
    let bearer = format!("Bearer {key}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    post_track(server.address(), &headers, &body.to_string()).await
}

fn call() -> Value {
    json!({"service_name": "search", "endpoint": "/find", "method": "GET"})
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut body = call();
    body[field] = value.into();
    body
}

/// Three calls a minute, five a month, five credits.
fn small_plan() -> v1::PlanSpec {
    v1::PlanSpec {
        rate_limits: vec![v1::RateLimit {
            name: "minute".into(),
            kind: v1::LimitKind::SlidingWindow.into(),
            limit: 3,
            window: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..Default::default()
        }],
        quotas: vec![v1::Quota { name: "month".into(), limit: Some(5), ..Default::default() }],
        credits_per_period_micros: 5 * CREDIT,
        caller_prices: v1::CallerPrices::Trusted.into(),
        features: vec!["search".into()],
        ..Default::default()
    }
}

async fn small() -> (Server, String) {
    let server =
        Server::new().await.with_plan("small", small_plan()).await.with_plan_of("acme", "small").await;
    let key = server.key().await;
    (server, key)
}

#[track_caller]
fn refused(page: &Page, status: u16, reason: &str) {
    assert_eq!(status, page.status, "{page:?}");
    assert_eq!("application/problem+json", page.header("content-type"));
    let body = page.json();
    assert_eq!(
        (json!(reason), json!(false), json!(status)),
        (body["reason"].clone(), body["allowed"].clone(), body["status"].clone())
    );
    assert_eq!(body["message"], body["detail"]);
    assert_eq!(json!(0), body["credits_charged"]);
}

#[tokio::test]
async fn a_call_that_may_pass_is_charged_what_it_says() {
    let (server, key) = small().await;
    let page = post(&server, &key, &with("credits_used", json!(1.5))).await;
    assert_eq!(200, page.status, "{page:?}");
    let body = page.json();
    assert_eq!((json!(true), Value::Null), (body["allowed"].clone(), body["reason"].clone()));
    assert_eq!(
        (json!(1.5), json!(3.5)),
        (body["credits_charged"].clone(), body["credits_remaining"].clone())
    );
    assert!(body["event_id"].as_str().unwrap().starts_with("evt_"), "{body}");
    let after = server.snapshot().await;
    assert_eq!((1, 3_500_000), (after.usage.calls, after.balance_micros));
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_another_content_is_a_conflict() {
    let (server, key) = small().await;
    let mut body = with("event_id", "once");
    body["credits_used"] = json!(2);
    let first = post(&server, &key, &body).await.json();
    let again = post(&server, &key, &body).await.json();
    assert_eq!((json!(false), json!(true)), (first["replayed"].clone(), again["replayed"].clone()));
    assert_eq!(
        (&first["event_id"], &first["credits_charged"]),
        (&again["event_id"], &again["credits_charged"])
    );
    body["endpoint"] = json!("/other");
    let conflict = post(&server, &key, &body).await;
    assert_eq!((409, json!("EVENT_CONFLICT")), (conflict.status, conflict.json()["reason"].clone()));
    let after = server.snapshot().await;
    assert_eq!((1, 3 * CREDIT), (after.usage.calls, after.balance_micros));
}

#[tokio::test]
async fn headers_agree_with_get_limits() {
    let (server, key) = small().await;
    for _ in 0..2 {
        let page = post(&server, &key, &call()).await;
        let request = v1::GetLimitsRequest::default();
        let limits = server.client(&key).track().get_limits(request).await.unwrap().into_inner().limits;
        let said = |name: &str| {
            let state = limits.iter().find(|limit| limit.name == name).unwrap();
            let reset = state.reset_at.as_ref().unwrap();
            let reset = reset.seconds + i64::from(reset.nanos > 0);
            [state.limit.unwrap().to_string(), state.remaining.unwrap().to_string(), reset.to_string()]
        };
        let header = |name: &str| page.header(name).to_owned();
        let [rate, quota] = ["x-ratelimit", "x-quota"]
            .map(|family| ["limit", "remaining", "reset"].map(|what| header(&format!("{family}-{what}"))));
        assert_eq!(said("minute"), rate);
        assert_eq!(said("month"), quota);
        let [_, left, reset] = said("minute");
        let wait = reset.parse::<i64>().unwrap() - NOW;
        let field = page.header("ratelimit");
        assert!(field.starts_with(&format!("\"minute\";r={left};t={wait}, \"month\";r=")), "{field}");
        assert!(page.header("ratelimit-policy").starts_with("\"minute\";q=3;w=60, \"month\";q=5;w="));
        assert_eq!("", page.header("retry-after"));
    }
}

#[tokio::test]
async fn over_the_rate_the_answer_says_when_to_come_back() {
    let (server, key) = small().await;
    for _ in 0..3 {
        assert_eq!(200, post(&server, &key, &call()).await.status);
        server.clock().advance(500_000);
    }
    let before = server.snapshot().await;
    let page = post(&server, &key, &call()).await;
    refused(&page, 429, "RATE_LIMITED");
    // The first call leaves the window 60 s after it came, which is 58.5 s from now.
    assert_eq!("59", page.header("retry-after"));
    assert_eq!("0", page.header("x-ratelimit-remaining"));
    assert_eq!(json!("minute"), page.json()["denied_by"]);
    assert_eq!(before.balance_micros, server.snapshot().await.balance_micros);
    server.clock().advance(59_000_000);
    assert_eq!(200, post(&server, &key, &call()).await.status);
}

#[tokio::test]
async fn over_the_quota_the_answer_is_429_too() {
    let (server, key) = small().await;
    for _ in 0..5 {
        assert_eq!(200, post(&server, &key, &call()).await.status);
        server.clock().advance(61_000_000);
    }
    let page = post(&server, &key, &call()).await;
    refused(&page, 429, "QUOTA_EXCEEDED");
    assert_eq!("0", page.header("x-quota-remaining"));
    // 2026-02-01, when the next month begins.
    assert_eq!("1769904000", page.header("x-quota-reset"));
}

#[tokio::test]
async fn without_credits_payment_is_required() {
    let (server, key) = small().await;
    let before = server.snapshot().await;
    let page = post(&server, &key, &with("credits_used", json!(5.000_001))).await;
    refused(&page, 402, "CREDITS_EXHAUSTED");
    assert_eq!(json!(5), page.json()["credits_remaining"]);
    assert_eq!(before.limits, server.snapshot().await.limits);
}

#[tokio::test]
async fn what_the_plan_does_not_have_is_forbidden() {
    let (server, key) = small().await;
    refused(&post(&server, &key, &with("premium", true)).await, 403, "PLAN_REQUIRED");
    refused(&post(&server, &key, &with("feature", "export")).await, 403, "FEATURE_NOT_IN_PLAN");
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), reason: "test".into() };
    server.operator().admin().suspend_tenant(suspend).await.unwrap();
    refused(&post(&server, &key, &call()).await, 403, "TENANT_SUSPENDED");
}

#[tokio::test]
async fn resets_can_be_said_as_moments() {
    let (server, key) = small().await;
    let server =
        server.restarted(|config| config.http.reset_format = tollgate::config::ResetFormat::Rfc3339).await;
    let page = post(&server, &key, &call()).await;
    assert_eq!("2026-01-15T12:01:00Z", page.header("x-ratelimit-reset"));
    assert_eq!("2026-02-01T00:00:00Z", page.header("x-quota-reset"));
}
