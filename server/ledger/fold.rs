//! The fold: reads the journal in order and brings events, rollups and accounts up to date (rules F, G, H, J).
//!
//! It may be killed anywhere: rows are kept once by their keys, documents know what they have absorbed, and only a round that
//! is wholly written moves the position on.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::failpoint::{self, Point};
use crate::ledger::accounts::{Accounts, KeptAccount};
use crate::ledger::cuts::Cuts;
use crate::ledger::events::Events;
use crate::ledger::journal::{Journal, JournalError};
use crate::ledger::progress::Progress;
use crate::ledger::queue::Queue;
use crate::ledger::rollups::Rollups;
use crate::ledger::stamp::{Position, Positions};
use crate::store::{Document, Documents, Replaced, StoreError};

mod round;
mod rows;
mod writing;

use round::Round;
use writing::Cache;

/// Bytes of records that one round takes, about.
const ROUND_BYTES: usize = 32 * 1024 * 1024;
/// Between the starts of two rounds while somebody watches, unless somebody waits.
const PACE_WATCHED: Duration = Duration::from_millis(250);
/// The same while nobody watches: the larger a round, the fewer documents are written for each event.
const PACE_ALONE: Duration = Duration::from_secs(2);
/// Before the first try after the store failed; each further wait is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(10);
/// The longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Between two trims of the journal: each syncs the ledger's file first (rule F).
const TRIM: Duration = Duration::from_secs(10);
/// How long a folded batch stays where others may read it again: longer than a reconciler looks at its suspects.
const KEPT_FOR_OTHERS: Duration = Duration::from_secs(120);
/// The document that says how far the fold is.
const KIND: &str = "fold";

/// What the fold stands on.
#[derive(Clone, Debug)]
pub struct FoldParts {
    /// The journals.
    pub journal: Arc<dyn Journal>,
    /// Rows.
    pub events: Arc<dyn Events>,
    /// Rollups.
    pub rollups: Arc<dyn Rollups>,
    /// Accounts and the fold's own position.
    pub documents: Arc<dyn Documents>,
    /// Those who want to know what was folded.
    pub observers: Vec<Arc<dyn FoldObserver>>,
    /// Suspected tenants, and what the reconciler will read again.
    pub cuts: Arc<Cuts>,
    /// Those who read the journals behind the fold.
    pub sinks: Vec<Arc<dyn Sink>>,
}

/// Learns of what is wholly folded (rule J).
pub trait FoldObserver: Send + Sync + std::fmt::Debug {
    /// A round is wholly folded.
    fn folded(&self, round: &FoldedRound<'_>);

    /// The tenants that somebody watches: what is folded of them is wanted soon.
    fn watched(&self) -> Vec<Arc<str>>;

    /// Whether anybody watches.
    fn is_watched(&self) -> bool;
}

/// Reads folded batches of the journals after the fold (rule F).
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// The last batch of a slot that it has done with, for ever.
    fn passed(&self, slot: u32) -> Position;
}

/// A round that is wholly folded.
#[derive(Debug)]
pub struct FoldedRound<'a> {
    /// The last batch of each slot that is wholly folded, it among them.
    pub positions: Positions,
    /// The accounts that it changed, as they are now.
    pub accounts: Vec<&'a KeptAccount>,
}

/// The fold did not get on.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The fold of one slot's journal.
#[derive(Debug)]
pub struct Fold {
    parts: FoldParts,
    accounts: Accounts,
    position: Position,
    revision: u64,
    cache: Cache,
    interned: HashSet<Arc<str>>,
    progress: Arc<Progress>,
    /// The last batch that is folded. `None`: whatever there is.
    until: Option<Position>,
    trimmed_at: Instant,
    /// Rounds that were folded lately, oldest first.
    lately: VecDeque<(Instant, Position)>,
}

impl Fold {
    /// The fold of a slot, from where it was left.
    pub async fn open(parts: FoldParts, progress: Arc<Progress>, slot: u32) -> Result<Self, FoldError> {
        let (position, revision) = kept_position(parts.documents.as_ref(), slot).await?;
        progress.advance(position);
        let accounts = Accounts::new(Arc::clone(&parts.documents));
        Ok(Self {
            parts,
            accounts,
            position,
            revision,
            cache: Cache::default(),
            interned: HashSet::new(),
            progress,
            until: None,
            trimmed_at: Instant::now(),
            lately: VecDeque::new(),
        })
    }

    /// The last batch that is wholly folded.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Folds all that the journal has now: recovery, before anybody is answered.
    pub async fn catch_up(&mut self) -> Result<(), FoldError> {
        while self.round().await? {}
        Ok(())
    }

