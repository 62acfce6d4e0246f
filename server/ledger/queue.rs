//! The queue before the journal: concurrent records are committed together, one sync for all of them (rules A, C, D).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::bytes::BytesMut;
use prost::encoding::encode_varint;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::fault::{Fault, Reason};
use crate::gate::call::EventKey;
use crate::gate::counters::Counters;
use crate::ledger::cuts::Cuts;
use crate::ledger::journal::Journal;
use crate::ledger::low_water::LowWater;
use crate::ledger::spool::Spool;
use crate::ledger::stamp::Position;
use crate::ledger::trail::Trail;
use crate::time::Timestamp;
use crate::trace::Origin;

mod writer;

use writer::Writer;

/// Records that may wait for the journal at once.
pub const WAITING_MAX: usize = 16_384;
/// Bytes of records in one batch, about: the batch is closed by the record that passes this.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After this long a decision that is not committed is abandoned (rule C).
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long anybody waits for an answer of the queue, which abandons what waits too long by itself.
const WAIT_MAX: Duration = Duration::from_secs(11);

/// The queue of one slot.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    low_water: LowWater,
    counters: Arc<dyn Counters>,
    committed: watch::Sender<Position>,
    failed: CancellationToken,
    cuts: Arc<Cuts>,
    trail: Arc<Trail>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    /// Places taken and not yet given back: entries, and calls that are being decided.
    places: usize,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    record: Vec<u8>,
    /// The mark that the counters may answer from once this is durable.
    mark: Option<(Arc<str>, EventKey)>,
    reply: Option<oneshot::Sender<Result<Kept, QueueError>>>,
    needs: Needs,
    place: Timestamp,
    since: Instant,
    origin: Origin,
}

/// Where a record must be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// On a disk of this machine, if the journal is away.
    AnyDisk,
    /// In the journal.
    Journal,
}

/// How safely something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing was kept.
    Nothing,
    /// In the journal.
    Committed,
    /// On this machine's disk alone, because the shared journal cannot be reached (rule E).
    Local,
}

/// The journal did not take a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// There are as many records waiting as there may be.
    #[error("{WAITING_MAX} calls are waiting for the journal")]
    Full,
    /// It took too long. Whether it counts is not known.
    #[error("the decision could not be made durable in {} seconds", PATIENCE.as_secs())]
    Abandoned,
    /// The journal cannot be reached, and the local disk has as much as it may have for later.
    #[error("the journal cannot be reached, and the spool is full")]
    SpoolFull,
    /// The journal cannot be written.
    #[error("the journal cannot be written")]
    Unavailable,
    /// The server is ending.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Fault for QueueError {
    fn reason(&self) -> Reason {
        match self {
            Self::Full | Self::SpoolFull => Reason::ServerOverloaded,
            Self::Abandoned => Reason::DecisionAbandoned,
            Self::Unavailable => Reason::StoreUnavailable,
            Self::ShuttingDown => Reason::ShuttingDown,
        }
    }
}

/// A place in the queue, taken before anything is charged (rule C). Dropping it gives it back.
#[derive(Debug)]
pub struct Place<'a> {
    queue: &'a Queue,
    at: Timestamp,
    used: bool,
}

/// The wait until a record is durable. Dropping it takes nothing back.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<Kept, QueueError>>);

impl Queue {
    /// The queue of the slot that was taken at `slot`. Its time is that of the counters, by which decisions are made.
    #[must_use]
    pub fn new(slot: Position, counters: Arc<dyn Counters>, cuts: Arc<Cuts>) -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Notify::new(),
            low_water: LowWater::default(),
            counters,
            committed: watch::Sender::new(slot),
            failed: CancellationToken::new(),
            cuts,
            trail: Arc::default(),
        }
    }

    /// Takes a place.
    pub fn place(&self) -> Result<Place<'_>, QueueError> {
        let at = self.counters.now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return Err(if self.failed.is_cancelled() {
                QueueError::Unavailable
            } else {
                QueueError::ShuttingDown
            });
        }
        if waiting.places >= WAITING_MAX {
            return Err(QueueError::Full);
        }
        waiting.places = waiting.places.saturating_add(1);
        self.low_water.enter(at);
        Ok(Place { queue: self, at, used: false })
    }

    /// A moment before which this slot will never again append a decision (rule C).
    #[must_use]
    pub fn low_water(&self) -> Timestamp {
        self.low_water.before(self.counters.now())
    }

    /// Says that a tenant's counters may be off (rule M).
    pub fn suspect(&self, tenant: &Arc<str>) {
        self.cuts.suspect(tenant);
    }

    /// To be held while somebody asks the counters to change something of a tenant.
    pub const fn asking<'a>(&'a self, tenant: &'a Arc<str>) -> Asking<'a> {
        Asking { queue: self, tenant, answered: false }
    }

    /// Says that a tenant was charged here (rule M).
    pub fn met(&self, tenant: &Arc<str>) {
        self.cuts.met(tenant);
    }

    /// The last batch that is durable.
    #[must_use]
    pub fn head(&self) -> Position {
        *self.committed.borrow()
    }

    /// Tells of each batch that is durable.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Position> {
        self.committed.subscribe()
    }

    /// Which traced calls stand in the batches that are durable.
    #[must_use]
    pub fn trail(&self) -> Arc<Trail> {
        Arc::clone(&self.trail)
    }

    /// Is cancelled when the journal could not be written: the server must end, and never try the write again.
    #[must_use]
    pub fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Takes no more places; what waits is still committed.
    pub fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.filled.notify_one();
    }

    /// Commits batch after batch until the queue is closed and empty, or the journal fails. With a spool, what the journal
    /// does not take is kept there and shipped later (rule E).
    pub async fn run(&self, journal: &dyn Journal, counters: &dyn Counters, spool: Option<&dyn Spool>) {
        let mut writer = Writer::new(self, journal, counters, spool);
        if let Err(error) = writer.run().await {
            error!(error = %error, "could not write the journal: {}", chain(&error));
            self.fail();
        }
    }

    async fn next_entries(&self) -> Option<Vec<Entry>> {
        loop {
            let filled = self.filled.notified();
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.entries.is_empty() {
                    return Some(take_batch(&mut waiting.entries));
                }
                if waiting.closed && waiting.places == 0 {
                    return None;
                }
            }
            filled.await;
        }
    }

    fn finish(&self, mut entries: Vec<Entry>, outcome: Result<Kept, QueueError>) {
        if entries.is_empty() {
            return;
        }
        reply(&mut entries, outcome);
        for entry in &entries {
            self.low_water.leave(entry.place);
            if let (Err(_), Some((tenant, _))) = (outcome, &entry.mark) {
                // It was charged and will not count: the counters are too high by its charge (rule M).
                self.cuts.suspect(tenant);
            }
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.places = waiting.places.saturating_sub(entries.len());
    }

    /// Takes nothing any more: the journal cannot be written, or belongs to another process.
    pub fn fail(&self) {
        self.failed.cancel();
        let entries = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.closed = true;
            std::mem::take(&mut waiting.entries)
        };
        self.finish(entries, Err(QueueError::Unavailable));
    }
}

