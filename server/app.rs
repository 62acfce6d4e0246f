//! The composition root: the one place that names rooms and adapters together.

mod backends;
mod broker;
mod people;
mod post;
mod reload;
mod renewal;
mod rooms;
mod settings;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use secrecy::{SecretBox, SecretString};
use tonic::service::Routes;

use crate::adapters::mongo::connect::ConnectError;
use crate::adapters::mqtt::MqttError;
use crate::adapters::redis::RedisError;
use crate::adapters::spool;
use crate::adapters::sqlite;
use crate::api::admin::AdminApi;
use crate::api::auth::AuthApi;
use crate::api::http::Edge;
use crate::api::layers::auth::AuthLayer;
use crate::api::page::Pages;
use crate::api::plans::PlansApi;
use crate::api::rpc::admin_service_server::AdminServiceServer;
use crate::api::rpc::auth_service_server::AuthServiceServer;
use crate::api::rpc::plans_service_server::PlansServiceServer;
use crate::api::rpc::track_service_server::TrackServiceServer;
use crate::api::track::Door;
use crate::config::{Config, LimitsConfig};
use crate::identity::audit::Audit;
use crate::identity::departures::Departures;
use crate::identity::hasher::HasherError;
use crate::identity::holdings::Holdings;
use crate::identity::installation::{self, InstallationError};
use crate::identity::keyring::Keyring;
use crate::identity::lockout::Lockout;
use crate::identity::token::Tokens;
use crate::jobs::clean_up::CleanUp;
use crate::jobs::close_audit::CloseAudit;
use crate::jobs::end_tenants::EndTenants;
use crate::jobs::end_users::EndUsers;
use crate::jobs::forget_changes::ForgetChanges;
use crate::jobs::forget_locks::ForgetLocks;
use crate::jobs::rotate_signing_keys::RotateSigningKeys;
use crate::jobs::runner::{Job, Runner};
use crate::ledger::works::{self, Followers, Ledger};
use crate::live::feed::Feed;
use crate::mail::outbox::Outbox;
use crate::store::changes::Teller;
use crate::store::{Documents, StoreError};
use crate::tasks::Tasks;
use crate::time::Clock;
use std::num::NonZeroU32;
use tower::Layer as _;

