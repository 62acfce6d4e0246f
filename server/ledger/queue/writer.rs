//! Writes what the queue has: to the journal, and while that cannot be reached to the spool (rules A, E).

use std::time::Duration;

use prost::bytes::Bytes;
use tokio::time::Instant;
use tracing::{Instrument as _, debug_span, error, info, warn};

use super::{Entry, Kept, Needs, PATIENCE, Queue, QueueError, chain, encode, reply};
use crate::failpoint::{self, Mutant, Point};
use crate::gate::counters::Counters;
use crate::ledger::journal::{Batch, Journal, JournalError};
use crate::ledger::spool::{Spool, SpoolError};
use crate::store::StoreError;
use crate::trace;

/// How long callers wait for a journal that does not answer before their records are spooled.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(1);
/// Before the first try to ship after the journal failed; each further wait is twice as long.
const SHIP_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const SHIP_MAX: Duration = Duration::from_secs(2);
/// How long one try to ship may take.
const SHIP_PATIENCE: Duration = Duration::from_secs(5);
/// How long callers wait for their marks, which they do not need.
const MARKS_PATIENCE: Duration = Duration::from_millis(100);
/// How long the spool is shipped before those who wait have their turn.
const SHIP_SLICE: Duration = Duration::from_millis(50);

/// The writer of one slot.
pub(super) struct Writer<'a> {
    queue: &'a Queue,
    journal: &'a dyn Journal,
    counters: &'a dyn Counters,
    spool: Option<&'a dyn Spool>,
    /// A batch whose append was not answered: it may be in the journal. No later one may be, before this one is (rule A).
    doubtful: Option<Doubtful>,
    ship_at: Instant,
    pause: Duration,
}

