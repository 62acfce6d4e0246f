//! The composition root: the one place that names rooms and adapters together.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use secrecy::{SecretBox, SecretString};
use tonic::service::Routes;

use crate::adapters::memory::counters::MemoryCounters;
use crate::adapters::mqtt::{Broker, Mqtt, MqttError};
use crate::adapters::sqlite;
use crate::adapters::sqlite::documents::SqliteDocuments;
use crate::adapters::sqlite::events::SqliteEvents;
use crate::adapters::sqlite::journal::SqliteJournal;
use crate::adapters::sqlite::rollups::SqliteRollups;
use crate::api::admin::AdminApi;
use crate::api::auth::AuthApi;
use crate::api::http::Edge;
use crate::api::ingest::Ingest as IngestDoor;
use crate::api::layers::auth::AuthLayer;
use crate::api::page::Pages;
use crate::api::plans::PlansApi;
use crate::api::resolve::Resolver;
use crate::api::rpc::admin_service_server::AdminServiceServer;
use crate::api::rpc::auth_service_server::AuthServiceServer;
use crate::api::rpc::plans_service_server::PlansServiceServer;
use crate::api::rpc::track_service_server::TrackServiceServer;
use crate::api::track::Door;
use crate::config::{BrokerUrl, Config, Ingest, LimitsConfig, MqttConfig};
use crate::identity::directory::Directory;
use crate::identity::hearing::Hearing;
use crate::identity::installation::{self, InstallationError};
use crate::identity::keyring::Keyring;
use crate::identity::keys::Keys;
use crate::identity::requests::Requests;
use crate::identity::tenants::Tenants;
use crate::jobs::clean_up::CleanUp;
use crate::jobs::forget_changes::ForgetChanges;
use crate::jobs::runner::{Job, Runner};
use crate::ledger::notices::Notices;
use crate::ledger::works::{self, Followers, Ledger, Stores};
use crate::live::feed::Feed;
use crate::live::inbox::Inbox;
use crate::live::outbox::{Outbox, OutboxParts};
use crate::plans::catalogue::Catalogue;
use crate::plans::policies::Policies;
use crate::plans::presets::Presets;
use crate::plans::subscriptions::Subscriptions;
use crate::store::changes::Teller;
use crate::store::{Documents, StoreError};
use crate::tasks::Tasks;
use crate::time::Clock;
use std::num::NonZeroU32;
use std::time::Duration;
use tower::Layer as _;

/// The file of the journal in the data directory.
const JOURNAL: &str = "journal.db";
/// The file of the ledger in the data directory.
const LEDGER: &str = "ledger.db";

/// The secrets of an installation.
#[derive(Debug)]
pub struct Secrets {
    /// Its own, that digests and tokens are made with.
    pub pepper: SecretBox<[u8; 32]>,
    /// The operator's credential.
    pub operator_key: SecretString,
}

