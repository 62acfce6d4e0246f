//! Somebody at the broker: listens, and sends.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::Value;

use crate::broker::Broker;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// A client of the broker. It comes back after the broker was away, with its session.
#[derive(Debug)]
pub(crate) struct Listener {
    client: AsyncClient,
    heard: Arc<Mutex<Heard>>,
    task: tokio::task::JoinHandle<()>,
}

/// What a client has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) messages: Vec<Message>,
    pub(crate) subscriptions: Vec<SubscribeReasonCode>,
    pub(crate) receipts: Vec<PubAckReason>,
}

/// A message that came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) retained: bool,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Value,
}

impl Message {
    /// The value at a pointer such as `/data/event_id`, as text.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Listener {
    /// A client that listens to nothing yet.
    pub(crate) fn connect(broker: &Broker, (name, password): (&str, &str)) -> Self {
        let id = format!("{name}-{}", rand::random::<u64>());
        let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
        options.set_credentials(name, password);
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(600));
        options.set_max_packet_size(Some(1 << 20));
        let (client, mut events) = AsyncClient::new(options, 4_096);
        let heard = Arc::<Mutex<Heard>>::default();
        let told = Arc::clone(&heard);
        let task = tokio::task::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(packet)) => told.lock().unwrap().note(packet),
                    Ok(Event::Outgoing(_)) => {}
                    Err(_) => tokio::time::sleep(POLL).await,
                }
            }
        });
        Self { client, heard, task }
    }

    /// Listens; answers what the broker said to it.
    pub(crate) async fn subscribe(&self, filter: &str) -> SubscribeReasonCode {
        let before = self.heard.lock().unwrap().subscriptions.len();
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        self.until(|heard| heard.subscriptions.get(before).copied()).await
    }

    /// Sends; answers what the broker said to it.
    pub(crate) async fn send(&self, topic: &str, payload: &str, properties: &[(&str, &str)]) -> PubAckReason {
        self.send_as(topic, payload, properties, false).await
    }

    /// Sends, to be kept by the broker where `retain` is said.
    pub(crate) async fn send_as(
        &self,
        topic: &str,
        payload: &str,
        properties: &[(&str, &str)],
        retain: bool,
    ) -> PubAckReason {
        let before = self.heard.lock().unwrap().receipts.len();
        let user_properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let properties = PublishProperties { user_properties, ..PublishProperties::default() };
        let payload = payload.as_bytes().to_vec();
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties)
            .await
            .unwrap();
        self.until(|heard| heard.receipts.get(before).copied()).await
    }

    /// Everything that came so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.heard.lock().unwrap().messages.clone()
    }

    /// Waits for the first message that `wanted` likes.
    pub(crate) async fn message(&self, wanted: impl Fn(&Message) -> bool) -> Message {
        self.until(|heard| heard.messages.iter().find(|message| wanted(message)).cloned()).await
    }

    /// Waits until `answer` has one. It is given up when nothing more comes: a broker that saves each message takes its
    /// time over thousands.
    pub(crate) async fn until<T>(&self, answer: impl Fn(&Heard) -> Option<T>) -> T {
        let (mut since, mut count) = (Instant::now(), 0);
        loop {
            let (heard, now) = {
                let heard = self.heard.lock().unwrap();
                (answer(&heard), heard.messages.len())
            };
            if let Some(heard) = heard {
                return heard;
            }
            if now > count {
                (since, count) = (Instant::now(), now);
            }
            let last = || self.messages().pop();
            assert!(since.elapsed() < PATIENCE, "it did not come; there were {now}, the last {:#?}", last());
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heard {
    fn note(&mut self, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.messages.push(message(&publish)),
            Packet::SubAck(answer) => self.subscriptions.extend(answer.return_codes),
            Packet::PubAck(receipt) => self.receipts.push(receipt.reason),
            _ => {}
        }
    }
}

fn message(publish: &Publish) -> Message {
    Message {
        topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
        retained: publish.retain,
        content_type: publish.properties.as_ref().and_then(|properties| properties.content_type.clone()),
        body: serde_json::from_slice(&publish.payload).unwrap(),
    }
}
