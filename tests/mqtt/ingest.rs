//! Usage that is sent over the broker: recorded once, for who shows a key of the tenant, and for nobody else.

use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::v5::PubAckReason;

use crate::broker::{AUDITOR, Broker, TENANT_PASSWORD};
use crate::listener::Listener;
use crate::server::Server;

const TOPIC: &str = "tollgate/v1/acme/ingest/cash-desk-3";

fn event(id: &str) -> String {
    format!(r#"{{"service_name":"search","endpoint":"/find","event_id":"{id}"}}"#)
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// A sender of `acme`, a server, and somebody who hears what was counted.
struct Desk {
    server: Server,
    sender: Listener,
    auditor: Listener,
    key: String,
    _broker: Broker,
}

impl Desk {
    async fn open() -> Option<Self> {
        let broker = Broker::start()?;
        let server = Server::start(&broker).await;
        let key = server.acme().await;
        let sender = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
        let auditor = Listener::connect(&broker, AUDITOR);
        auditor.subscribe("tollgate/v1/acme/usage/+").await;
        Some(Self { server, sender, auditor, key, _broker: broker })
    }

    async fn send(&self, payload: &str, properties: &[(&str, &str)]) {
        let receipt = self.sender.send(TOPIC, payload, properties).await;
        assert_eq!(receipt, PubAckReason::Success);
    }

    /// Sends one that is good, and waits until it is counted: all that was sent before is dealt with.
    async fn dealt_with(&self, id: &str) {
        self.send(&event(id), &[("authorization", &bearer(&self.key))]).await;
        self.auditor.message(|message| message.text("/data/event_id") == id).await;
    }
}

#[tokio::test]
async fn usage_is_recorded_once_however_often_it_comes() {
    let Some(desk) = Desk::open().await else { return };
    let authorization = bearer(&desk.key);
    let named = [("authorization", authorization.as_str())];
    for _ in 0..3 {
        desk.send(&event("one"), &named).await;
        desk.send(&format!("[{},{}]", event("two"), event("three")), &named).await;
        // Without an id of its own, an event has that of its message.
        let unnamed = r#"{"service_name":"search","endpoint":"/find"}"#;
        desk.send(unnamed, &[named[0], ("message_id", "m-1")]).await;
        desk.send(&format!("[{unnamed},{unnamed}]"), &[named[0], ("message_id", "m-2")]).await;
    }
    desk.dealt_with("last").await;
    assert_eq!(desk.server.counted("acme").await, 7);
}

#[tokio::test]
async fn usage_of_somebody_else_is_refused_and_no_secret_is_said() {
    let Some(desk) = Desk::open().await else { return };
    let foreign = desk.server.tenant("other", "open").await;
    let payload = event("refused");
    desk.send(&payload, &[]).await;
    for credential in [&bearer(&foreign), "Bearer tg_tenant_nonsense", "Basic abc", "", &desk.key] {
        desk.send(&payload, &[("authorization", credential)]).await;
    }
    let good = bearer(&desk.key);
    desk.send(&payload, &[("authorization", &good), ("authorization", &good)]).await;
    desk.send(&payload, &[("authorization", &bearer("operator-of-the-mqtt-tests-0123456789"))]).await;
    desk.dealt_with("last").await;
    assert_eq!((desk.server.counted("acme").await, desk.server.counted("other").await), (1, 0));
    let log = desk.server.log();
    assert!(log.contains("usage from the broker is refused"), "{log}");
    assert!(!log.contains(&foreign) && !log.contains(&desk.key) && !log.contains("nonsense"), "{log}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_rest_goes_on() {
    let Some(desk) = Desk::open().await else { return };
    let authorization = bearer(&desk.key);
    let named = [("authorization", authorization.as_str())];
    let many = format!("[{}]", vec![event("x"); 1_001].join(","));
    let large = format!("{}{}", " ".repeat(300 * 1024), event("x"));
    let unnamed = r#"{"service_name":"search","endpoint":"/find"}"#;
    let foreign = r#"{"service_name":"s","endpoint":"/e","event_id":"x","tenant_id":"other"}"#;
    for wrong in ["", "null", "[]", "{", "[[]]", &"[".repeat(10_000), &many, &large, unnamed, foreign] {
        desk.send(wrong, &named).await;
    }
    // Larger than any packet that the server lets the broker send.
    desk.send(&" ".repeat(700 * 1024), &named).await;
    desk.dealt_with("last").await;
    assert_eq!(desk.server.counted("acme").await, 1);
}

#[tokio::test]
async fn usage_that_came_while_the_server_was_away_is_recorded() {
    let Some(mut desk) = Desk::open().await else { return };
    let authorization = bearer(&desk.key);
    let named = [("authorization", authorization.as_str())];
    desk.dealt_with("first").await;
    desk.server.kill();
    for number in 0..50 {
        desk.send(&event(&format!("away-{number}")), &named).await;
    }
    desk.server.go_on().await;
    let began = Instant::now();
    while desk.server.counted("acme").await < 51 {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", desk.server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(desk.server.counted("acme").await, 51);
}
