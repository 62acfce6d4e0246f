//! How far the folds of all slots are, and how to wait for them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::fault::{Fault, Reason};
use crate::ledger::stamp::{Position, Positions};
use crate::time::Timestamp;

/// How long anybody waits for the fold.
pub const FOLD_PATIENCE: Duration = Duration::from_secs(10);

/// The progress through the journals of all slots, as far as this process knows.
#[derive(Debug)]
pub struct Progress {
    folded: watch::Sender<Positions>,
    /// A time before which all that this process acknowledged was folded when its last round ended.
    own_as_of: AtomicI64,
    /// The same of all other writers, when they were looked at last.
    others_as_of: AtomicI64,
    hurry_fold: Notify,
    hurry_look: Notify,
}

/// The fold did not get there in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger did not catch up in {} seconds", FOLD_PATIENCE.as_secs())]
pub struct Late;

impl Fault for Late {
    fn reason(&self) -> Reason {
        Reason::FreshnessTimeout
    }
}

impl Progress {
    /// Folds that have folded up to `positions`.
    #[must_use]
    pub fn at(positions: Positions) -> Self {
        Self {
            folded: watch::Sender::new(positions),
            own_as_of: AtomicI64::new(0),
            others_as_of: AtomicI64::new(i64::MAX),
            hurry_fold: Notify::new(),
            hurry_look: Notify::new(),
        }
    }

    /// A time before which all that was acknowledged was folded, by this process when its last round ended, and by the
    /// others when they were looked at last.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        Timestamp::from_micros(self.own_as_of.load(Ordering::Acquire)).min(self.others_as_of())
    }

    /// A time before which all that others acknowledged was folded when they were looked at last. There may be none.
    #[must_use]
    pub fn others_as_of(&self) -> Timestamp {
        Timestamp::from_micros(self.others_as_of.load(Ordering::Acquire))
    }

    /// The last batch of each slot that is wholly folded.
    #[must_use]
    pub fn folded(&self) -> Positions {
        self.folded.borrow().clone()
    }

    /// The last batch of one slot that is wholly folded.
    #[must_use]
    pub fn folded_of(&self, slot: u32) -> Position {
        self.folded.borrow().of(slot)
    }

    /// Tells of each step of any fold.
    #[must_use]
    pub fn steps(&self) -> watch::Receiver<Positions> {
        self.folded.subscribe()
    }

    /// Says that all of one slot up to `position` is wholly folded; answers whether that is new.
    pub fn advance(&self, position: Position) -> bool {
        self.folded.send_if_modified(|positions| positions.advance(position))
    }

    /// Says that all that this process acknowledged before `as_of` is folded.
    pub fn own_until(&self, as_of: Timestamp) {
        self.own_as_of.store(as_of.micros(), Ordering::Release);
    }

    /// Says that all that others acknowledged before `as_of` is folded.
    pub fn others_until(&self, as_of: Timestamp) {
        self.others_as_of.store(as_of.micros(), Ordering::Release);
    }

    /// Waits until the folds have passed all of `heads`, and makes them hurry.
    pub async fn reach(&self, heads: &[Position]) -> Result<(), Late> {
        let mut folded = self.folded.subscribe();
        if folded.borrow_and_update().have_passed(heads) {
            return Ok(());
        }
        self.hurry_fold.notify_one();
        self.hurry_look.notify_one();
        let passed = folded.wait_for(|positions| positions.have_passed(heads));
        match tokio::time::timeout(FOLD_PATIENCE, passed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Late),
        }
    }

    /// Returns when somebody waits for the fold.
    pub async fn hurried(&self) {
        self.hurry_fold.notified().await;
    }

    /// Returns when somebody waits, for those who look at the folds of others.
    pub async fn hurried_to_look(&self) {
        self.hurry_look.notified().await;
    }
}