impl Place<'_> {
    /// Queues a record that somebody waits for. `mark` may answer alone once it is durable (rule Q).
    #[must_use]
    pub fn commit(self, record: Vec<u8>, mark: Option<(Arc<str>, EventKey)>) -> Commit {
        let (reply, wait) = oneshot::channel();
        self.push(record, mark, Some(reply), Needs::AnyDisk);
        Commit(wait)
    }

    /// Queues a record that only the journal may take: one that another process may contradict meanwhile.
    #[must_use]
    pub fn commit_to_journal(self, record: Vec<u8>, mark: Option<(Arc<str>, EventKey)>) -> Commit {
        let (reply, wait) = oneshot::channel();
        self.push(record, mark, Some(reply), Needs::Journal);
        Commit(wait)
    }

    /// Queues a record that nobody waits for and nobody was promised (rule D).
    pub fn note(self, record: Vec<u8>) {
        self.push(record, None, None, Needs::AnyDisk);
    }

    fn push(
        mut self,
        record: Vec<u8>,
        mark: Option<(Arc<str>, EventKey)>,
        reply: Option<oneshot::Sender<Result<Kept, QueueError>>>,
        needs: Needs,
    ) {
        self.used = true;
        let entry = Entry {
            record,
            mark,
            reply,
            needs,
            place: self.at,
            since: Instant::now(),
            origin: Origin::here(),
        };
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.queue.failed.is_cancelled() {
            drop(waiting);
            self.queue.finish(vec![entry], Err(QueueError::Unavailable));
            return;
        }
        waiting.entries.push(entry);
        drop(waiting);
        self.queue.filled.notify_one();
    }
}

/// Somebody asks the counters to change something. Who goes away before the answer, or gets none, cannot know whether it was
/// changed, and will not journal it: then the tenant is suspect (rule M).
#[derive(Debug)]
pub struct Asking<'a> {
    queue: &'a Queue,
    tenant: &'a Arc<str>,
    answered: bool,
}

impl Asking<'_> {
    /// Passes on what the counters answered.
    pub fn answered<T, E>(mut self, answer: Result<T, E>) -> Result<T, E> {
        self.answered = answer.is_ok();
        answer
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.queue.suspect(self.tenant);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        self.queue.low_water.leave(self.at);
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.places = waiting.places.saturating_sub(1);
        if waiting.closed && waiting.places == 0 {
            self.queue.filled.notify_one();
        }
    }
}

impl Commit {
    /// Waits until the record is durable; answers how safely.
    pub async fn wait(self) -> Result<Kept, QueueError> {
        match tokio::time::timeout(WAIT_MAX, self.0).await {
            Ok(answered) => answered.unwrap_or(Err(QueueError::Unavailable)),
            Err(_) => Err(QueueError::Abandoned),
        }
    }
}

/// The first entries, as many as fit one batch.
fn take_batch(entries: &mut Vec<Entry>) -> Vec<Entry> {
    let mut bytes = 0_usize;
    let fitting = entries.iter().take_while(|entry| {
        let fits = bytes < BATCH_BYTES_MAX;
        bytes = bytes.saturating_add(entry.record.len());
        fits
    });
    let count = fitting.count();
    if count == entries.len() {
        return std::mem::take(entries);
    }
    entries.drain(..count).collect()
}

fn reply(entries: &mut [Entry], outcome: Result<Kept, QueueError>) {
    for sender in entries.iter_mut().filter_map(|entry| entry.reply.take()) {
        // A caller that has gone away does not matter: its record is kept all the same.
        let _gone = sender.send(outcome).is_err();
    }
}

fn encode(entries: &[Entry]) -> prost::bytes::Bytes {
    let bytes = entries.iter().map(|entry| entry.record.len().saturating_add(5)).sum();
    let mut records = BytesMut::with_capacity(bytes);
    for entry in entries {
        encode_varint(u64::try_from(entry.record.len()).unwrap_or(u64::MAX), &mut records);
        records.extend_from_slice(&entry.record);
    }
    records.freeze()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
