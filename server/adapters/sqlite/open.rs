//! A SQLite file as the server opens it: checked first, then one writer and a few readers.

mod check;

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::store::StoreError;

/// What a file is for, and how it is made.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Its number in the file's header, that tells it from the files of other programs.
    pub application_id: i32,
    /// The version of its tables. A file of a newer one is refused.
    pub version: i32,
    /// What makes its tables.
    pub schema: &'static [&'static str],
    /// What makes version 2 of version 1, version 3 of version 2, and so on.
    pub upgrades: &'static [&'static str],
    /// When it is synced.
    pub durability: Durability,
}

/// When a file is synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In each transaction, before it is answered.
    EachCommit,
    /// When it is asked for, and when the write-ahead log is folded in. The loss of power may take the last transactions.
    OnSync,
}

/// An open file. Its clones are the same file.
#[derive(Clone, Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    writer: Mutex<Connection>,
    idle_readers: Mutex<Vec<Connection>>,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is something else.
    #[error("`{}` is not a SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// Another program's, or another file of ours.
    #[error(
        "`{}` belongs to something else: its application id is {found:#x}, not {expected:#x}",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The id in it.
        found: i32,
        /// Ours.
        expected: i32,
    },
    /// A later release has written it.
    #[error(
        "`{}` has schema version {found}, and this release knows versions up to {known}: use the release that wrote it, \
         or a later one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The last one that is known here.
        known: i32,
    },
    /// A part of it is missing.
    #[error("`{}` is truncated: it has {found} bytes of {expected}: put it back from a backup", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be.
        expected: u64,
    },
    /// What is in it contradicts itself.
    #[error("`{}` is damaged ({problem}): put it back from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The system refuses.
    #[error("`{}` cannot be opened", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

const READERS_MAX: usize = 8;
const STATEMENTS_MAX: usize = 64;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The mode of the file: its owner's alone. SQLite gives it to the files beside it too.
const MODE: u32 = 0o600;
/// What the writer keeps in memory, in KiB.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// What each reader keeps in memory, in KiB.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// The write-ahead log is folded in when it has so many pages: a page that is written often in between is folded in once.
const LOG_PAGES: i64 = 16 * 1024;

impl Database {
    /// Opens the file, and makes it where it is missing. What is damaged, foreign or newer is refused and left as it is.
    pub fn open(path: &Path, layout: &Layout) -> Result<Self, OpenError> {
        check::bytes(path)?;
        make_private(path).map_err(|source| unusable(path, source))?;
        let writer = connect(path).map_err(|error| explain(path, error))?;
        check::identity(path, &writer, layout)?;
        prepare(&writer, layout).map_err(|error| explain(path, error))?;
        check::contents(path, &writer)?;
        let shared =
            Shared { path: path.to_owned(), writer: Mutex::new(writer), idle_readers: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads, on a thread that may wait.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.clone();
        on_blocking_thread(move || database.read_now(work)).await
    }

    /// Writes in one transaction, on a thread that may wait: all of it, or none.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.clone();
        on_blocking_thread(move || database.write_now(work)).await
    }

    /// Makes all that was written durable against the loss of power.
    pub async fn sync(&self) -> Result<(), StoreError> {
        let log = PathBuf::from(format!("{}-wal", self.shared.path.display()));
        // What is no longer in the log was synced into the file when it was folded in.
        on_blocking_thread(move || match File::open(&log) {
            Ok(log) => log.sync_data().map_err(StoreError::unavailable),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::unavailable(error)),
        })
        .await
    }

    /// Reads at once. The calling thread may wait.
    pub(super) fn read_now<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let idle = self.idle_readers().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.connect_reader().map_err(failed)?,
        };
        // One transaction, so that several statements see one state.
        let transaction = reader.transaction().map_err(failed)?;
        let answer = work(&transaction).map_err(failed)?;
        transaction.finish().map_err(failed)?;
        let mut idle = self.idle_readers();
        if idle.len() < READERS_MAX {
            idle.push(reader);
        }
        Ok(answer)
    }

    /// Writes at once. The calling thread may wait.
    pub(super) fn write_now<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // A transaction that was not committed is rolled back as it is dropped, so a poisoned lock is still good.
        let mut writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let answer = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(answer)
    }

    fn idle_readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.shared.idle_readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect_reader(&self) -> rusqlite::Result<Connection> {
        let reader = connect(&self.shared.path)?;
        reader.pragma_update(None, "query_only", true)?;
        reader.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        Ok(reader)
    }
}

/// Runs what may wait away from the threads that serve.
pub(super) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(StoreError::unavailable)?
}

/// What an error of the driver means.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    let is_corrupt =
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            || matches!(
                error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
            );
    if is_corrupt { StoreError::corrupt("something", error) } else { StoreError::unavailable(error) }
}

/// Makes the file where it is missing, for its owner alone, and its name durable.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn prepare(writer: &Connection, layout: &Layout) -> rusqlite::Result<()> {
    writer.pragma_update(None, "journal_mode", "wal")?;
    writer.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    writer.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    // Until the tables are there, each commit is synced: a file without them is taken for a new one.
    writer.pragma_update(None, "synchronous", "full")?;
    let version = writer.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))?;
    if version < layout.version {
        let mut all = String::from("BEGIN IMMEDIATE;");
        match usize::try_from(version).unwrap_or_default().checked_sub(1) {
            None => all.push_str(&layout.schema.concat()),
            Some(done) => all.push_str(&layout.upgrades.get(done..).unwrap_or_default().concat()),
        }
        all.push_str(&format!("PRAGMA application_id = {};", layout.application_id));
        all.push_str(&format!("PRAGMA user_version = {}; COMMIT;", layout.version));
        writer.execute_batch(&all)?;
    }
    if layout.durability == Durability::OnSync {
        writer.pragma_update(None, "synchronous", "normal")?;
    }
    Ok(())
}

fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), source: source.into() }
}

fn explain(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, problem: error.to_string() },
        _ => OpenError::Unusable { path, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests;
