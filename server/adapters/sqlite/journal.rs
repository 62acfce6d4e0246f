//! The port `Journal` on a SQLite file of its own: what was answered is synced.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use prost::bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use tracing::instrument;

use crate::adapters::sqlite::convert::{signed, unsigned};
use crate::adapters::sqlite::open::{Database, Durability, Layout, OpenError, on_blocking_thread};
use crate::ledger::journal::{Batch, Journal, JournalError, Slot};
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

/// `trimmed_*` is the last batch that was forgotten: without it a slot whose batches are all gone would begin anew.
const SCHEMA: &str = "
    CREATE TABLE slots (
        slot INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,
        trimmed_epoch INTEGER NOT NULL DEFAULT 0, trimmed_number INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE batches (
        slot INTEGER NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL, seal INTEGER NOT NULL,
        records BLOB NOT NULL, PRIMARY KEY (slot, epoch, number)) STRICT, WITHOUT ROWID;
";

const LAYOUT: Layout = Layout {
    application_id: 0x7467_6a6c,
    version: 1,
    schema: &[SCHEMA],
    upgrades: &[],
    durability: Durability::EachCommit,
};

/// The one slot of a single machine: the lock of the data directory keeps a second writer away.
const SLOT: u32 = 0;

/// A journal in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    database: Database,
    has_failed: Arc<AtomicBool>,
    living: Arc<Mutex<Living>>,
}

/// What the one writer says of itself. Nobody else asks, so that it need not outlive the process.
#[derive(Clone, Copy, Debug, Default)]
struct Living {
    beat: u64,
    low_water: Timestamp,
}

impl SqliteJournal {
    /// Opens the file, and makes it where it is missing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(path, &LAYOUT)?,
            has_failed: Arc::default(),
            living: Arc::default(),
        })
    }

    /// Writes, unless an earlier write failed: after a failed sync nobody knows what the disk has, and the next one may
    /// succeed without it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (database, has_failed) = (self.database.clone(), Arc::clone(&self.has_failed));
        on_blocking_thread(move || {
            if has_failed.load(Ordering::Acquire) {
                return Err(StoreError::unavailable("an earlier write of the journal failed"));
            }
            let answer = database.write_now(work);
            if answer.is_err() {
                has_failed.store(true, Ordering::Release);
            }
            answer
        })
        .await
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    fn is_shared(&self) -> bool {
        false
    }

    #[instrument(level = "debug", skip_all, name = "journal.take_slot", target = "tollgate::store")]
    async fn take_slot(&self, low_water: Timestamp) -> Result<Position, JournalError> {
        // The lock of the data directory says that the last owner is gone.
        let taken = self.write(|db| take(db, SLOT)).await?;
        *self.living.lock().unwrap_or_else(PoisonError::into_inner) = Living { beat: 0, low_water };
        Ok(taken)
    }

    #[instrument(level = "debug", skip_all, name = "journal.beat", target = "tollgate::store")]
    async fn beat(&self, epoch: Position, low_water: Timestamp) -> Result<(), JournalError> {
        let sealed =
            move |db: &Connection| Ok(newest_epoch(db, epoch.slot)? != epoch.epoch || is_sealed(db, epoch)?);
        if self.database.read(sealed).await? {
            return Err(JournalError::Taken(epoch));
        }
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        *living = Living { beat: living.beat.wrapping_add(1), low_water };
        Ok(())
    }

    #[instrument(level = "debug", skip_all, name = "journal.seal", target = "tollgate::store")]
    async fn seal(&self, epoch: Position) -> Result<Position, JournalError> {
        Ok(self.write(move |db| seal(db, epoch)).await?)
    }

    #[instrument(level = "debug", skip_all, name = "journal.slots", target = "tollgate::store")]
    async fn slots(&self) -> Result<Vec<Slot>, JournalError> {
        let Living { beat, low_water } = *self.living.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = move |db: &Connection| {
            let mut taken =
                db.prepare_cached("SELECT slot, epoch FROM slots WHERE epoch > 0 ORDER BY slot")?;
            let mut rows = taken.query([])?;
            let mut slots = Vec::new();
            while let Some(row) = rows.next()? {
                let (slot, epoch) = (row.get(0)?, unsigned(row, 1)?);
                let head = head(db, slot)?.max(Position { slot, epoch, batch: 0 });
                slots.push(Slot { head, sealed: is_sealed(db, head)?, beat, low_water });
            }
            Ok(slots)
        };
        Ok(self.database.read(slots).await?)
    }

    #[instrument(level = "debug", skip_all, name = "journal.append", target = "tollgate::store")]
    async fn append(&self, batch: Batch) -> Result<(), JournalError> {
        let position = batch.position;
        // What is forgotten is taken too.
        let insert = move |db: &Connection| Ok(position > trimmed(db, position.slot)? && insert(db, &batch)?);
        if self.write(insert).await? { Ok(()) } else { Err(JournalError::Taken(position)) }
    }

    #[instrument(level = "debug", skip_all, name = "journal.read", target = "tollgate::store")]
    async fn read(&self, after: Position, bytes_max: usize) -> Result<Vec<Batch>, JournalError> {
        Ok(self.database.read(move |db| read(db, after, bytes_max)).await?)
    }

    #[instrument(level = "debug", skip_all, name = "journal.head", target = "tollgate::store")]
    async fn head(&self, slot: u32) -> Result<Position, JournalError> {
        Ok(self.database.read(move |db| head(db, slot)).await?)
    }

    #[instrument(level = "debug", skip_all, name = "journal.trim", target = "tollgate::store")]
    async fn trim(&self, through: Position) -> Result<(), JournalError> {
        Ok(self.write(move |db| trim(db, through)).await?)
    }
}