/// A server without its port: all rooms, and what runs behind them.
#[derive(Clone, Debug)]
pub struct App {
    /// The ledger.
    pub ledger: Ledger,
    /// Who is asking.
    pub keyring: Arc<Keyring>,
    feed: Arc<Feed>,
    door: Door,
    edge: Edge,
    plans: PlansApi,
    auth: AuthApi,
    admin: AdminApi,
    limits: LimitsConfig,
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] sqlite::open::OpenError),
    /// The store belongs to another installation.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The store does not work.
    #[error("the store cannot be prepared")]
    Store(#[from] StoreError),
    /// The plans that the configuration names cannot be installed.
    #[error("the plans cannot be installed")]
    Plans(#[from] crate::plans::PlansError),
    /// The ledger cannot be recovered.
    #[error(transparent)]
    Ledger(#[from] works::OpenError),
    /// The broker cannot be used as it is configured.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
}

impl App {
    /// Opens the stores of a data directory, recovers the ledger, and starts the work behind the answers.
    pub async fn start(
        config: &Config,
        directory: &Path,
        secrets: &Secrets,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let database = sqlite::ledger::open(&directory.join(LEDGER))?;
        let documents: Arc<dyn Documents> = Arc::new(SqliteDocuments::new(&database));
        let stores = Stores {
            journal: Arc::new(SqliteJournal::open(&directory.join(JOURNAL))?),
            spool: None,
            events: Arc::new(SqliteEvents::new(&database)?),
            rollups: Arc::new(SqliteRollups::new(&database)),
            documents: Arc::clone(&documents),
        };
        installation::recognise(&documents, &secrets.pepper).await?;
        let feed = Arc::new(Feed::default());
        let counters = Arc::new(MemoryCounters::new(Arc::clone(&clock)));
        let outbox = config.mqtt.url.as_ref().map(|_| outbox(&stores, &clock, tasks));
        let notices = outbox.as_ref().map(|(_, notices)| Arc::clone(notices));
        let notices = notices.unwrap_or_else(|| Arc::new(Notices::dropped()));
        let mut followers = Followers { observers: vec![Arc::<Feed>::clone(&feed)], ..Followers::default() };
        if let Some((outbox, _)) = &outbox {
            followers.observers.push(Arc::<Outbox>::clone(outbox));
            followers.sinks.push(Arc::<Outbox>::clone(outbox));
        }
        let ledger = Ledger::open(stores, counters, Arc::clone(&clock), followers, tasks).await?;

        let catalogue = Arc::new(Catalogue::new(&documents, Arc::clone(&clock)));
        let presets = Presets::new(&documents, Arc::clone(&clock));
        let default_plan = presets.install(&catalogue, &config.plans.presets).await?;
        let subscriptions =
            Subscriptions::new(&documents, Arc::clone(&catalogue), Arc::clone(&clock)).telling(notices);
        let subscriptions = Arc::new(subscriptions);
        let policies = Policies::new(Arc::clone(&catalogue));
        let directory =
            Arc::new(Directory::new(&documents, Arc::clone(&subscriptions), policies, Arc::clone(&clock)));
        let keyring =
            Arc::new(Keyring::new(&documents, Arc::clone(&clock), &secrets.pepper, &secrets.operator_key));
        let resolver = Arc::new(Resolver::new(Arc::clone(&directory), Arc::clone(&keyring)));
        let tenants = Arc::new(Tenants::new(
            &documents,
            Arc::clone(&catalogue),
            subscriptions,
            Arc::clone(&directory),
            Arc::clone(&clock),
            default_plan,
        ));
        let keys = Arc::new(Keys::new(&documents, Arc::clone(&keyring), Arc::clone(&clock)));
        let requests = Arc::new(Requests::new(&documents, Arc::clone(&clock)));
        let hearing =
            Hearing::new(&documents, Arc::clone(&keyring), Arc::clone(&directory), Arc::clone(&clock));
        let stopping = tasks.stopping();
        tasks.spawn(async move { hearing.run(stopping).await });
        let clean_up = CleanUp {
            events: Arc::clone(&ledger.events),
            requests: Arc::clone(&requests),
            clock: Arc::clone(&clock),
            retention_days: config.retention.days.get(),
        };
        let jobs = start_jobs(&documents, clean_up, &clock, tasks);
        let pages = Pages::new(&secrets.pepper);
        let door = Door::new(ledger.clone(), Arc::clone(&resolver), Arc::clone(&feed), pages.clone());
        if let (Some((outbox, _)), Some(url)) = (outbox, &config.mqtt.url) {
            let inbox =
                || -> Arc<dyn Inbox> { Arc::new(IngestDoor::new(door.clone(), Arc::clone(&keyring))) };
            let inbox = (config.mqtt.ingest == Ingest::On).then(inbox);
            let mqtt = Mqtt::connect(broker(&config.mqtt, url, ledger.slot())?, inbox, tasks).await?;
            outbox.publish_to(Arc::new(mqtt), Arc::clone(&directory), ledger.slot(), ledger.steps());
        }
        Ok(Self {
            edge: Edge {
                door: door.clone(),
                keyring: Arc::clone(&keyring),
                clock: Arc::clone(&clock),
                reset_format: config.http.reset_format,
                body_bytes_max: bytes(config.limits.http_body_bytes),
            },
            plans: PlansApi {
                catalogue,
                tenants: Arc::clone(&tenants),
                directory,
                wallets: Arc::clone(&ledger.wallets),
                resolver: Arc::clone(&resolver),
                requests: Arc::clone(&requests),
                pages: pages.clone(),
                clock,
            },
            auth: AuthApi { keys, resolver, requests: Arc::clone(&requests), pages: pages.clone() },
            admin: AdminApi { tenants, jobs, requests, pages },
            limits: config.limits,
            ledger,
            keyring,
            feed,
            door,
        })
    }

    /// The gRPC services, behind the check of credentials.
    #[must_use]
    pub fn services(&self) -> Routes {
        let received = bytes(self.limits.message_bytes_in);
        let sent = bytes(self.limits.message_bytes_out);
        let layer = AuthLayer::new(Arc::clone(&self.keyring));
        macro_rules! bounded {
            ($server:ident, $service:expr) => {{
                let server = $server::new($service.clone());
                layer.layer(server.max_decoding_message_size(received).max_encoding_message_size(sent))
            }};
        }
        Routes::new(bounded!(TrackServiceServer, self.door))
            .add_service(bounded!(PlansServiceServer, self.plans))
            .add_service(bounded!(AuthServiceServer, self.auth))
            .add_service(bounded!(AdminServiceServer, self.admin))
    }

    /// What those who watch learn from; it is ended before the port, which waits for its streams.
    #[must_use]
    pub fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }

    /// The HTTP edge.
    pub fn http(&self) -> Router {
        self.edge.clone().routes()
    }
}

/// Runs all jobs when they are due.
fn start_jobs(
    documents: &Arc<dyn Documents>,
    clean_up: CleanUp,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Arc<Runner> {
    let forget_changes = ForgetChanges { teller: Teller::new(documents, Arc::clone(clock)) };
    let jobs: Vec<Arc<dyn Job>> = vec![Arc::new(clean_up), Arc::new(forget_changes)];
    let runner = Arc::new(Runner::new(documents, jobs, Arc::clone(clock), tasks));
    tasks.spawn(Arc::clone(&runner).run(tasks.stopping()));
    runner
}

/// The outbox of the broker, and what is told beside the journal.
fn outbox(stores: &Stores, clock: &Arc<dyn Clock>, tasks: &Tasks) -> (Arc<Outbox>, Arc<Notices>) {
    let notices = Arc::new(Notices::kept(&stores.documents));
    let parts = OutboxParts {
        name: "mqtt",
        journal: Arc::clone(&stores.journal),
        events: Arc::clone(&stores.events),
        documents: Arc::clone(&stores.documents),
        notices: Arc::clone(&notices),
        clock: Arc::clone(clock),
    };
    (Arc::new(Outbox::new(parts, tasks)), notices)
}

fn broker(config: &MqttConfig, url: &BrokerUrl, slot: u32) -> Result<Broker, MqttError> {
    if url.tls && config.ca_file.is_none() {
        return Err(MqttError::CertificatesMissing);
    }
    let node = config.node.clone().unwrap_or_else(|| format!("slot-{slot}"));
    Ok(Broker {
        host: url.host.clone(),
        port: url.port,
        ca_file: config.ca_file.clone().filter(|_| url.tls),
        username: config.username.clone(),
        password: config.password.clone(),
        client_id: config.client_id.clone().unwrap_or_else(|| format!("tollgate-{node}")),
        node,
        keepalive: Duration::from_secs(config.keepalive_seconds.0.into()),
        session: Duration::from_secs(config.session_seconds.into()),
        inflight_max: config.inflight_max.0,
    })
}

fn bytes(setting: NonZeroU32) -> usize {
    usize::try_from(setting.get()).unwrap_or(usize::MAX)
}
