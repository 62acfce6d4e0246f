//! I10: every event of the ledger is announced at least once, with an id that stays, in the order of its writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::Value;
use tokio::task::JoinSet;

use super::harm::Harm;
use super::{Setup, cycles, expect_clean};
use crate::evidence;
use crate::history::Name;
use crate::run::Run;
use crate::{say, seed};

/// What is announced of usage: of every tenant and service.
const TOPICS: &str = "tollgate/v1/+/usage/+";
/// How long announcements may take after all is at rest.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_announced_whoever_dies() {
    let seed = seed();
    let setup = Setup { broker: super::Broker::Mosquitto, ..Setup::CALM };
    let Some(mut run) = Run::of_fleet(seed, setup).await else { return };
    let listener = Listener::at(run.subject.broker.as_ref().expect("a fleet with a broker").port()).await;
    let harms = [Harm::BrokerKilled, Harm::ReplicasKilled, Harm::BrokerPaused];
    for (cycle, harm) in (1..=cycles()).zip(harms.iter().cycle()) {
        run.harmed(*harm).await;
        let verdict = run.verdict().await;
        expect_clean(&verdict, &format!("seed {seed}, cycle {cycle}, {harm:?}"));
        // What a broker has acknowledged and not saved dies with it. So before it is killed, all is heard.
        listener.hears_all(&kept(&run).await, &format!("seed {seed}, cycle {cycle}, {harm:?}")).await;
    }
    let heard = listener.heard();
    assert_eq!(heard.defects, Vec::<String>::new(), "seed {seed}");
    say(&format!(
        "announced: {} events in {} messages, {} cycles: {}",
        heard.ids.len(),
        heard.messages,
        cycles(),
        run.summary()
    ));
}

/// Every event of the ledger.
async fn kept(run: &Run<super::Fleet>) -> BTreeSet<Name> {
    let witness = &run.subject.each()[0];
    let mut kept = BTreeSet::new();
    for tenant in run.driver.tenants().plans.keys() {
        let events = evidence::events(witness, tenant).await.expect("events are listed");
        let ids = events.into_iter().filter_map(|kept| kept.event.map(|event| event.id));
        kept.extend(ids.map(|id| Name::new(tenant, &id)));
    }
    kept
}

/// Somebody who listens to all usage.
#[derive(Debug)]
struct Listener {
    heard: Arc<Mutex<Heard>>,
    _client: AsyncClient,
    /// Ends with its owner.
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Heard {
    is_subscribed: bool,
    messages: usize,
    /// The id of the announcement of each event.
    ids: BTreeMap<Name, String>,
    /// The place of the last new announcement of each writer.
    last: BTreeMap<String, String>,
    /// What should never be heard.
    defects: Vec<String>,
}

impl Listener {
    async fn at(port: u16) -> Self {
        let mut options = MqttOptions::new("checker", "127.0.0.1", port);
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(3_600));
        options.set_max_packet_size(Some(1 << 20));
        let (client, events) = AsyncClient::new(options, 4_096);
        let heard = Arc::<Mutex<Heard>>::default();
        let mut task = JoinSet::new();
        task.spawn(listen(client.clone(), events, Arc::clone(&heard)));
        let listener = Self { heard, _client: client, _task: task };
        let since = Instant::now();
        while !listener.heard().is_subscribed {
            assert!(since.elapsed() < PATIENCE, "the broker does not answer");
            tokio::time::sleep(POLL).await;
        }
        listener
    }

    async fn hears_all(&self, kept: &BTreeSet<Name>, words: &str) {
        let since = Instant::now();
        loop {
            let missing: Vec<Name> = {
                let heard = self.heard();
                kept.iter().filter(|name| !heard.ids.contains_key(name)).cloned().collect()
            };
            if missing.is_empty() {
                break;
            }
            let some = &missing[..missing.len().min(5)];
            assert!(since.elapsed() < PATIENCE, "{words}: {} were not announced: {some:?}", missing.len());
            tokio::time::sleep(POLL).await;
        }
        let heard = self.heard();
        let invented: Vec<&Name> = heard.ids.keys().filter(|name| !kept.contains(name)).collect();
        assert!(invented.is_empty(), "{words}: announced and not in the ledger: {invented:?}");
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(client: AsyncClient, mut events: EventLoop, heard: Arc<Mutex<Heard>>) {
    loop {
        match events.poll().await {
            // A broker that was killed may have forgotten who listened.
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                client.subscribe(TOPICS, QoS::AtLeastOnce).await.expect("a client that runs");
            }
            Ok(Event::Incoming(packet)) => {
                heard.lock().unwrap_or_else(PoisonError::into_inner).note(&packet);
            }
            Ok(Event::Outgoing(_)) => {}
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

impl Heard {
    fn note(&mut self, packet: &Packet) {
        match packet {
            Packet::SubAck(_) => self.is_subscribed = true,
            Packet::Publish(publish) => {
                let body: Value = serde_json::from_slice(&publish.payload).expect("an announcement is JSON");
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                self.hear(&topic, &body);
            }
            _ => {}
        }
    }

    fn hear(&mut self, topic: &str, body: &Value) {
        let text =
            |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let tenant = topic.split('/').nth(2).unwrap_or_default();
        let (name, id) = (Name::new(tenant, &text("/data/event_id")), text("/id"));
        self.messages += 1;
        match self.ids.insert(name.clone(), id.clone()) {
            Some(before) if before != id => self.defects.push(format!("{name:?} has the ids {before}, {id}")),
            Some(_) => {}
            None => {
                let (source, place) = (text("/source"), text("/sequence"));
                let last = self.last.entry(source).or_default();
                if place < *last {
                    self.defects.push(format!("{name:?}, at {place}, is first heard after {last}"));
                }
                *last = place;
            }
        }
    }
}
