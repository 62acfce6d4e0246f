//! Limits that refused, and credits that come to their end, are told once.

use tollgate_client::v1;

use crate::broker::{Broker, TENANT_PASSWORD};
use crate::listener::Listener;
use crate::server::{Server, open_plan, request};

/// The alerts that came until the last of them was seen, by type and what they are about; `None`: there is no broker.
async fn alerts(
    spec: v1::PlanSpec,
    calls: usize,
    credits_micros: i64,
    last: &str,
) -> Option<Vec<(String, String)>> {
    let broker = Broker::start()?;
    let server = Server::start(&broker).await;
    server.plan("tight", spec).await;
    server.tenant("acme", "tight").await;
    let tenant = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
    tenant.subscribe("tollgate/v1/acme/alerts").await;
    for number in 0..calls {
        let mut call = request(&format!("call-{number}"), "search");
        call.event.as_mut().unwrap().credits_micros = Some(credits_micros);
        server.operator().track().track(call).await.unwrap();
    }
    tenant.message(|message| message.text("/type") == last).await;
    // All calls are folded with this one, and an alert about them comes before it.
    server
        .operator()
        .plans()
        .change_subscription(v1::ChangeSubscriptionRequest {
            tenant_id: String::from("acme"),
            plan: String::from("free"),
            request_id: String::from("the-end"),
            ..Default::default()
        })
        .await
        .unwrap();
    server.counted("acme").await;
    tenant.message(|message| message.text("/type") == "api.subscription.changed").await;
    let messages = tenant.messages();
    let alerts = messages.iter().filter(|message| message.text("/type") != "api.subscription.changed");
    let alerts = alerts.map(|alert| (alert.text("/type").to_owned(), alert.text("/data/limit").to_owned()));
    Some(alerts.collect())
}

#[track_caller]
fn check(alerts: &[(String, String)], expected: &[(&str, &str)]) {
    let found: Vec<_> = alerts.iter().map(|(kind, limit)| (kind.as_str(), limit.as_str())).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn rate_limit_that_refused_is_told_once_a_minute() {
    let hour = prost_types::Duration { seconds: 3_600, nanos: 0 };
    let limit = v1::RateLimit {
        name: "hourly".into(),
        kind: v1::LimitKind::FixedWindow.into(),
        limit: 2,
        window: Some(hour),
        ..Default::default()
    };
    let spec = v1::PlanSpec { rate_limits: vec![limit], ..open_plan() };
    let Some(alerts) = alerts(spec, 6, 0, "api.rate_limit.exceeded").await else { return };
    // A minute may end among the calls.
    let alerts = if alerts.len() == 2 { &alerts[1..] } else { &alerts[..] };
    check(alerts, &[("api.rate_limit.exceeded", "hourly")]);
}

#[tokio::test]
async fn quota_that_refused_is_told_once_a_period() {
    let quota = v1::Quota { name: "month".into(), limit: Some(2), ..Default::default() };
    let spec = v1::PlanSpec { quotas: vec![quota], ..open_plan() };
    let Some(alerts) = alerts(spec, 6, 0, "api.quota.exceeded").await else { return };
    check(&alerts, &[("api.quota.exceeded", "month")]);
}

#[tokio::test]
async fn credits_are_told_to_be_low_and_then_to_be_exhausted() {
    let spec = v1::PlanSpec { credits_per_period_micros: 10_000_000, ..open_plan() };
    let Some(alerts) = alerts(spec, 13, 950_000, "api.credits.exhausted").await else { return };
    check(&alerts, &[("api.credits.low", ""), ("api.credits.exhausted", "credits")]);
}