pub use backends::{Incomplete, shared_wholly};
use broker::Telling;
use people::{Base, Opened};
pub use post::MailError;
pub use reload::{Hangups, Reload};
use renewal::Logins;
pub use renewal::Renewable;
use rooms::Rooms;
pub use settings::{SettingsError, settings};

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
    /// Letters that are not sent yet.
    pub outbox: Arc<Outbox>,
    /// Which tries to log in are looked at.
    pub lockout: Arc<Lockout>,
    audit: Arc<Audit>,
    /// What says that somebody has logged in.
    pub tokens: Tokens,
    feed: Arc<Feed>,
    renewable: Renewable,
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
    /// What waits for a shared journal cannot be read.
    #[error(transparent)]
    Spool(#[from] spool::OpenError),
    /// MongoDB cannot be used.
    #[error(transparent)]
    Mongo(#[from] ConnectError),
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Servers that share a store are told too little.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// The store belongs to another installation.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The store does not work.
    #[error("the store cannot be prepared")]
    Store(#[from] StoreError),
    /// The plans that the configuration names cannot be installed.
    #[error("the plans cannot be installed")]
    Plans(#[from] crate::plans::PlansError),
    /// Passwords cannot be hashed as it is configured.
    #[error(transparent)]
    Hasher(#[from] HasherError),
    /// The ledger cannot be recovered.
    #[error(transparent)]
    Ledger(#[from] works::OpenError),
    /// The broker cannot be used as it is configured.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
    /// Letters cannot be sent as it is configured.
    #[error(transparent)]
    Mail(#[from] MailError),
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
        let stores = backends::stores(config, directory).await?;
        let documents = Arc::clone(&stores.documents);
        installation::recognise(&documents, &secrets.pepper).await?;
        let logins = Logins::of(config);
        let outbox = Arc::new(Outbox::new(&documents, &secrets.pepper, Arc::clone(&clock)));
        post::begin(&config.mail, logins.mail.as_ref(), directory, &outbox, &clock, tasks)?;
        let lockout = Arc::new(Lockout::new(
            &documents,
            backends::failures(config, logins.redis.as_ref(), tasks).await?,
            Arc::clone(&outbox),
            &secrets.pepper,
            Arc::clone(&clock),
            tasks,
        ));
        let feed = Arc::new(Feed::default());
        let counters = backends::counters(config, logins.redis.as_ref(), Arc::clone(&clock), tasks).await?;
        let telling = Telling::prepare(&config.mqtt, &stores, &clock, tasks);
        let mut followers = Followers { observers: vec![Arc::<Feed>::clone(&feed)], ..Followers::default() };
        telling.follow(&mut followers);
        let ledger = Ledger::open(stores, counters, Arc::clone(&clock), followers, tasks).await?;

        let notices = Arc::clone(&telling.notices);
        let rooms = Rooms::open(config, &documents, secrets, notices, &clock, tasks).await?;
        let base = Base { documents: &documents, secrets, outbox: &outbox, lockout: &lockout, clock: &clock };
        let Opened { people, accounts, departures } = people::open(&config.accounts, &rooms, &base, tasks)?;
        let ends = Ends::new(&documents, departures, &ledger);
        let clean_up = CleanUp {
            events: Arc::clone(&ledger.events),
            requests: Arc::clone(&rooms.requests),
            sessions: Arc::clone(&people.sessions),
            accounts: Arc::clone(&accounts),
            clock: Arc::clone(&clock),
            retention_days: config.retention.days.get(),
        };
        let jobs = start_jobs(clean_up, &rooms, ends.clone(), &base, tasks);
        let pages = Pages::new(&secrets.pepper);
        let door = Door::new(ledger.clone(), Arc::clone(&rooms.resolver), Arc::clone(&feed), pages.clone());
        telling.begin(&config.mqtt, logins.mqtt.as_ref(), &ledger, &door, &rooms, tasks).await?;
        let plans = rooms.plans(&ledger, &pages, &clock);
        let admin = rooms.admin(jobs, ends, &people, &pages);
        let auth = rooms.auth(people, accounts, &pages);
        let edge = edge(config, &door, &rooms, &clock);
        let Rooms { keyring, audit, tokens, .. } = rooms;
        Ok(Self {
            renewable: Renewable::new(logins, &keyring, secrets),
            edge,
            plans,
            auth,
            admin,
            audit,
            limits: config.limits,
            ledger,
            keyring,
            outbox,
            lockout,
            tokens,
            feed,
            door,
        })
    }

    /// The gRPC services, behind the check of credentials.
    #[must_use]
    pub fn services(&self) -> Routes {
        let received = bytes(self.limits.message_bytes_in);
        let sent = bytes(self.limits.message_bytes_out);
        let layer = AuthLayer::new(Arc::clone(&self.keyring), Arc::clone(&self.audit));
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

    /// What may be renewed while the server runs.
    #[must_use]
    pub fn renewable(&self) -> Renewable {
        self.renewable.clone()
    }

    /// The HTTP edge.
    pub fn http(&self) -> Router {
        self.edge.clone().routes()
    }
}

fn edge(config: &Config, door: &Door, rooms: &Rooms, clock: &Arc<dyn Clock>) -> Edge {
    Edge {
        door: door.clone(),
        keyring: Arc::clone(&rooms.keyring),
        clock: Arc::clone(clock),
        reset_format: config.http.reset_format,
        body_bytes_max: bytes(config.limits.http_body_bytes),
        signing_keys: Arc::clone(&rooms.signing_keys),
    }
}

/// What ends tenants and people.
#[derive(Clone)]
struct Ends {
    departures: Arc<Departures>,
    holdings: Holdings,
}

impl Ends {
    fn new(documents: &Arc<dyn Documents>, departures: Arc<Departures>, ledger: &Ledger) -> Self {
        let holdings = Holdings::new(documents, Arc::clone(&departures)).with_ledger(ledger);
        Self { departures, holdings }
    }
}

/// Runs all jobs when they are due.
fn start_jobs(clean_up: CleanUp, rooms: &Rooms, ends: Ends, base: &Base<'_>, tasks: &Tasks) -> Arc<Runner> {
    let clock = || Arc::clone(base.clock);
    let Ends { departures, holdings } = ends;
    let jobs: Vec<Arc<dyn Job>> = vec![
        Arc::new(clean_up),
        Arc::new(EndTenants { tenants: Arc::clone(&rooms.tenants), holdings }),
        Arc::new(EndUsers { departures }),
        Arc::new(CloseAudit { audit: Arc::clone(&rooms.audit) }),
        Arc::new(RotateSigningKeys { signing_keys: Arc::clone(&rooms.signing_keys) }),
        Arc::new(ForgetLocks { lockout: Arc::clone(base.lockout) }),
        Arc::new(ForgetChanges { teller: Teller::new(base.documents, clock()) }),
    ];
    let runner = Arc::new(Runner::new(base.documents, jobs, clock(), tasks));
    tasks.spawn(Arc::clone(&runner).run(tasks.stopping()));
    runner
}

fn bytes(setting: NonZeroU32) -> usize {
    usize::try_from(setting.get()).unwrap_or(usize::MAX)
}
