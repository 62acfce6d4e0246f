//! The composition root: the one place that names rooms and adapters together.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use secrecy::{SecretBox, SecretString};
use tonic::service::Routes;

use crate::adapters::memory::counters::MemoryCounters;
use crate::adapters::sqlite;
use crate::adapters::sqlite::documents::SqliteDocuments;
use crate::adapters::sqlite::events::SqliteEvents;
use crate::adapters::sqlite::journal::SqliteJournal;
use crate::adapters::sqlite::rollups::SqliteRollups;
use crate::api::http::Edge;
use crate::api::resolve::Resolver;
use crate::api::rpc::track_service_server::TrackServiceServer;
use crate::api::track::Door;
use crate::config::Config;
use crate::identity::directory::Directory;
use crate::identity::keyring::Keyring;
use crate::identity::seal::Seal;
use crate::identity::tenants::Tenants;
use crate::ledger::fold::FoldObserver;
use crate::ledger::works::{self, Ledger, Stores};
use crate::live::feed::Feed;
use crate::plans::catalogue::Catalogue;
use crate::plans::policies::Policies;
use crate::plans::presets::Presets;
use crate::plans::subscriptions::Subscriptions;
use crate::store::{Documents, StoreError};
use crate::tasks::Tasks;
use crate::time::Clock;

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
    door: Door,
    edge: Edge,
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] sqlite::open::OpenError),
    /// The store does not work.
    #[error("the store cannot be prepared")]
    Store(#[from] StoreError),
    /// The plans that the configuration names cannot be installed.
    #[error("the plans cannot be installed")]
    Plans(#[from] crate::plans::PlansError),
    /// The ledger cannot be recovered.
    #[error(transparent)]
    Ledger(#[from] works::OpenError),
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
            events: Arc::new(SqliteEvents::new(&database)?),
            rollups: Arc::new(SqliteRollups::new(&database)),
            documents: Arc::clone(&documents),
        };
        let feed = Arc::new(Feed::default());
        let counters = Arc::new(MemoryCounters::new(Arc::clone(&clock)));
        let observers: Vec<Arc<dyn FoldObserver>> = vec![Arc::<Feed>::clone(&feed)];
        let ledger = Ledger::open(stores, counters, Arc::clone(&clock), observers, tasks).await?;

        let catalogue = Arc::new(Catalogue::new(&documents, Arc::clone(&clock)));
        let presets = Presets::new(&documents, Arc::clone(&clock));
        let default_plan = presets.install(&catalogue, &config.plans.presets).await?;
        let subscriptions =
            Arc::new(Subscriptions::new(&documents, Arc::clone(&catalogue), Arc::clone(&clock)));
        let policies = Policies::new(Arc::clone(&catalogue));
        let directory =
            Arc::new(Directory::new(&documents, Arc::clone(&subscriptions), policies, Arc::clone(&clock)));
        let keyring =
            Arc::new(Keyring::new(&documents, Arc::clone(&clock), &secrets.pepper, &secrets.operator_key));
        let resolver = Arc::new(Resolver::new(Arc::clone(&directory), Arc::clone(&keyring)));
        let door = Door::new(ledger.clone(), resolver, feed, Arc::new(Seal::new(&secrets.pepper, "token")));
        let _tenants =
            Tenants::new(&documents, catalogue, subscriptions, directory, Arc::clone(&clock), default_plan);
        let edge = Edge {
            door: door.clone(),
            keyring: Arc::clone(&keyring),
            clock,
            reset_format: config.http.reset_format,
            body_bytes_max: usize::try_from(config.limits.http_body_bytes.get()).unwrap_or(usize::MAX),
        };
        Ok(Self { ledger, keyring, door, edge })
    }

    /// The gRPC services.
    #[must_use]
    pub fn services(&self) -> Routes {
        Routes::new(TrackServiceServer::new(self.door.clone()))
    }

    /// The HTTP edge.
    pub fn http(&self) -> Router {
        self.edge.clone().routes()
    }
}
