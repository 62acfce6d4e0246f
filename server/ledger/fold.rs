//! The fold: reads the journal in order and brings events, rollups and accounts up to date (rules F, G, H, J).
//!
//! It may be killed anywhere: rows are kept once by their keys, documents know what they have absorbed, and only a round that
//! is wholly written moves the position on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::failpoint::{self, Point};
use crate::ledger::account::Account;
use crate::ledger::accounts::Accounts;
use crate::ledger::cuts::Cuts;
use crate::ledger::events::Events;
use crate::ledger::journal::{Journal, JournalError};
use crate::ledger::progress::Progress;
use crate::ledger::queue::Queue;
use crate::ledger::rollups::Rollups;
use crate::ledger::stamp::Position;
use crate::store::{Document, Documents, StoreError};

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
    /// Tenants that the reconciler looks at.
    pub cuts: Arc<Cuts>,
}

/// Learns of what is wholly folded (rule J).
pub trait FoldObserver: Send + Sync + std::fmt::Debug {
    /// A round is wholly folded.
    fn folded(&self, round: &FoldedRound<'_>);

    /// Whether somebody waits to see each round soon.
    fn is_watched(&self) -> bool;
}

/// A round that is wholly folded.
#[derive(Debug)]
pub struct FoldedRound<'a> {
    /// The last batch of it.
    pub position: Position,
    /// The accounts that it changed, as they are now.
    pub accounts: Vec<(&'a Arc<str>, &'a Account)>,
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
    trimmed_at: Instant,
}

impl Fold {
    /// The fold of a slot, from where it was left.
    pub async fn open(parts: FoldParts, slot: u32) -> Result<Self, FoldError> {
        let kept = parts.documents.get(KIND, &document_id(slot)).await?;
        let (position, revision) = match kept {
            None => (Position { slot, ..Position::default() }, 0),
            Some(document) => (decode_position(&document)?, document.revision),
        };
        let accounts = Accounts::new(Arc::clone(&parts.documents));
        Ok(Self {
            parts,
            accounts,
            position,
            revision,
            cache: Cache::default(),
            interned: HashSet::new(),
            trimmed_at: Instant::now(),
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
    pub async fn run(&mut self, queue: &Queue, progress: &Progress, stop: CancellationToken) {
        let mut committed = queue.committed();
        let mut retry = RETRY_FIRST;
        loop {
            let started = Instant::now();
            // Taken before the journal is read: what was acknowledged before it is in what is read.
            let (head, low_water) = (queue.head(), queue.low_water());
            match self.round().await {
                Ok(true) => {
                    let as_of = if self.position >= head { low_water } else { progress.as_of() };
                    progress.advance(self.position, as_of);
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
                    tokio::time::sleep(retry).await;
                    retry = retry.saturating_mul(2).min(RETRY_MAX);
                    continue;
                }
            }
            if self.position < head {
                continue;
            }
            let is_watched = self.parts.observers.iter().any(|observer| observer.is_watched());
            let pace = if is_watched { PACE_WATCHED } else { PACE_ALONE };
            tokio::select! {
                () = tokio::time::sleep_until(started + pace) => {}
                () = progress.hurried() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Folds what is committed, up to a bound; `false`: there was nothing.
    async fn round(&mut self) -> Result<bool, FoldError> {
        let batches = self.parts.journal.read(self.position, ROUND_BYTES).await?;
        let Some(last) = batches.last().map(|batch| batch.position) else { return Ok(false) };
        failpoint::reached(Point::FoldBeforeEvents);
        let mut round = Round::decode(&batches, &mut self.interned)?;
        self.write_rows(&mut round).await?;
        failpoint::reached(Point::FoldAfterEvents);
        self.write_rollups(&round).await?;
        failpoint::reached(Point::FoldAfterRollups);
        // Before the accounts: whoever reads one knows by its position which of these are in it.
        self.parts.cuts.observe(&round.postings());
        let changed = self.write_accounts(&round).await?;
        failpoint::reached(Point::FoldAfterAccounts);
        failpoint::reached(Point::FoldBeforeDone);
        self.move_to(last).await?;
        let folded = FoldedRound { position: last, accounts: self.cache.accounts(&changed) };
        for observer in &self.parts.observers {
            observer.folded(&folded);
        }
        self.cache.shrink(&changed);
        Ok(true)
    }

    async fn move_to(&mut self, position: Position) -> Result<(), FoldError> {
        let document = Document {
            kind: KIND,
            id: document_id(position.slot),
            revision: self.revision,
            body: prost::Message::encode_to_vec(&position),
            unique: Vec::new(),
            ranges: Vec::new(),
        };
        let replaced = self.parts.documents.replace_many(vec![document]).await?;
        if let Some(crate::store::Replaced::Yes { revision }) = replaced.first() {
            self.revision = *revision;
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
        let trimmed = async {
            self.parts.events.sync().await?;
            self.parts.journal.trim(self.position).await
        };
        if let Err(failure) = trimmed.await {
            error!(error = %failure, "could not trim the journal: {failure}");
        }
    }
}

fn document_id(slot: u32) -> String {
    format!("slot-{slot}")
}

fn decode_position(document: &Document) -> Result<Position, StoreError> {
    prost::Message::decode(document.body.as_slice())
        .map_err(|error| StoreError::corrupt("the position of the fold", error))
}
