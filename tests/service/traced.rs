//! A trace goes on where several servers share their stores: to Redis, to MongoDB, and to the broker and from it.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use test_servers::{FerretDb, Mosquitto, MosquittoConfig, Redis};
use tollgate_client::{Client, v1};

use crate::listeners::{Kept, collector, spans};
use crate::program::operator;
use crate::telemetry::{PARENT, TRACE, ended, get_tenant, hex, named, server, traced, with_tenant};

/// The trace of who sends usage over the broker.
const SENDERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PEPPER: &str = "7d0f5c1e9b3a48266c1f0e9d8b7a69584736251403f2e1d0c9b8a79685746352";
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

fn event(id: &str) -> v1::UsageEvent {
    v1::UsageEvent { id: id.into(), service: "search".into(), endpoint: "/find".into(), ..Default::default() }
}

/// Sends a call of `acme` to the broker, and waits until it has it.
async fn send(broker: &Mosquitto, key: &str) {
    let options = MqttOptions::new("sender", "127.0.0.1", broker.port());
    let (client, mut events) = AsyncClient::new(options, 16);
    let user_properties = [
        ("authorization", format!("Bearer {key}")),
        ("traceparent", format!("00-{SENDERS_TRACE}-{PARENT}-01")),
    ];
    let user_properties = user_properties.map(|(name, value)| (name.to_owned(), value)).into();
    let properties = PublishProperties { user_properties, ..PublishProperties::default() };
    let payload = r#"{"event_id":"sent","service_name":"search","endpoint":"/find"}"#;
    let topic = "tollgate/v1/acme/ingest/usage";
    client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).await.unwrap();
    let acknowledged =
        async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {} };
    tokio::time::timeout(PATIENCE, acknowledged).await.unwrap();
}

/// All spans, once there is one of that name that is in the trace or points to it.
async fn until(kept: &Kept<ExportTraceServiceRequest>, name: &str, trace: &str) -> Vec<Span> {
    let since = Instant::now();
    loop {
        let spans = spans(kept);
        if spans.iter().any(|span| span.name == name && (hex(&span.trace_id) == trace || points(span, trace)))
        {
            return spans;
        }
        assert!(since.elapsed() < PATIENCE, "no span `{name}` of {trace} in {spans:#?}");
        tokio::time::sleep(POLL).await;
    }
}

fn points(span: &Span, trace: &str) -> bool {
    span.links.iter().any(|link| hex(&link.trace_id) == trace)
}

/// The one span of that name that points to the trace, and the names of what was done in it.
fn work<'a>(spans: &'a [Span], name: &str) -> (&'a Span, Vec<&'a str>) {
    let pointing: Vec<_> = spans.iter().filter(|span| span.name == name && points(span, TRACE)).collect();
    assert_eq!(1, pointing.len(), "{name}: {spans:#?}");
    let children = spans.iter().filter(|span| span.parent_span_id == pointing[0].span_id);
    (pointing[0], children.map(|span| span.name.as_str()).collect())
}

#[tokio::test]
async fn a_call_is_traced_through_redis_and_mongodb_to_the_broker_and_from_it() {
    let (Some(redis), Some(mongodb)) = (Redis::start(), FerretDb::start()) else { return };
    let Some(broker) = Mosquitto::start(&MosquittoConfig::default()) else { return };
    let data = tempfile::tempdir().unwrap();
    let (listener, kept) = collector().await;
    let variables = [
        ("TOLLGATE_TRACES_ENDPOINT", format!("http://{listener}")),
        ("TOLLGATE_TRACES_SAMPLE_RATIO", "0".to_owned()),
        ("TOLLGATE_REDIS_URL", redis.url()),
        ("TOLLGATE_REDIS_TIMEOUT_MS", "5000".to_owned()),
        ("TOLLGATE_MONGODB_URI", mongodb.uri()),
        ("TOLLGATE_MONGODB_DATABASE", format!("traced-{}", rand::random::<u32>())),
        ("TOLLGATE_OPERATOR_PEPPER", PEPPER.to_owned()),
        ("TOLLGATE_MQTT_URL", format!("mqtt://127.0.0.1:{}", broker.port())),
        ("TOLLGATE_MQTT_INGEST", "on".to_owned()),
    ];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (program, address) = server(&data, &variables).await;
    let key = with_tenant(&operator(address)).await;
    let client =
        Client::builder().endpoint(format!("http://{address}")).api_key(&key).tenant("").build().unwrap();
    client.track().track(client.request(event("e-0"))).await.unwrap();
    client.track().track(traced(client.request(event("e-1")))).await.unwrap();
    operator(address).admin().get_tenant(traced(get_tenant("nobody"))).await.unwrap_err();
    until(&kept, "announce", TRACE).await;
    send(&broker, &key).await;
    until(&kept, "ingest", SENDERS_TRACE).await;
    ended(program).await;

    let spans = spans(&kept);
    for (name, parent) in
        [("gate", "admit"), ("counters.charge", "gate"), ("documents.get", "GetTenant"), ("wait", "Track")]
    {
        assert_eq!(named(&spans, parent).span_id, named(&spans, name).parent_span_id, "{name}");
    }
    let (commit, done) = work(&spans, "commit");
    assert!(hex(&commit.trace_id) != TRACE, "work for many is a trace of its own");
    assert_eq!(done, ["journal.append", "counters.committed"]);
    assert_eq!(work(&spans, "announce").1, ["publisher.publish"]);

    let in_senders = |name: &str| {
        spans.iter().find(|span| span.name == name && hex(&span.trace_id) == SENDERS_TRACE).unwrap()
    };
    assert_eq!(PARENT, hex(&in_senders("ingest").parent_span_id));
    in_senders("counters.charge");
}
