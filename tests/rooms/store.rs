//! An empty store that counts what is read, can hold a reader back, and has a clock that stands still.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Notify;
use tollgate::adapters::sqlite::documents::SqliteDocuments;
use tollgate::adapters::sqlite::ledger;
use tollgate::adapters::sqlite::open::Database;
use tollgate::store::{Document, Documents, Found, Inserted, Replaced, Search, StoreError};
use tollgate::time::{Clock, ManualClock, Timestamp};

/// 2026-03-20T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_773_964_800_000_000);

/// An empty store, gone with this value.
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) watched: Arc<Watched>,
    pub(crate) time: Arc<ManualClock>,
    pub(crate) directory: Arc<tempfile::TempDir>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = ledger::open(&directory.path().join("ledger.db")).expect("a new store");
        let sqlite = SqliteDocuments::new(&database);
        let watched = Arc::new(Watched::over(sqlite));
        let documents = Arc::clone(&watched) as Arc<dyn Documents>;
        Self {
            database,
            documents,
            watched,
            time: Arc::new(ManualClock::at(START)),
            directory: Arc::new(directory),
        }
    }

    /// The same store and clock as another server sees them.
    pub(crate) fn beside(&self) -> Self {
        let watched = Arc::new(Watched::over(SqliteDocuments::new(&self.database)));
        let documents = Arc::clone(&watched) as Arc<dyn Documents>;
        let (database, time) = (self.database.clone(), Arc::clone(&self.time));
        Self { database, documents, watched, time, directory: Arc::clone(&self.directory) }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.time) as Arc<dyn Clock>
    }
}

/// Documents whose readers are counted, and one of whom can be held back.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: SqliteDocuments,
    reads: AtomicUsize,
    hold_next: AtomicBool,
    away: AtomicBool,
    refused: Mutex<Option<&'static str>>,
    writes_left: AtomicUsize,
    held: Notify,
    released: Notify,
}

impl Watched {
    fn over(inner: SqliteDocuments) -> Self {
        let (held, released) = (Notify::new(), Notify::new());
        let (reads, hold_next, away) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let (refused, writes_left) = (Mutex::default(), AtomicUsize::new(usize::MAX));
        Self { inner, reads, hold_next, away, refused, writes_left, held, released }
    }

    /// How many single documents were read so far.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// The next reader of a single document gets its answer only after [`Watched::release`].
    pub(crate) fn hold_next_reader(&self) {
        self.hold_next.store(true, Ordering::SeqCst);
    }

    /// Whether the store can be reached from here.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// No new document of that kind can be kept from here.
    pub(crate) fn refuse(&self, kind: Option<&'static str>) {
        *self.refused.lock().expect("no test fails while it holds this") = kind;
    }

    /// After so many writes from here, every other one fails: the server has ended.
    pub(crate) fn set_writes_left(&self, writes: usize) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    fn write(&self) -> Result<&SqliteDocuments, StoreError> {
        let left = |left: usize| left.checked_sub(1);
        match self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.reach(),
            Err(_) => Err(StoreError::unavailable("the server has ended")),
        }
    }

    fn reach(&self) -> Result<&SqliteDocuments, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it is away"));
        }
        Ok(&self.inner)
    }

    /// Waits until a reader has its answer and is held back.
    pub(crate) async fn reader_is_held(&self) {
        self.held.notified().await;
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

#[async_trait]
impl Documents for Watched {
    async fn insert(&self, document: Document) -> Result<Inserted, StoreError> {
        if *self.refused.lock().expect("no test fails while it holds this") == Some(document.kind) {
            return Err(StoreError::unavailable("it takes no more of these"));
        }
        self.write()?.insert(document).await
    }

    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Document>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let answer = self.reach()?.get(kind, id).await;
        if self.hold_next.swap(false, Ordering::SeqCst) {
            self.held.notify_one();
            self.released.notified().await;
        }
        answer
    }

    async fn get_many(
        &self,
        kind: &'static str,
        ids: &[String],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        self.reach()?.get_many(kind, ids).await
    }

    async fn get_by(
        &self,
        kind: &'static str,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Document>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.reach()?.get_by(kind, index, value).await
    }

    async fn replace_many(&self, documents: Vec<Document>) -> Result<Vec<Replaced>, StoreError> {
        self.write()?.replace_many(documents).await
    }

    async fn delete(&self, kind: &'static str, id: &str, revision: u64) -> Result<bool, StoreError> {
        self.write()?.delete(kind, id, revision).await
    }

    async fn find(&self, search: Search<'_>) -> Result<Vec<Found>, StoreError> {
        self.reach()?.find(search).await
    }
}
