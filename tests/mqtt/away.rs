//! The broker is away, or the server dies: nothing is lost, ids stay, and the order of each slot is kept.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::broker::{AUDITOR, Broker};
use crate::listener::{Listener, Message};
use crate::server::Server;

/// How long the broker is away. Longer in the long mode of the checker.
const AWAY: Duration = Duration::from_secs(3);
/// Calls of one batch.
const BATCH: usize = 25;

/// Waits until all these events were heard of; checks ids and order.
async fn hear_all(auditor: &Listener, kept: &[String]) -> Vec<Message> {
    let wanted: HashSet<_> = kept.iter().map(String::as_str).collect();
    let messages = auditor
        .until(|heard| {
            // Not before there can be enough.
            if heard.messages.len() < kept.len() {
                return None;
            }
            let events: HashSet<_> =
                heard.messages.iter().map(|message| message.text("/data/event_id")).collect();
            wanted.is_subset(&events).then(|| heard.messages.clone())
        })
        .await;
    let mut ids = HashMap::new();
    for message in &messages {
        let id = ids.entry(message.text("/data/event_id")).or_insert(message.text("/id"));
        assert_eq!(*id, message.text("/id"), "an event has one id: {message:?}");
    }
    let mut seen = HashSet::new();
    let first: Vec<_> = messages
        .iter()
        .filter(|message| seen.insert(message.text("/id")))
        .map(|message| message.text("/sequence"))
        .collect();
    assert!(first.is_sorted(), "each is first heard of after those before it");
    messages
}

#[tokio::test]
async fn broker_that_comes_back_hears_everything() {
    let Some(mut broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/+/usage/+").await;

    let mut kept = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut calls = async |server: &Server, kept: &mut Vec<String>| {
        let from = kept.len();
        let began = Instant::now();
        kept.extend(server.track((from..from + BATCH).map(|number| format!("call-{number}"))).await);
        slowest = slowest.max(began.elapsed());
        assert_eq!(kept.len(), from + BATCH, "a broker that is away keeps nobody waiting");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for phase in [AWAY / 3, AWAY, AWAY / 3] {
        let began = Instant::now();
        while began.elapsed() < phase {
            calls(&server, &mut kept).await;
        }
        if phase == AWAY { broker.go_on() } else { broker.end() }
    }
    broker.go_on();
    let messages = hear_all(&auditor, &kept).await;
    assert!(kept.len() > 20 * BATCH && messages.len() >= kept.len());
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(server.counted("acme").await, i64::try_from(kept.len()).unwrap());
}

#[tokio::test]
async fn server_that_was_killed_tells_the_rest_with_the_same_ids() {
    let Some(broker) = Broker::start() else { return };
    let mut server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/+/usage/+").await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let from = kept.len();
        kept.extend(server.track((from..from + 4 * BATCH).map(|number| format!("call-{number}"))).await);
        // Some of them were told, and the cursor of most of those is not kept yet.
        let one_of_them = kept.get(from).cloned().unwrap();
        auditor.message(|message| message.text("/data/event_id") == one_of_them).await;
        server.kill();
        server.go_on().await;
    }
    let messages = hear_all(&auditor, &kept).await;
    assert!(messages.len() > kept.len(), "some were told twice, or the crash came too late to show anything");
}

#[tokio::test]
async fn what_was_not_told_before_the_end_is_told_at_the_next_start() {
    let Some(mut broker) = Broker::start() else { return };
    let mut server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/+/usage/+").await;
    broker.end();
    let kept = server.track((0..BATCH).map(|number| format!("call-{number}"))).await;
    server.end();
    broker.go_on();
    server.go_on().await;
    hear_all(&auditor, &kept).await;
}

#[tokio::test]
async fn broker_that_says_nothing_any_more_keeps_nobody_waiting() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/+/usage/+").await;
    broker.pause();
    let began = Instant::now();
    let mut kept = Vec::new();
    for round in 0..10 {
        kept.extend(server.track((0..BATCH).map(|number| format!("call-{round}-{number}"))).await);
    }
    let took = began.elapsed();
    assert_eq!(server.counted("acme").await, i64::try_from(10 * BATCH).unwrap());
    broker.resume();
    hear_all(&auditor, &kept).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}
