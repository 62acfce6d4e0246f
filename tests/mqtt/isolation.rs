//! Who may listen to what, by the access rules that the documentation gives.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode};

use crate::broker::{AUDITOR, Broker, TENANT_PASSWORD};
use crate::listener::Listener;
use crate::server::Server;

#[tokio::test]
async fn tenant_hears_nothing_of_another() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let other = Listener::connect(&broker, ("other", TENANT_PASSWORD));
    for filter in [
        "tollgate/v1/acme/usage/#",
        "tollgate/v1/+/usage/search",
        "tollgate/v1/#",
        "#",
        "+/+/acme/alerts",
        "$SYS/#",
        "$share/g/tollgate/v1/acme/usage/#",
        "$share/tollgate/tollgate/v1/+/ingest/#",
        "tollgate/v1/nodes/+/status",
    ] {
        other.subscribe(filter).await;
    }
    let acme = Listener::connect(&broker, ("acme", TENANT_PASSWORD));
    assert_eq!(
        acme.subscribe("tollgate/v1/acme/usage/+").await,
        SubscribeReasonCode::Success(QoS::AtLeastOnce)
    );
    server.track((0..20).map(|number| format!("call-{number}"))).await;
    acme.message(|message| message.text("/data/event_id") == "call-19").await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/acme/state/+").await;
    auditor.message(|message| message.text("/quotas/0/used") == "20").await;
    assert!(other.messages().is_empty(), "{:?}", other.messages());
}

#[tokio::test]
async fn tenant_says_nothing_in_the_name_of_another() {
    let Some(broker) = Broker::start() else { return };
    let server = Server::start(&broker).await;
    server.acme().await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/acme/#").await;
    let other = Listener::connect(&broker, ("other", TENANT_PASSWORD));
    for topic in [
        "tollgate/v1/acme/usage/search",
        "tollgate/v1/acme/alerts",
        "tollgate/v1/acme/state/balance",
        "tollgate/v1/acme/ingest/x",
        "tollgate/v1/other/alerts",
        "tollgate/v1/nodes/slot-0/status",
    ] {
        assert_eq!(other.send_as(topic, "{}", &[], true).await, PubAckReason::NotAuthorized, "{topic}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(auditor.messages().is_empty(), "{:?}", auditor.messages());
}

#[tokio::test]
async fn name_with_a_wildcard_opens_nothing() {
    let Some(broker) = Broker::start() else { return };
    // Neither is a user, and a name is put into the rules as it is.
    for name in ["+", "#", "acme/+"] {
        let stranger = Listener::connect(&broker, (name, TENANT_PASSWORD));
        let heard =
            tokio::time::timeout(Duration::from_millis(300), stranger.subscribe("tollgate/v1/#")).await;
        assert!(heard.is_err(), "`{name}` is let in: {heard:?}");
    }
}
