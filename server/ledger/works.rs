//! The ledger at work: its parts put together, and what runs behind the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, warn};

use crate::gate::counters::Counters;
use crate::ledger::accounts::Accounts;
use crate::ledger::admission::Admission;
use crate::ledger::cuts::Cuts;
use crate::ledger::events::Events;
use crate::ledger::fleet::{self, Deaths, Followed, Pulse};
use crate::ledger::fold::{Fold, FoldError, FoldObserver, FoldParts, Sink};
use crate::ledger::journal::{Journal, JournalError};
use crate::ledger::loader::{LoadError, Loader, LoaderParts};
use crate::ledger::progress::{Late, Progress};
use crate::ledger::queue::Queue;
use crate::ledger::reconciler::Reconciler;
use crate::ledger::rollups::Rollups;
use crate::ledger::slots::{CLOCK_ERROR, Slots};
use crate::ledger::spool::Spool;
use crate::ledger::stamp::{Position, Positions};
use crate::ledger::sweeper::Sweeper;
use crate::ledger::trail::Trail;
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
        let slot = take_slot(stores.journal.as_ref(), counters.as_ref()).await?;
        let queue = Arc::new(Queue::new(slot, Arc::clone(&counters), Arc::clone(&cuts)));
        let slots = Arc::new(Slots::new(slot, Arc::clone(&stores.journal), Arc::clone(&queue)));
        let (pulse, all_folded) = (Arc::new(Pulse::default()), CancellationToken::new());
        // Whatever ends this start, or the fold, ends the signs of life too.
        let ends = all_folded.clone().drop_guard();
        if stores.journal.is_shared() {
            let (slots, queue, pulse) = (Arc::clone(&slots), Arc::clone(&queue), Arc::clone(&pulse));
            tasks.spawn(fleet::live(slots, queue, pulse, all_folded.clone()));
        }

        let fold_parts = fold_parts(&stores, followers, &cuts);
        let progress = Arc::new(Progress::at(Positions::default()));
        let mut fold = Fold::open(fold_parts.clone(), Arc::clone(&progress), slot.slot).await?;
        fold.catch_up().await?;
        progress.advance(slot);
        let mut deaths = Deaths::new(fold_parts.clone(), Arc::clone(&slots), Arc::clone(&progress), pulse);
        deaths.recover().await?;
        let followed =
            Followed::new(fold_parts, Arc::clone(&slots), Arc::clone(&progress), Arc::clone(&clock));
        let accounts = Accounts::new(Arc::clone(&stores.documents));
        let parts = LoaderParts {
            counters: Arc::clone(&counters),
            queue: Arc::clone(&queue),
            slots: Arc::clone(&slots),
            progress: Arc::clone(&progress),
            accounts: accounts.clone(),
            events: Arc::clone(&stores.events),
            cuts,
        };
        let loader = Arc::new(Loader::new(parts.clone()));
        let events = || Arc::clone(&stores.events);
        let admission =
            Admission::new(Arc::clone(&counters), Arc::clone(&queue), events(), Arc::clone(&loader));
        let admission = Arc::new(admission);
        start(
            tasks,
            Working {
                queue: Arc::clone(&queue),
                slots: Arc::clone(&slots),
                fold,
                deaths,
                followed,
                ends,
                keeper: Keeper::new(parts, &loader),
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

    /// Which traced calls stand in the batches of this process.
    #[must_use]
    pub fn trail(&self) -> Arc<Trail> {
        self.queue.trail()
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
    deaths: Deaths,
    followed: Followed,
    ends: DropGuard,
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
    fn new(parts: LoaderParts, loader: &Arc<Loader>) -> Self {
        Self {
            sweeper: Sweeper::new(parts.clone(), Arc::clone(loader)),
            reconciler: Reconciler::new(parts, Arc::clone(loader)),
        }
    }

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
    let Working { queue, slots, mut fold, deaths, followed, ends, keeper, journal, spool, counters } =
        working;
    let stopping = tasks.stopping();
    let all_committed = CancellationToken::new();

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
        // The others must hear of this process, and it of them, until its last batch is folded.
        let all_folded = CancellationToken::new();
        tasks.spawn(followed.run(all_folded.clone()));
        tasks.spawn(deaths.run(all_folded.clone()));
        let folded = all_folded.drop_guard();
        tasks.spawn(finish(fold, queue, slots, journal, all_committed, (ends, folded)));
    } else {
        tasks.spawn(async move {
            fold.run(&queue, all_committed).await;
            drop(ends);
        });
    }

    tasks.spawn(async move {
        loop {
            let kept = async {
                tokio::time::sleep(KEEP).await;
                keeper.keep().await;
            };
            if stopping.run_until_cancelled(kept).await.is_none() {
                return;
            }
        }
    });
}

/// Folds to the end, and gives the slot back; the guards end what goes on until then.
async fn finish(
    mut fold: Fold,
    queue: Arc<Queue>,
    slots: Arc<Slots>,
    journal: Arc<dyn Journal>,
    all_committed: CancellationToken,
    _until_then: (DropGuard, DropGuard),
) {
    fold.run(&queue, all_committed).await;
    if !queue.failed().is_cancelled() {
        give_back(journal.as_ref(), &slots, &mut fold).await;
    }
}

/// Takes a slot; where every one has an owner, those of the silent are sealed first.
async fn take_slot(journal: &dyn Journal, counters: &dyn Counters) -> Result<Position, JournalError> {
    // No decision is older than this, also by a clock that is known a little less than exactly.
    let low_water = || counters.now().minus(CLOCK_ERROR);
    match journal.take_slot(low_water()).await {
        Err(JournalError::NoSlot) => {
            fleet::seal_silent(journal).await?;
            journal.take_slot(low_water()).await
        }
        taken => taken,
    }
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
