//! The ledger at work: its parts put together, and what runs behind the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::gate::counters::Counters;
use crate::ledger::accounts::Accounts;
use crate::ledger::admission::Admission;
use crate::ledger::cuts::Cuts;
use crate::ledger::events::Events;
use crate::ledger::fold::{Fold, FoldError, FoldObserver, FoldParts};
use crate::ledger::journal::{Journal, JournalError};
use crate::ledger::loader::{Loader, LoaderParts};
use crate::ledger::progress::{Late, Progress};
use crate::ledger::queue::Queue;
use crate::ledger::reconciler::Reconciler;
use crate::ledger::rollups::Rollups;
use crate::ledger::stamp::Position;
use crate::ledger::sweeper::Sweeper;
use crate::ledger::wallets::Wallets;
use crate::store::Documents;
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

/// Between two looks for what ended by time, and for counters that are off.
const KEEP: Duration = Duration::from_secs(1);

/// What the ledger stands on.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The journals.
    pub journal: Arc<dyn Journal>,
    /// Rows.
    pub events: Arc<dyn Events>,
    /// Rollups.
    pub rollups: Arc<dyn Rollups>,
    /// Accounts.
    pub documents: Arc<dyn Documents>,
}

/// The ledger of one process.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Decides, and makes decisions durable.
    pub admission: Arc<Admission>,
    /// Wallets and grants.
    pub wallets: Arc<Wallets>,
    /// The accounts as they were folded.
    pub accounts: Accounts,
    /// Rows.
    pub events: Arc<dyn Events>,
    /// Rollups.
    pub rollups: Arc<dyn Rollups>,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
}

/// The ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal cannot be taken over.
    #[error("could not take the journal over")]
    Journal(#[from] JournalError),
    /// What the journal has could not be folded.
    #[error("could not recover the ledger")]
    Fold(#[from] FoldError),
}

impl Ledger {
    /// Takes a slot of the journal over, folds all that earlier owners left, and starts the work behind the answers. It ends
    /// with `tasks`: what was taken is committed and folded.
    pub async fn open(
        stores: Stores,
        counters: Arc<dyn Counters>,
        clock: Arc<dyn Clock>,
        observers: Vec<Arc<dyn FoldObserver>>,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let cuts = Arc::new(Cuts::default());
        let slot = stores.journal.take_slot(clock.now()).await?;
        let parts = FoldParts {
            journal: Arc::clone(&stores.journal),
            events: Arc::clone(&stores.events),
            rollups: Arc::clone(&stores.rollups),
            documents: Arc::clone(&stores.documents),
            observers,
            cuts: Arc::clone(&cuts),
        };
        let mut fold = Fold::open(parts, slot.slot).await?;
        fold.catch_up().await?;

        let queue = Arc::new(Queue::new(slot, Arc::clone(&clock), Arc::clone(&cuts)));
        let progress = Arc::new(Progress::at(slot));
        let accounts = Accounts::new(Arc::clone(&stores.documents));
        let parts = LoaderParts {
            counters: Arc::clone(&counters),
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            accounts: accounts.clone(),
            events: Arc::clone(&stores.events),
        };
        let loader = Arc::new(Loader::new(parts.clone()));
        let admission = Arc::new(Admission::new(
            Arc::clone(&counters),
            Arc::clone(&queue),
            Arc::clone(&stores.events),
            Arc::clone(&loader),
        ));
        let keeper = Keeper {
            sweeper: Sweeper::new(parts.clone(), Arc::clone(&loader)),
            reconciler: Reconciler::new(parts, Arc::clone(&loader), cuts),
        };
        start(
            tasks,
            Working { queue: Arc::clone(&queue), progress: Arc::clone(&progress), fold, keeper },
            &stores,
            counters,
        );
        Ok(Self {
            wallets: Arc::new(Wallets::new(Arc::clone(&admission), loader)),
            admission,
            accounts,
            events: stores.events,
            rollups: stores.rollups,
            queue,
            progress,
            clock,
        })
    }

    /// Waits until all that was acknowledged before is folded.
    pub async fn fresh(&self) -> Result<(), Late> {
        self.progress.reach(self.queue.head()).await
    }

    /// Waits until all up to a position is folded.
    pub async fn reach(&self, position: Position) -> Result<(), Late> {
        self.progress.reach(position).await
    }

    /// The last batch that is wholly folded.
    #[must_use]
    pub fn folded(&self) -> Position {
        self.progress.folded()
    }

    /// A time before which all that was acknowledged is folded. It is asked for before the ledger is read.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        let low_water = self.queue.low_water();
        if self.progress.folded() >= self.queue.head() {
            low_water
        } else {
            self.progress.as_of().min(low_water)
        }
    }

    /// Is cancelled when the journal could not be written: the program must end.
    #[must_use]
    pub fn failed(&self) -> CancellationToken {
        self.queue.failed()
    }

    /// The server's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What runs behind the answers.
#[derive(Debug)]
struct Working {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    fold: Fold,
    keeper: Keeper,
}

/// Work by time. One after the other: what one posts must not look like a difference to the other.
#[derive(Debug)]
struct Keeper {
    sweeper: Sweeper,
    reconciler: Reconciler,
}

impl Keeper {
    async fn keep(&self) {
        if let Err(failure) = self.sweeper.sweep().await {
            error!(error = %failure, "could not post what ended by time: {failure}");
        }
        if let Err(failure) = self.reconciler.reconcile().await {
            error!(error = %failure, "could not compare the counters with the ledger: {failure}");
        }
    }
}

fn start(tasks: &Tasks, working: Working, stores: &Stores, counters: Arc<dyn Counters>) {
    let Working { queue, progress, mut fold, keeper } = working;
    let stopping = tasks.stopping();
    let all_committed = CancellationToken::new();

    let closing = Arc::clone(&queue);
    let stop = stopping.clone();
    tasks.spawn(async move {
        stop.cancelled().await;
        closing.close();
    });

    let (committing, journal, committed) =
        (Arc::clone(&queue), Arc::clone(&stores.journal), all_committed.clone());
    tasks.spawn(async move {
        committing.run(journal.as_ref(), counters.as_ref()).await;
        committed.cancel();
    });

    tasks.spawn(async move { fold.run(&queue, &progress, all_committed).await });

    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEEP) => keeper.keep().await,
                () = stopping.cancelled() => return,
            }
        }
    });
}
