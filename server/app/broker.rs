//! The broker, if the settings name one: what happens is told to it, and usage may come from it.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::mqtt::{Broker, Mqtt, MqttError};
use crate::api::ingest::Ingest as IngestDoor;
use crate::api::track::Door;
use crate::app::rooms::Rooms;
use crate::config::{BrokerUrl, Ingest, MqttConfig};
use crate::ledger::notices::Notices;
use crate::ledger::works::{Followers, Ledger, Stores};
use crate::live::inbox::Inbox;
use crate::live::outbox::{Outbox, OutboxParts};
use crate::secrets::current::{Current, Login};
use crate::tasks::Tasks;
use crate::time::Clock;

/// What a broker will be told; nothing where there is none.
pub(super) struct Telling {
    outbox: Option<Arc<Outbox>>,
    /// What is told beside the journal.
    pub(super) notices: Arc<Notices>,
}

impl Telling {
    /// Prepares an outbox, if the settings name a broker.
    pub(super) fn prepare(
        config: &MqttConfig,
        stores: &Stores,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Self {
        if config.url.is_none() {
            return Self { outbox: None, notices: Arc::new(Notices::dropped()) };
        }
        let notices = Arc::new(Notices::kept(&stores.documents));
        let parts = OutboxParts {
            name: "mqtt",
            journal: Arc::clone(&stores.journal),
            events: Arc::clone(&stores.events),
            documents: Arc::clone(&stores.documents),
            notices: Arc::clone(&notices),
            clock: Arc::clone(clock),
        };
        Self { outbox: Some(Arc::new(Outbox::new(parts, tasks))), notices }
    }

    /// Lets the outbox follow the ledger.
    pub(super) fn follow(&self, followers: &mut Followers) {
        if let Some(outbox) = &self.outbox {
            followers.observers.push(Arc::<Outbox>::clone(outbox));
            followers.sinks.push(Arc::<Outbox>::clone(outbox));
        }
    }

    /// Connects to the broker. One that is away is no error: nobody waits for it.
    pub(super) async fn begin(
        self,
        config: &MqttConfig,
        login: Option<&Current<Login>>,
        ledger: &Ledger,
        door: &Door,
        rooms: &Rooms,
        tasks: &Tasks,
    ) -> Result<(), MqttError> {
        let (Some(outbox), Some(url)) = (self.outbox, &config.url) else { return Ok(()) };
        let inbox =
            || -> Arc<dyn Inbox> { Arc::new(IngestDoor::new(door.clone(), Arc::clone(&rooms.keyring))) };
        let inbox = (config.ingest == Ingest::On).then(inbox);
        let mqtt = Mqtt::connect(broker(config, url, login, ledger.slot())?, inbox, tasks).await?;
        let directory = Arc::clone(&rooms.directory);
        outbox.publish_to(Arc::new(mqtt), directory, ledger.slot(), ledger.steps(), ledger.trail());
        Ok(())
    }
}

fn broker(
    config: &MqttConfig,
    url: &BrokerUrl,
    login: Option<&Current<Login>>,
    slot: u32,
) -> Result<Broker, MqttError> {
    if url.tls && config.ca_file.is_none() {
        return Err(MqttError::CertificatesMissing);
    }
    let node = config.node.clone().unwrap_or_else(|| format!("slot-{slot}"));
    Ok(Broker {
        host: url.host.clone(),
        port: url.port,
        ca_file: config.ca_file.clone().filter(|_| url.tls),
        login: login.cloned(),
        client_id: config.client_id.clone().unwrap_or_else(|| format!("tollgate-{node}")),
        node,
        keepalive: Duration::from_secs(config.keepalive_seconds.0.into()),
        session: Duration::from_secs(config.session_seconds.into()),
        inflight_max: config.inflight_max.0,
    })
}
