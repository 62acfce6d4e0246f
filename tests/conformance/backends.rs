//! The stores that a contract is run against, each with a fresh place for one case.

use std::sync::{Arc, OnceLock};

use tollgate::adapters::mongo::connect::MongoStore;
use tollgate::adapters::mongo::documents::MongoDocuments;
use tollgate::adapters::mongo::events::MongoEvents;
use tollgate::adapters::mongo::journal::MongoJournal;
use tollgate::adapters::mongo::rollups::MongoRollups;
use tollgate::adapters::mongo::settings::Settings;
use tollgate::adapters::sqlite::documents::SqliteDocuments;
use tollgate::adapters::sqlite::events::SqliteEvents;
use tollgate::adapters::sqlite::journal::SqliteJournal;
use tollgate::adapters::sqlite::ledger;
use tollgate::adapters::sqlite::open::Database;
use tollgate::adapters::sqlite::rollups::SqliteRollups;
use tollgate::ledger::events::Events;
use tollgate::ledger::journal::Journal;
use tollgate::ledger::rollups::Rollups;
use tollgate::store::Documents;

use test_servers::FerretDb;

/// A store with a place of its own. What is opened twice is what there is after a crash.
#[derive(Debug)]
pub(crate) enum Backend {
    Sqlite(tempfile::TempDir),
    Mongo(Settings),
}

/// Every store that this machine has, empty.
pub(crate) fn backends() -> Vec<Backend> {
    static MONGO: OnceLock<Option<FerretDb>> = OnceLock::new();
    let mut backends = vec![Backend::Sqlite(tempfile::tempdir().expect("a temporary directory"))];
    // One server for all cases, with a database for each.
    if let Some(server) = MONGO.get_or_init(FerretDb::start) {
        let database = format!("case_{:016x}", rand::random::<u64>());
        let config = Settings { uri: Some(server.uri().into()), database, ..Settings::default() };
        backends.push(Backend::Mongo(config));
    }
    backends
}

impl Backend {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Mongo(_) => "mongo",
        }
    }

    pub(crate) async fn journal(&self) -> Arc<dyn Journal> {
        match self {
            Self::Sqlite(directory) => {
                let path = directory.path().join("journal.db");
                Arc::new(SqliteJournal::open(&path).expect("a sound journal"))
            }
            Self::Mongo(config) => Arc::new(MongoJournal::new(&connect(config).await)),
        }
    }

    pub(crate) async fn events(&self) -> Arc<dyn Events> {
        match self {
            Self::Sqlite(directory) => Arc::new(SqliteEvents::new(&open(directory)).expect("sound rows")),
            Self::Mongo(config) => {
                Arc::new(MongoEvents::open(&connect(config).await).await.expect("sound rows"))
            }
        }
    }

    pub(crate) async fn rollups(&self) -> Arc<dyn Rollups> {
        match self {
            Self::Sqlite(directory) => Arc::new(SqliteRollups::new(&open(directory))),
            Self::Mongo(config) => Arc::new(MongoRollups::new(&connect(config).await)),
        }
    }

    pub(crate) async fn documents(&self) -> Arc<dyn Documents> {
        match self {
            Self::Sqlite(directory) => Arc::new(SqliteDocuments::new(&open(directory))),
            Self::Mongo(config) => Arc::new(MongoDocuments::new(&connect(config).await)),
        }
    }
}

fn open(directory: &tempfile::TempDir) -> Database {
    ledger::open(&directory.path().join("ledger.db")).expect("a sound ledger")
}

async fn connect(config: &Settings) -> MongoStore {
    MongoStore::connect(config).await.expect("a server that answers")
}