fn take(db: &Connection, slot: u32) -> rusqlite::Result<Position> {
    let last = newest_epoch(db, slot)?;
    if last > 0 {
        seal(db, Position { slot, epoch: last, batch: 0 })?;
    }
    let epoch = last + 1;
    db.prepare_cached(
        "INSERT INTO slots (slot, epoch) VALUES (?1, ?2) ON CONFLICT (slot) DO UPDATE SET epoch = ?2",
    )?
    .execute(params![slot, signed(epoch)?])?;
    Ok(Position { slot, epoch, batch: 0 })
}

/// The newest epoch of a slot; 0: it was never taken.
fn newest_epoch(db: &Connection, slot: u32) -> rusqlite::Result<u64> {
    let mut epochs = db.prepare_cached("SELECT epoch FROM slots WHERE slot = ?")?;
    Ok(epochs.query_row([slot], |row| unsigned(row, 0)).optional()?.unwrap_or(0))
}

/// Seals an epoch, unless it is sealed; answers where.
fn seal(db: &Connection, epoch: Position) -> rusqlite::Result<Position> {
    let Position { slot, epoch: number, .. } = epoch;
    let last = db
        .prepare_cached("SELECT max(number) FROM batches WHERE slot = ? AND epoch = ?")?
        .query_row(params![slot, signed(number)?], |row| row.get::<_, Option<i64>>(0))?;
    let trimmed = trimmed(db, slot)?;
    let last = last.map_or(0, i64::unsigned_abs).max(if trimmed.epoch == number { trimmed.batch } else { 0 });
    let last = Position { slot, epoch: number, batch: last };
    if is_seal(db, last)? {
        return Ok(last);
    }
    let position = Position { batch: last.batch + 1, ..last };
    insert(db, &Batch { position, records: Bytes::new(), seal: true })?;
    Ok(position)
}

/// Whether the epoch has a seal.
fn is_sealed(db: &Connection, epoch: Position) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM batches WHERE slot = ? AND epoch = ? AND seal = 1)")?
        .query_row(params![epoch.slot, signed(epoch.epoch)?], |row| row.get(0))
}