#[derive(Clone)]
struct Doubtful {
    batch: Batch,
    /// The same records in the spool, if they are there.
    ticket: Option<u64>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        queue: &'a Queue,
        journal: &'a dyn Journal,
        counters: &'a dyn Counters,
        spool: Option<&'a dyn Spool>,
    ) -> Self {
        Self { queue, journal, counters, spool, doubtful: None, ship_at: Instant::now(), pause: SHIP_FIRST }
    }

    pub(super) async fn run(&mut self) -> Result<(), JournalError> {
        loop {
            let entries = tokio::select! {
                entries = self.queue.next_entries() => entries,
                () = tokio::time::sleep_until(self.ship_at), if self.is_behind() => {
                    self.ship().await?;
                    continue;
                }
            };
            let Some(entries) = entries else { return self.last_try().await };
            self.commit(entries).await?;
        }
    }

    /// Whether something waits to be shipped.
    fn is_behind(&self) -> bool {
        self.doubtful.is_some() || self.spool.is_some_and(|spool| spool.bytes() > 0)
    }

    /// What is still spooled when the server ends is shipped by its next start; if the journal answers, there is none.
    async fn last_try(&mut self) -> Result<(), JournalError> {
        if self.is_behind() { self.ship().await } else { Ok(()) }
    }

    async fn commit(&mut self, mut entries: Vec<Entry>) -> Result<(), JournalError> {
        // A decision that waited too long is never appended: its caller was told so, and low-water may have passed it.
        let abandoned = entries.extract_if(.., |entry| entry.since.elapsed() >= PATIENCE).collect::<Vec<_>>();
        self.queue.finish(abandoned, Err(QueueError::Abandoned));
        if entries.is_empty() {
            return Ok(());
        }
        match self.spool {
            Some(spool) if self.is_behind() => self.keep_locally(spool, entries).await,
            _ => self.append(entries).await,
        }
    }

    async fn append(&mut self, mut entries: Vec<Entry>) -> Result<(), JournalError> {
        if failpoint::is(Mutant::AcknowledgeBeforeCommit) {
            reply(&mut entries, Ok(Kept::Committed));
        }
        let batch = self.next_batch(encode(&entries));
        let position = batch.position;
        failpoint::reached(Point::BeforeAppend);
        // Work for all who wait: a trace of its own that points to each of them.
        let span = debug_span!(target: "tollgate::journal", "commit", records = entries.len());
        trace::link(&span, entries.iter().map(|entry| &entry.origin));
        let append = async {
            match self.spool {
                Some(_) => within(JOURNAL_PATIENCE, self.put(batch.clone())).await,
                None => self.patiently(batch.clone(), &mut entries).await,
            }
        };
        let appended = append.instrument(span.clone()).await;
        failpoint::reached(Point::AfterAppend);
        match (appended, self.spool) {
            (Ok(()), _) => {}
            (Err(failure @ JournalError::Store(_)), Some(spool)) => {
                warn!(error = %failure, "the journal cannot be written, and records are spooled: {}", chain(&failure));
                return self.begin_to_spool(spool, batch, entries).await;
            }
            (Err(failure), _) => {
                self.queue.finish(entries, Err(QueueError::Unavailable));
                return Err(failure);
            }
        }
        let marks = entries.iter_mut().filter_map(|entry| entry.mark.take()).collect::<Vec<_>>();
        // Marks that stay pending do no harm: a retry journals again, and the ledger counts once.
        let told = self.counters.committed(&marks).instrument(span);
        match tokio::time::timeout(MARKS_PATIENCE, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                error!(error = %error, "could not mark {} events as durable: {}", marks.len(), chain(&error));
            }
            Err(_) => warn!("could not mark {} events as durable: the counters do not answer", marks.len()),
        }
        self.queue.trail.leave(position, entries.iter().map(|entry| &entry.origin));
        // Whoever is answered, and whoever sees low-water pass, finds the batch under the head.
        self.queue.committed.send_replace(position);
        self.queue.finish(entries, Ok(Kept::Committed));
        failpoint::reached(Point::AfterReply);
        Ok(())
    }

    async fn put(&self, batch: Batch) -> Result<(), JournalError> {
        match self.journal.append(batch).await {
            Err(JournalError::Taken(_)) if failpoint::is(Mutant::NoSeal) => Ok(()),
            appended => appended,
        }
    }

    fn next_batch(&self, records: Bytes) -> Batch {
        let head = self.queue.head();
        let position = crate::ledger::stamp::Position { batch: head.batch.saturating_add(1), ..head };
        Batch { position, records, seal: false }
    }

    /// Waits for the append to the end, but lets its callers go when it takes too long: its fate is unknown to them.
    async fn patiently(&self, batch: Batch, entries: &mut [Entry]) -> Result<(), JournalError> {
        let mut append = std::pin::pin!(self.put(batch));
        match tokio::time::timeout(PATIENCE, &mut append).await {
            Ok(appended) => appended,
            Err(_) => {
                reply(entries, Err(QueueError::Abandoned));
                append.await
            }
        }
    }

    /// Spools a batch that may be in the journal too. Its refusals are left out: nothing keeps them once (rule D).
    async fn begin_to_spool(
        &mut self,
        spool: &dyn Spool,
        batch: Batch,
        mut entries: Vec<Entry>,
    ) -> Result<(), JournalError> {
        self.ship_at = Instant::now() + self.pause;
        let refusals = entries.extract_if(.., |entry| entry.reply.is_none()).collect::<Vec<_>>();
        self.queue.finish(refusals, Err(QueueError::Unavailable));
        self.turn_away(&mut entries);
        let kept = spool.append(encode(&entries)).await;
        self.doubtful = Some(Doubtful { batch, ticket: kept.as_ref().ok().copied() });
        self.answer(entries, kept)
    }

    async fn keep_locally(&mut self, spool: &dyn Spool, mut entries: Vec<Entry>) -> Result<(), JournalError> {
        self.turn_away(&mut entries);
        if entries.is_empty() {
            return Ok(());
        }
        let kept = spool.append(encode(&entries)).await;
        self.answer(entries, kept)
    }

    /// Ends of reservations and their extensions are not spooled: meanwhile another process might end the reservation
    /// otherwise, and what was promised here would count nowhere.
    fn turn_away(&self, entries: &mut Vec<Entry>) {
        let firm = entries.extract_if(.., |entry| entry.needs == Needs::Journal).collect::<Vec<_>>();
        self.queue.finish(firm, Err(QueueError::Unavailable));
    }

    /// Their marks stay pending: only the journal makes them durable everywhere.
    fn answer(&self, entries: Vec<Entry>, kept: Result<u64, SpoolError>) -> Result<(), JournalError> {
        match kept {
            Ok(_) => {
                self.queue.finish(entries, Ok(Kept::Local));
                Ok(())
            }
            Err(SpoolError::Full { .. }) => {
                self.queue.finish(entries, Err(QueueError::SpoolFull));
                Ok(())
            }
            Err(SpoolError::Store(failure)) => {
                self.queue.finish(entries, Err(QueueError::Unavailable));
                Err(JournalError::Store(failure))
            }
        }
    }

    /// Tries to bring the spool into the journal. A store that is still away is asked again later.
    async fn ship(&mut self) -> Result<(), JournalError> {
        match self.ship_some().await {
            Ok(()) => {
                (self.pause, self.ship_at) = (SHIP_FIRST, Instant::now());
                if !self.is_behind() {
                    info!("all that was spooled is in the journal");
                }
                Ok(())
            }
            Err(JournalError::Store(failure)) => {
                self.ship_at = Instant::now() + self.pause;
                self.pause = self.pause.saturating_mul(2).min(SHIP_MAX);
                warn!(error = %failure, "the journal still cannot be written: {failure}");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn ship_some(&mut self) -> Result<(), JournalError> {
        let until = Instant::now() + SHIP_SLICE;
        if let Some(Doubtful { batch, ticket }) = self.doubtful.clone() {
            within(SHIP_PATIENCE, self.put(batch.clone())).await?;
            self.shipped(&batch)?;
            if let (Some(spool), Some(ticket)) = (self.spool, ticket) {
                spool.forget(ticket).await.map_err(unusable)?;
            }
        }
        let Some(spool) = self.spool else { return Ok(()) };
        while Instant::now() < until
            && let Some(front) = spool.front().await.map_err(unusable)?
        {
            let batch = self.next_batch(front.records);
            self.doubtful = Some(Doubtful { batch: batch.clone(), ticket: Some(front.ticket) });
            within(SHIP_PATIENCE, self.put(batch.clone())).await?;
            self.shipped(&batch)?;
            spool.forget(front.ticket).await.map_err(unusable)?;
        }
        Ok(())
    }

    /// A batch of the spool is in the journal. The counters may have been corrected without it meanwhile (rule M).
    fn shipped(&mut self, batch: &Batch) -> Result<(), JournalError> {
        self.queue.committed.send_replace(batch.position);
        self.doubtful = None;
        Ok(self.queue.cuts.suspect_all(batch)?)
    }
}

/// A journal that does not answer in time is as good as one that is away: whether it took the batch is not known.
async fn within(
    patience: Duration,
    append: impl Future<Output = Result<(), JournalError>>,
) -> Result<(), JournalError> {
    match tokio::time::timeout(patience, append).await {
        Ok(appended) => appended,
        Err(elapsed) => Err(JournalError::Store(StoreError::unavailable(elapsed))),
    }
}

fn unusable(error: SpoolError) -> JournalError {
    JournalError::Spool(error)
}
