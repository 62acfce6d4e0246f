//! How far the fold is, and how to wait for it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::fault::{Fault, Reason};
use crate::ledger::stamp::Position;
use crate::time::Timestamp;

/// How long anybody waits for the fold.
pub const FOLD_PATIENCE: Duration = Duration::from_secs(10);

/// The fold's progress through this slot's journal.
#[derive(Debug)]
pub struct Progress {
    folded: watch::Sender<Position>,
    as_of: AtomicI64,
    hurry: Notify,
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
    /// A fold that has folded up to `position`.
    #[must_use]
    pub fn at(position: Position) -> Self {
        Self { folded: watch::Sender::new(position), as_of: AtomicI64::new(0), hurry: Notify::new() }
    }

    /// A time before which all that was acknowledged was folded when the last round ended.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        Timestamp::from_micros(self.as_of.load(Ordering::Acquire))
    }

    /// The last batch that is wholly folded.
    #[must_use]
    pub fn folded(&self) -> Position {
        *self.folded.borrow()
    }

    /// Says that all up to `position` is wholly folded, and with it all that was acknowledged before `as_of`.
    pub fn advance(&self, position: Position, as_of: Timestamp) {
        self.as_of.store(as_of.micros(), Ordering::Release);
        self.folded.send_replace(position);
    }

    /// Waits until the fold has passed `position`, and makes it hurry.
    pub async fn reach(&self, position: Position) -> Result<(), Late> {
        let mut folded = self.folded.subscribe();
        if *folded.borrow_and_update() >= position {
            return Ok(());
        }
        self.hurry.notify_one();
        let passed = folded.wait_for(|at| *at >= position);
        match tokio::time::timeout(FOLD_PATIENCE, passed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Late),
        }
    }

    /// Returns when somebody waits.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }
}
