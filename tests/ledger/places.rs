//! Where a ledger is kept: in the files of a directory, or in a database that a file of the directory names.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;
use test_servers::FerretDb;
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
use tollgate::adapters::sqlite::rollups::SqliteRollups;
use tollgate::ledger::works::Stores;

use crate::flaky::{Flaky, Luck};

/// The file that names a database.
const MARK: &str = "mongodb";

/// A new place of files, and one in a database where this machine has a server.
pub(crate) fn places() -> Vec<TempDir> {
    let new = || tempfile::tempdir().expect("a directory");
    let mut places = vec![new()];
    if server().is_some() {
        let place = new();
        let database = format!("ledger_{:016x}", rand::random::<u64>());
        std::fs::write(place.path().join(MARK), database).expect("a file");
        places.push(place);
    }
    places
}

/// The stores of a place, which fail with that luck.
pub(crate) async fn stores(place: &Path, luck: &Arc<Luck>) -> Stores {
    match std::fs::read_to_string(place.join(MARK)) {
        Ok(database) => in_database(database, luck).await,
        Err(_) => in_files(place, luck),
    }
}

fn server() -> Option<&'static FerretDb> {
    static SERVER: OnceLock<Option<FerretDb>> = OnceLock::new();
    SERVER.get_or_init(FerretDb::start).as_ref()
}

async fn in_database(database: String, luck: &Arc<Luck>) -> Stores {
    let uri = server().expect("a server").uri();
    let config = Settings { uri: Some(uri.into()), database, ..Settings::default() };
    let store = MongoStore::connect(&config).await.expect("a server that answers");
    Stores {
        journal: Arc::new(MongoJournal::new(&store)),
        spool: None,
        events: flaky(MongoEvents::open(&store).await.expect("events"), luck),
        rollups: flaky(MongoRollups::new(&store), luck),
        documents: flaky(MongoDocuments::new(&store), luck),
    }
}

fn in_files(directory: &Path, luck: &Arc<Luck>) -> Stores {
    let database = ledger::open(&directory.join("ledger.db")).expect("a ledger");
    Stores {
        journal: Arc::new(SqliteJournal::open(&directory.join("journal.db")).expect("a journal")),
        spool: None,
        events: flaky(SqliteEvents::new(&database).expect("events"), luck),
        rollups: flaky(SqliteRollups::new(&database), luck),
        documents: flaky(SqliteDocuments::new(&database), luck),
    }
}

fn flaky<S>(store: S, luck: &Arc<Luck>) -> Arc<Flaky<S>> {
    Arc::new(Flaky { store, luck: Arc::clone(luck) })
}
