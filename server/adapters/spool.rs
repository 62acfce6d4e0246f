//! The port `Spool` on files: batches one after the other, in segments that go when all of theirs are forgotten.

mod crc;
mod frame;
mod recovery;
mod segment;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use prost::bytes::Bytes;

use crate::adapters::spool::frame::Frame;
use crate::adapters::spool::segment::Segment;
use crate::ledger::spool::{Spool, SpoolError, Spooled};
use crate::store::StoreError;

pub use recovery::OpenError;

/// Bytes of a segment, about: the next batch begins another. So much more than its bound a spool may take of the disk.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// A spool in a directory, which nobody else uses.
#[derive(Clone, Debug)]
pub struct FileSpool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes_max: u64,
    bytes: AtomicU64,
    files: Mutex<Files>,
}

/// The files, and what of them waits.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
    /// The oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    waiting: VecDeque<Waiting>,
    /// Bytes of what waits.
    bytes: u64,
    next_ticket: u64,
    /// After a failed sync nobody knows what the disk has, and the next one may succeed without it.
    has_failed: bool,
}

/// Where a batch stands that is not forgotten.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: u64,
    /// The first ticket of its segment, which names it.
    segment: u64,
    /// Where its frame begins.
    offset: u64,
    length: u64,
}

/// Whether a write is to outlive the loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Synced,
    Unsynced,
}

impl FileSpool {
    /// Opens the spool of a directory, and makes it where it is missing. A last batch that was not wholly written was not
    /// answered, and is cut off; what is damaged before it is refused and left as it is.
    pub async fn open(directory: &Path, bytes_max: u64) -> Result<Self, OpenError> {
        let directory = directory.to_owned();
        let opened = tokio::task::spawn_blocking(move || recovery::open(&directory)).await;
        let files = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let bytes = AtomicU64::new(files.bytes);
        let shared = Shared { bytes_max, bytes, files: Mutex::new(files) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Works with the files, on a thread that may wait.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            // What panicked in between left at most a batch that was not answered.
            let mut files = shared.files.lock().unwrap_or_else(PoisonError::into_inner);
            let done = work(&mut files);
            shared.bytes.store(files.bytes, Ordering::Release);
            done.map_err(StoreError::unavailable)
        })
        .await
        .map_err(StoreError::unavailable)?
    }
}

#[async_trait]
impl Spool for FileSpool {
    async fn append(&self, records: Bytes) -> Result<u64, SpoolError> {
        let bytes_max = self.shared.bytes_max;
        let appended = self.work(move |files| files.append(&records, bytes_max)).await?;
        appended.ok_or(SpoolError::Full { bytes_max })
    }

    async fn front(&self) -> Result<Option<Spooled>, SpoolError> {
        Ok(self.work(|files| files.front()).await?)
    }

    async fn forget(&self, through: u64) -> Result<(), SpoolError> {
        Ok(self.work(move |files| files.forget(through)).await?)
    }

    fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Acquire)
    }
}

impl Files {
    /// `None`: there is no room.
    fn append(&mut self, records: &Bytes, bytes_max: u64) -> io::Result<Option<u64>> {
        let length = u64::try_from(records.len()).map_err(io::Error::other)?;
        if self.bytes.saturating_add(length) > bytes_max {
            return Ok(None);
        }
        let ticket = self.next_ticket;
        let (segment, offset) = self.write(&Frame::Batch { ticket, records }, Durability::Synced)?;
        self.next_ticket = ticket.saturating_add(1);
        self.keep(Waiting { ticket, segment, offset, length });
        Ok(Some(ticket))
    }

    /// Writes a frame; answers in which segment, and where.
    fn write(&mut self, frame: &Frame<'_>, durability: Durability) -> io::Result<(u64, u64)> {
        if self.has_failed {
            return Err(io::Error::other("an earlier write of the spool failed"));
        }
        let written = self.write_unguarded(frame, durability);
        self.has_failed = written.is_err();
        written
    }

    fn write_unguarded(&mut self, frame: &Frame<'_>, durability: Durability) -> io::Result<(u64, u64)> {
        if self.segments.back().is_none_or(|segment| segment.length >= SEGMENT_BYTES) {
            self.segments.push_back(Segment::create(&self.directory, self.next_ticket)?);
        }
        let segment = self.segments.back_mut().ok_or_else(|| io::Error::other("there is no segment"))?;
        let offset = segment.append(frame)?;
        if durability == Durability::Synced {
            segment.sync()?;
        }
        Ok((segment.first, offset))
    }

    fn keep(&mut self, waiting: Waiting) {
        self.bytes = self.bytes.saturating_add(waiting.length);
        self.waiting.push_back(waiting);
    }

    /// Answers whether anything was there.
    fn drop_through(&mut self, through: u64) -> bool {
        let before = self.waiting.len();
        while let Some(waiting) = self.waiting.front().copied().filter(|waiting| waiting.ticket <= through) {
            self.waiting.pop_front();
            self.bytes = self.bytes.saturating_sub(waiting.length);
        }
        self.waiting.len() < before
    }

    fn front(&self) -> io::Result<Option<Spooled>> {
        let Some(waiting) = self.waiting.front() else { return Ok(None) };
        let segment = self.segments.iter().find(|segment| segment.first == waiting.segment);
        let segment = segment.ok_or_else(|| io::Error::other("a segment of the spool is gone"))?;
        let records = segment.read(waiting.offset, waiting.ticket)?;
        Ok(Some(Spooled { ticket: waiting.ticket, records }))
    }

    /// That something is forgotten is written and not synced: what comes back after the loss of power is shipped twice, and
    /// counts once (rule H).
    fn forget(&mut self, through: u64) -> io::Result<()> {
        if !self.drop_through(through) {
            return Ok(());
        }
        self.write(&Frame::Forgotten { through }, Durability::Unsynced)?;
        let needed = self.waiting.front().map_or(self.next_ticket, |waiting| waiting.segment);
        // A spool in which nothing waits begins a new segment, whose name remembers the tickets.
        if self.waiting.is_empty() && self.segments.back().is_some_and(|segment| segment.first < needed) {
            self.segments.push_back(Segment::create(&self.directory, needed)?);
        }
        while self.segments.front().is_some_and(|segment| segment.first < needed) {
            if let Some(segment) = self.segments.pop_front() {
                segment.remove()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
