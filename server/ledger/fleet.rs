//! The other writers of the journals: this process tells them that it lives, follows their folds, and takes up what the dead
//! leave behind (rules A, B, J).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::failpoint::{self, Mutant};
use crate::ledger::journal::JournalError;
use crate::ledger::queue::Queue;
use crate::ledger::slots::Slots;

mod deaths;
mod followed;

pub use deaths::{Deaths, seal_silent};
pub use followed::Followed;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// A writer that gave no sign of life for this long, while the store could be asked, is taken for dead.
const LEASE: Duration = Duration::from_secs(5);

/// When this process could last say that it lives. Who could not judges nobody: the others may be as well as it is.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    fn felt(&self) {
        *self.lock() = Some(Instant::now());
    }

    fn is_fresh(&self) -> bool {
        self.lock().is_some_and(|at| at.elapsed() <= BEAT.saturating_mul(2))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the others that this process lives, until `stopping`. If its slot was sealed, it must end.
pub async fn live(slots: Arc<Slots>, queue: Arc<Queue>, pulse: Arc<Pulse>, stopping: CancellationToken) {
    loop {
        match slots.journal().beat(slots.own(), slots.own_low_water()).await {
            Ok(()) => pulse.felt(),
            Err(JournalError::Taken(_)) if failpoint::is(Mutant::NoSeal) => {}
            Err(JournalError::Taken(_) | JournalError::NoSlot | JournalError::Spool(_)) => {
                error!("another process has taken this one for dead, and its slot of the journal over");
                return queue.fail();
            }
            Err(failure @ JournalError::Store(_)) => {
                warn!(error = %failure, "could not say that this process lives: {failure}");
            }
        }
        if stopping.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_none() {
            return;
        }
    }
}
