//! The ledger at work: its parts put together, and what runs behind the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::gate::counters::Counters;
use crate::ledger::accounts::Accounts;
use crate::ledger::admission::Admission;
use crate::ledger::cuts::Cuts;
use crate::ledger::events::Events;
use crate::ledger::fleet::{self, Fleet};
use crate::ledger::fold::{Fold, FoldError, FoldObserver, FoldParts, Sink};
use crate::ledger::journal::{Journal, JournalError};
use crate::ledger::loader::{LoadError, Loader, LoaderParts};
use crate::ledger::progress::{Late, Progress};
use crate::ledger::queue::Queue;
use crate::ledger::reconciler::Reconciler;
use crate::ledger::rollups::Rollups;
use crate::ledger::slots::Slots;
use crate::ledger::spool::Spool;
use crate::ledger::stamp::{Position, Positions};
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
    /// Where batches wait while the journals cannot be reached. `None`: nowhere, and a journal that fails ends the process.
    pub spool: Option<Arc<dyn Spool>>,
    /// Rows.
    pub events: Arc<dyn Events>,
    /// Rollups.
    pub rollups: Arc<dyn Rollups>,
    /// Accounts.
    pub documents: Arc<dyn Documents>,
}

/// Those who follow what the ledger does.
#[derive(Clone, Debug, Default)]
pub struct Followers {
    /// Want to know what was folded.
    pub observers: Vec<Arc<dyn FoldObserver>>,
    /// Read batches after they were folded.
    pub sinks: Vec<Arc<dyn Sink>>,
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
    loader: Arc<Loader>,
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
        followers: Followers,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let cuts = Arc::new(Cuts::default());
        let slot = stores.journal.take_slot(clock.now()).await?;
        let fold_parts = fold_parts(&stores, followers, &cuts);
        let progress = Arc::new(Progress::at(Positions::default()));
        let mut fold = Fold::open(fold_parts.clone(), Arc::clone(&progress), slot.slot).await?;
        fold.catch_up().await?;
        progress.advance(slot);

        let queue = Arc::new(Queue::new(slot, Arc::clone(&counters), Arc::clone(&cuts)));
        let slots = Arc::new(Slots::new(slot, Arc::clone(&stores.journal), Arc::clone(&queue)));
        let mut fleet = Fleet::new(fold_parts, Arc::clone(&slots), Arc::clone(&progress));
        fleet.recover().await?;
        let accounts = Accounts::new(Arc::clone(&stores.documents));
        let parts = LoaderParts {
            counters: Arc::clone(&counters),
            queue: Arc::clone(&queue),
            slots: Arc::clone(&slots),
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
            Working {
                queue: Arc::clone(&queue),
                slots: Arc::clone(&slots),
                fold,
                fleet,
                keeper,
                journal: Arc::clone(&stores.journal),
                spool: stores.spool,
                counters,
            },
        );
        Ok(Self {
            wallets: Arc::new(Wallets::new(Arc::clone(&admission), Arc::clone(&loader))),
            loader,
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
    pub async fn fresh(&self) -> Result<(), LoadError> {
        self.loader.settled().await
    }

    /// Waits until all up to these positions is folded.
    pub async fn reach(&self, positions: &[Position]) -> Result<(), Late> {
        self.progress.reach(positions).await
    }

    /// The last batch of each slot that is wholly folded.
    #[must_use]
    pub fn folded(&self) -> Positions {
        self.progress.folded()
    }

    /// The slot of the journal that this process writes.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.queue.head().slot
    }

    /// Tells of each step of the folds of all slots.
    #[must_use]
    pub fn steps(&self) -> watch::Receiver<Positions> {
        self.progress.steps()
    }

    /// A time before which all that was acknowledged is folded. It is asked for before the ledger is read.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        let (low_water, head) = (self.queue.low_water(), self.queue.head());
        if self.progress.folded_of(head.slot) >= head {
            low_water.min(self.progress.others_as_of())
        } else {
            low_water.min(self.progress.as_of())
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

fn fold_parts(stores: &Stores, followers: Followers, cuts: &Arc<Cuts>) -> FoldParts {
    FoldParts {
        journal: Arc::clone(&stores.journal),
        events: Arc::clone(&stores.events),
        rollups: Arc::clone(&stores.rollups),
        documents: Arc::clone(&stores.documents),
        observers: followers.observers,
        cuts: Arc::clone(cuts),
        sinks: followers.sinks,
    }
}

/// What runs behind the answers.
#[derive(Debug)]
struct Working {
    queue: Arc<Queue>,
    slots: Arc<Slots>,
    fold: Fold,
    fleet: Fleet,
    keeper: Keeper,
    journal: Arc<dyn Journal>,
    spool: Option<Arc<dyn Spool>>,
    counters: Arc<dyn Counters>,
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

fn start(tasks: &Tasks, working: Working) {
    let Working { queue, slots, mut fold, fleet, keeper, journal, spool, counters } = working;
    let stopping = tasks.stopping();
    let (all_committed, all_folded) = (CancellationToken::new(), CancellationToken::new());

    let (closing, stop) = (Arc::clone(&queue), stopping.clone());
    tasks.spawn(async move {
        stop.cancelled().await;
        closing.close();
    });

    let (committing, committed) = (Arc::clone(&queue), all_committed.clone());
    let committed_journal = Arc::clone(&journal);
    tasks.spawn(async move {
        committing.run(committed_journal.as_ref(), counters.as_ref(), spool.as_deref()).await;
        committed.cancel();
    });

    if journal.is_shared() {
        // The others must hear of this process until its last batch is folded.
        tasks.spawn(fleet::live(Arc::clone(&slots), Arc::clone(&queue), all_folded.clone()));
        tasks.spawn(fleet.run(all_folded.clone()));
    }

    tasks.spawn(async move {
        fold.run(&queue, all_committed).await;
        if journal.is_shared() && !queue.failed().is_cancelled() {
            give_back(journal.as_ref(), &slots, &mut fold).await;
        }
        all_folded.cancel();
    });

    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEEP) => keeper.keep().await,
                () = stopping.cancelled() => return,
            }
        }
    });
}

/// Seals the own epoch, so that nobody waits for this process any longer.
async fn give_back(journal: &dyn Journal, slots: &Slots, fold: &mut Fold) {
    let given_back = async {
        journal.seal(slots.own()).await?;
        fold.catch_up().await
    };
    if let Err(failure) = given_back.await {
        warn!(error = %failure, "could not give the slot of the journal back: {failure}; others will take it");
    }
}
