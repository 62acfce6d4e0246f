//! Servers on one store take usage from the broker together: each message is one server's.

use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::v5::PubAckReason;
use test_servers::{FerretDb, Redis};

use crate::broker::{Broker, TENANT_PASSWORD};
use crate::listener::Listener;
use crate::server::{Server, settings};

const PEPPER: &str = "7d0f5c1e9b3a48266c1f0e9d8b7a69584736251403f2e1d0c9b8a79685746352";
const MESSAGES: i64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// How many calls a server says that it has recorded from the broker.
async fn ingested(server: &Server) -> u64 {
    let metrics = server.metrics().await;
    let of_recorded = |line: &&str| line.starts_with("tollgate_ingested_total") && line.contains("RECORDED");
    metrics.lines().filter(of_recorded).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn usage_is_shared_among_servers_and_recorded_once_though_one_dies_and_comes_back() {
    let (Some(redis), Some(ferretdb), Some(broker)) = (Redis::start(), FerretDb::start(), Broker::start())
    else {
        return;
    };
    let shared = || {
        let stores = [
            ("TOLLGATE_REDIS_URL", redis.url()),
            ("TOLLGATE_MONGODB_URI", ferretdb.uri()),
            ("TOLLGATE_OPERATOR_PEPPER", PEPPER.to_owned()),
        ];
        settings(&broker).into_iter().chain(stores).collect()
    };
    let (first, mut second) = (Server::with(shared()).await, Server::with(shared()).await);
    let key = first.acme().await;
    let sender = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
    for number in 0..MESSAGES {
        if number == MESSAGES / 2 {
            let both = [ingested(&first).await, ingested(&second).await];
            assert!(both.iter().all(|taken| *taken > 0), "each has its share: {both:?}");
            second.kill();
        }
        let topic = format!("tollgate/v1/acme/ingest/desk-{number}");
        let payload =
            format!(r#"{{"service_name":"search","endpoint":"/find","event_id":"event-{number}"}}"#);
        let authorization = format!("Bearer {key}");
        let receipt = sender.send(&topic, &payload, &[("authorization", &authorization)]).await;
        assert_eq!(receipt, PubAckReason::Success);
    }
    // What the broker has for it comes to the next process of its slot, which is free when the other has seen that it died.
    let began = Instant::now();
    while !first.log().contains("has died; its journal is sealed") {
        assert!(began.elapsed() < PATIENCE, "nobody has missed it:\n{}", first.log());
        tokio::time::sleep(POLL).await;
    }
    second.go_on().await;
    while first.counted("acme").await < MESSAGES {
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {MESSAGES}:\n{}",
            first.counted("acme").await,
            first.log()
        );
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(first.counted("acme").await, MESSAGES);
}
