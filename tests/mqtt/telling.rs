//! What is told, where, and in which words.

use std::collections::HashSet;

use serde_json::json;
use tollgate_client::v1;

use crate::broker::{AUDITOR, Broker, TENANT_PASSWORD};
use crate::listener::Listener;
use crate::server::{Server, request};

#[tokio::test]
async fn counted_calls_are_told_as_cloud_events() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let tenant = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
    tenant.subscribe("tollgate/v1/acme/usage/+").await;
    let mut call = request("call-1", "search");
    let event = call.event.as_mut().unwrap();
    event.credits_micros = Some(2_500_000);
    event.quantities = [(String::from("bytes"), 9_000_000_000_000_000)].into();
    event.status_code = 200;
    server.operator().track().track(call).await.unwrap();

    let message = tenant.message(|_| true).await;
    assert_eq!(message.topic, "tollgate/v1/acme/usage/search");
    assert_eq!(message.content_type.as_deref(), Some("application/cloudevents+json"));
    assert!(!message.retained);
    let envelope = |name: &str| message.text(&format!("/{name}"));
    assert_eq!(
        (envelope("specversion"), envelope("type"), envelope("subject"), envelope("source")),
        ("1.0", "api.usage.tracked", "acme", "/tollgate/slots/0")
    );
    assert_eq!(envelope("datacontenttype"), "application/json");
    assert_eq!(envelope("id").len(), 32);
    envelope("time").parse::<jiff::Timestamp>().unwrap();
    let data = message.body.pointer("/data").unwrap();
    for (name, expected) in [
        ("event_id", json!("call-1")),
        ("mode", json!("decide")),
        ("endpoint", json!("/find")),
        ("status_code", json!(200)),
        ("weight", json!(1)),
        ("credits_micros", json!("2500000")),
        ("quantities", json!({ "bytes": "9000000000000000" })),
        ("plan", json!("open")),
    ] {
        assert_eq!(data.get(name), Some(&expected), "{name}");
    }
}

#[tokio::test]
async fn each_call_is_told_once_and_a_refused_or_repeated_one_is_not() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/+/usage/+").await;
    for _ in 0..2 {
        server.track((0..50).map(|number| format!("call-{number}"))).await;
    }
    server.track(std::iter::once(String::from("last"))).await;
    auditor.message(|message| message.text("/data/event_id") == "last").await;
    let messages = auditor.messages();
    let ids: HashSet<_> = messages.iter().map(|message| message.text("/id")).collect();
    let events: HashSet<_> = messages.iter().map(|message| message.text("/data/event_id")).collect();
    assert_eq!((messages.len(), ids.len(), events.len()), (51, 51, 51));
}

#[tokio::test]
async fn state_of_a_tenant_is_kept_for_those_who_come_later() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/acme/state/+").await;
    let mut call = request("call-1", "search");
    call.event.as_mut().unwrap().credits_micros = Some(400_000_000);
    server.operator().track().track(call).await.unwrap();
    let spent = |message: &crate::listener::Message| message.text("/balance_micros") == "600000000";
    auditor.message(spent).await;
    auditor.message(|message| message.text("/quotas/0/used") == "1").await;

    let late = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
    late.subscribe("tollgate/v1/acme/state/+").await;
    let balance = late.message(spent).await;
    assert_eq!((balance.topic.as_str(), balance.retained), ("tollgate/v1/acme/state/balance", true));
    assert_eq!((balance.text("/debited_micros"), balance.text("/held_micros")), ("400000000", "0"));
    let limits = late.message(|message| message.text("/plan") == "open").await;
    assert_eq!((limits.topic.as_str(), limits.retained), ("tollgate/v1/acme/state/limits", true));
    assert_eq!((limits.text("/quotas/0/name"), limits.text("/quotas/0/used")), ("month", "1"));
}

#[tokio::test]
async fn names_make_no_levels_and_no_wildcards() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/#").await;
    let hostile = ["a/b", "+", "#", "$SYS/x", "/other/alerts", "a\0b", "é", "..", "%2F", "+/#"];
    for (number, service) in hostile.iter().enumerate() {
        let answer = server.operator().track().track(request(&format!("call-{number}"), service)).await;
        answer.unwrap();
    }
    for (number, service) in hostile.iter().enumerate() {
        let id = format!("call-{number}");
        let message = auditor.message(|message| message.text("/data/event_id") == id).await;
        assert_eq!(message.text("/data/service"), *service);
        let level = message.topic.strip_prefix("tollgate/v1/acme/usage/").unwrap();
        assert!(!level.contains(['/', '+', '#', '$', '\0']), "{service:?}: {level}");
    }
}

#[tokio::test]
async fn process_tells_how_it_is_and_its_will_tells_how_it_was_not() {
    let Some(broker) = Broker::start() else { return };
    let mut server = Server::start(&broker).await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/nodes/+/status").await;
    let statuses = |count: usize, last: &'static str| {
        let auditor = &auditor;
        async move {
            auditor
                .until(|heard| {
                    let messages = &heard.messages;
                    (messages.len() >= count && messages.last()?.text("/status") == last).then_some(())
                })
                .await;
        }
    };
    statuses(1, "online").await;
    server.kill();
    statuses(2, "offline").await;
    server.go_on().await;
    statuses(3, "online").await;
    server.end();
    statuses(4, "offline").await;
    let topics: HashSet<_> = auditor.messages().iter().map(|message| message.topic.clone()).collect();
    assert_eq!(topics, [String::from("tollgate/v1/nodes/slot-0/status")].into());
}

#[tokio::test]
async fn server_that_ends_tells_everything_first() {
    let Some(broker) = Broker::start() else { return };
    let mut server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/+/usage/+").await;
    let kept = server.track((0..500).map(|number| format!("call-{number}"))).await;
    server.end();
    auditor.until(|heard| (heard.messages.len() >= kept.len()).then_some(())).await;
    assert_eq!((kept.len(), auditor.messages().len()), (500, 500));
}

#[tokio::test]
async fn another_plan_is_told() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let tenant = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
    tenant.subscribe("tollgate/v1/acme/alerts").await;
    let request = v1::ChangeSubscriptionRequest {
        tenant_id: String::from("acme"),
        plan: String::from("free"),
        request_id: String::from("to-free"),
        ..Default::default()
    };
    server.operator().plans().change_subscription(request).await.unwrap();
    let message = tenant.message(|message| message.text("/type") == "api.subscription.changed").await;
    assert_eq!((message.text("/subject"), message.text("/data/plan")), ("acme", "free"));
}
