//! An empty store with a clock that stands still.

use std::sync::Arc;

use tollgate::adapters::sqlite::documents::SqliteDocuments;
use tollgate::adapters::sqlite::ledger;
use tollgate::store::Documents;
use tollgate::time::{Clock, ManualClock, Timestamp};

/// 2026-03-20T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_773_964_800_000_000);

/// An empty store, gone with this value.
pub(crate) struct Store {
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) time: Arc<ManualClock>,
    _directory: tempfile::TempDir,
}

impl Store {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sqlite =
            SqliteDocuments::new(&ledger::open(&directory.path().join("ledger.db")).expect("a new store"));
        Self { documents: Arc::new(sqlite), time: Arc::new(ManualClock::at(START)), _directory: directory }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.time) as Arc<dyn Clock>
    }
}