    /// Folds whatever is committed, until it is told to stop and all is folded.
    pub async fn run(&mut self, queue: &Queue, stop: CancellationToken) {
        let mut committed = queue.committed();
        let progress = Arc::clone(&self.progress);
        let mut retry = RETRY_FIRST;
        loop {
            let started = Instant::now();
            // Taken before the journal is read: what was acknowledged before it is in what is read.
            let (head, low_water) = (queue.head(), queue.low_water());
            match self.round().await {
                Ok(true) => {
                    if self.position >= head {
                        progress.own_until(low_water);
                    }
                    retry = RETRY_FIRST;
                    self.trim().await;
                }
                Ok(false) if stop.is_cancelled() => return,
                Ok(false) => {
                    self.trim().await;
                    tokio::select! {
                        _ = committed.changed() => {}
                        () = stop.cancelled() => {}
                    }
                    continue;
                }
                Err(failure) => {
                    // What was absorbed and not written must be absorbed again.
                    self.cache = Cache::default();
                    error!(error = %failure, "could not fold a round: {failure}");
                    if stop.is_cancelled() && retry >= RETRY_MAX {
                        // What is not folded now is folded at the next start, or by others.
                        return;
                    }
                    tokio::time::sleep(retry).await;
                    retry = retry.saturating_mul(2).min(RETRY_MAX);
                    continue;
                }
            }
            if self.position < head {
                continue;
            }
            let is_watched = self.parts.observers.iter().any(|observer| observer.is_watched());
            // Nobody says when another process waits, or has a watcher.
            let is_wanted = is_watched || self.parts.journal.is_shared();
            let pace = if is_wanted { PACE_WATCHED } else { PACE_ALONE };
            tokio::select! {
                () = tokio::time::sleep_until(started + pace) => {}
                () = progress.hurried() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Folds what is committed, up to a bound; `false`: there was nothing.
    async fn round(&mut self) -> Result<bool, FoldError> {
        let mut batches = self.parts.journal.read(self.position, ROUND_BYTES).await?;
        batches.retain(|batch| self.until.is_none_or(|until| batch.position <= until));
        let Some(last) = batches.last().map(|batch| batch.position) else { return Ok(false) };
        failpoint::reached(Point::FoldBeforeEvents);
        let mut round = Round::decode(&batches, &mut self.interned)?;
        self.write_rows(&mut round).await?;
        failpoint::reached(Point::FoldAfterEvents);
        self.write_rollups(&round).await?;
        failpoint::reached(Point::FoldAfterRollups);
        let changed = self.write_accounts(&round).await?;
        failpoint::reached(Point::FoldAfterAccounts);
        failpoint::reached(Point::FoldBeforeDone);
        self.move_to(last).await?;
        self.progress.advance(last);
        self.lately.push_back((Instant::now(), last));
        let folded =
            FoldedRound { positions: self.progress.folded(), accounts: self.cache.accounts(&changed) };
        for observer in &self.parts.observers {
            observer.folded(&folded);
        }
        self.cache.shrink(&changed);
        Ok(true)
    }

    /// Folds up to a batch that is known to be the last of a dead writer: not what a new owner of its slot has begun.
    pub async fn catch_up_to(&mut self, last: Position) -> Result<(), FoldError> {
        self.until = Some(last);
        while self.position < last && self.round().await? {}
        Ok(())
    }

    async fn move_to(&mut self, position: Position) -> Result<(), FoldError> {
        loop {
            let document = Document {
                kind: KIND,
                id: document_id(position.slot),
                revision: self.revision,
                body: prost::Message::encode_to_vec(&position),
                unique: Vec::new(),
                ranges: Vec::new(),
            };
            let replaced = self.parts.documents.replace_many(vec![document]).await?;
            if let Some(Replaced::Yes { revision }) = replaced.first() {
                self.revision = *revision;
                break;
            }
            // Somebody else folds this slot too.
            let (there, revision) = kept_position(self.parts.documents.as_ref(), position.slot).await?;
            self.revision = revision;
            if there >= position {
                break;
            }
        }
        self.position = position;
        Ok(())
    }

    /// Forgets batches that are folded and synced. What is left over after a crash is only folded again.
    async fn trim(&mut self) {
        if self.trimmed_at.elapsed() < TRIM {
            return;
        }
        self.trimmed_at = Instant::now();
        let through = self.forgettable();
        if through.batch == 0 {
            return;
        }
        let trimmed = async {
            self.parts.events.sync().await?;
            self.parts.journal.trim(through).await
        };
        if let Err(failure) = trimmed.await {
            error!(error = %failure, "could not trim the journal: {failure}");
        }
    }
}

impl Fold {
    /// The last batch that nobody will read again: not the sinks, not the reconciler, and not those of other processes, who
    /// have done with a batch some time after its fold.
    fn forgettable(&mut self) -> Position {
        let mut through = self.position;
        if self.parts.journal.is_shared() {
            through = Position { batch: 0, ..through };
            while let Some((folded_at, position)) = self.lately.front()
                && folded_at.elapsed() >= KEPT_FOR_OTHERS
            {
                through = *position;
                self.lately.pop_front();
            }
        } else {
            self.lately.clear();
        }
        let passed = self.parts.sinks.iter().map(|sink| sink.passed(through.slot));
        self.parts.cuts.bound(passed.fold(through, Position::min))
    }
}

/// How far the folds of those slots are, as they have written it.
pub async fn positions(documents: &dyn Documents, slots: &[u32]) -> Result<Positions, StoreError> {
    let ids = slots.iter().map(|slot| document_id(*slot)).collect::<Vec<_>>();
    let found = documents.get_many(KIND, &ids).await?;
    let positions = found.iter().flatten().map(decode_position);
    Ok(Positions { slots: positions.collect::<Result<_, _>>()? })
}

/// How far the fold of a slot is, with the revision of the document that says so.
async fn kept_position(documents: &dyn Documents, slot: u32) -> Result<(Position, u64), StoreError> {
    match documents.get(KIND, &document_id(slot)).await? {
        None => Ok((Position { slot, ..Position::default() }, 0)),
        Some(document) => Ok((decode_position(&document)?, document.revision)),
    }
}

fn document_id(slot: u32) -> String {
    format!("slot-{slot}")
}

fn decode_position(document: &Document) -> Result<Position, StoreError> {
    prost::Message::decode(document.body.as_slice())
        .map_err(|error| StoreError::corrupt("the position of the fold", error))
}