/// Answers whether the position was free.
fn insert(db: &Connection, batch: &Batch) -> rusqlite::Result<bool> {
    let Position { slot, epoch, batch: number } = batch.position;
    let inserted = db
        .prepare_cached("INSERT INTO batches (slot, epoch, number, seal, records) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![slot, signed(epoch)?, signed(number)?, batch.seal, &batch.records[..]]);
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What comes after `after` without a gap: in the same epoch the next number, and after a seal the next epoch.
fn read(db: &Connection, after: Position, bytes_max: usize) -> rusqlite::Result<Vec<Batch>> {
    let slot = after.slot;
    let mut last = after.max(trimmed(db, slot)?);
    let mut last_is_seal = last.epoch == 0 || is_seal(db, last)?;
    let mut statement = db.prepare_cached(
        "SELECT epoch, number, seal, records FROM batches WHERE slot = ?1 AND (epoch, number) > (?2, ?3)
         ORDER BY epoch, number",
    )?;
    let mut rows = statement.query(params![slot, signed(last.epoch)?, signed(last.batch)?])?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let position = Position { slot, epoch: unsigned(row, 0)?, batch: unsigned(row, 1)? };
        let next = if last_is_seal { (last.epoch + 1, 1) } else { (last.epoch, last.batch + 1) };
        let records = row.get_ref(3)?.as_blob()?;
        if (position.epoch, position.batch) != next || (bytes + records.len() > bytes_max && bytes > 0) {
            break;
        }
        bytes += records.len();
        (last, last_is_seal) = (position, row.get(2)?);
        batches.push(Batch { position, records: Bytes::copy_from_slice(records), seal: last_is_seal });
    }
    Ok(batches)
}

fn is_seal(db: &Connection, position: Position) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT seal FROM batches WHERE slot = ? AND epoch = ? AND number = ?")?
        .query_row(params![position.slot, signed(position.epoch)?, signed(position.batch)?], |row| row.get(0))
        .optional()
        .map(|seal| seal.unwrap_or(false))
}

fn head(db: &Connection, slot: u32) -> rusqlite::Result<Position> {
    let last = db
        .prepare_cached(
            "SELECT epoch, number FROM batches WHERE slot = ? ORDER BY epoch DESC, number DESC LIMIT 1",
        )?
        .query_row([slot], |row| Ok(Position { slot, epoch: unsigned(row, 0)?, batch: unsigned(row, 1)? }))
        .optional()?;
    let trimmed = trimmed(db, slot)?;
    Ok(last.map_or(trimmed, |last| last.max(trimmed)))
}

fn trimmed(db: &Connection, slot: u32) -> rusqlite::Result<Position> {
    let trimmed = db
        .prepare_cached("SELECT trimmed_epoch, trimmed_number FROM slots WHERE slot = ?")?
        .query_row([slot], |row| Ok(Position { slot, epoch: unsigned(row, 0)?, batch: unsigned(row, 1)? }))
        .optional()?;
    Ok(trimmed.unwrap_or(Position { slot, epoch: 0, batch: 0 }))
}

/// Seals stay (rule B): without one nobody would know that its epoch has ended.
fn trim(db: &Connection, through: Position) -> rusqlite::Result<()> {
    let (slot, epoch, number) = (through.slot, signed(through.epoch)?, signed(through.batch)?);
    db.prepare_cached("DELETE FROM batches WHERE slot = ? AND (epoch, number) <= (?, ?) AND seal = 0")?
        .execute(params![slot, epoch, number])?;
    db.prepare_cached(
        "UPDATE slots SET trimmed_epoch = ?2, trimmed_number = ?3
         WHERE slot = ?1 AND (trimmed_epoch, trimmed_number) < (?2, ?3)",
    )?
    .execute(params![slot, epoch, number])?;
    Ok(())
}
