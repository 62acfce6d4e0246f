//! The outbox: everything that happened goes to a broker, at least once, and nobody waits for it (promise I10).
//!
//! It is the journal itself, read once more behind the fold, with a cursor of its own in each slot. An announcement's id
//! is made of what it tells of, so one that is sent again after a crash is known again. The README of this room tells
//! what is sent and when.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::identity::directory::Directory;
use crate::ledger::accounts::Accounts;
use crate::ledger::events::Events;
use crate::ledger::fold::{FoldObserver, FoldedRound, Sink};
use crate::ledger::journal::Journal;
use crate::ledger::notices::Notices;
use crate::ledger::stamp::{Position, Positions};
use crate::ledger::trail::Trail;
use crate::live::publisher::Publisher;
use crate::store::Documents;
use crate::tasks::Tasks;
use crate::time::Clock;

mod alerts;
mod counter;
mod cursor;
mod follower;
mod left;
mod reading;
mod retry;
mod states;
mod telling;
mod usage;

use follower::{Follower, Until};

/// Alerts that are remembered as sent, so that each is sent about once; a forgotten one is sent again with its id.
const SENT_MAX: usize = 100_000;

/// What the outbox reads.
#[derive(Clone, Debug)]
pub struct OutboxParts {
    /// Its name: each sink has a cursor of its own.
    pub name: &'static str,
    /// The journals.
    pub journal: Arc<dyn Journal>,
    /// Rows, which say what was counted (rule H).
    pub events: Arc<dyn Events>,
    /// Accounts and cursors.
    pub documents: Arc<dyn Documents>,
    /// What happened beside the journal.
    pub notices: Arc<Notices>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Sends what happened to a broker.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// What all followers of slots have in common.
#[derive(Debug)]
struct Shared {
    parts: OutboxParts,
    accounts: Accounts,
    passed: Mutex<HashMap<u32, Position>>,
    sent: Mutex<HashSet<String>>,
}

/// Where announcements go, and who knows the plans that they speak of.
#[derive(Clone, Debug)]
struct Outlet {
    publisher: Arc<dyn Publisher>,
    directory: Arc<Directory>,
    trail: Arc<Trail>,
}

impl Outbox {
    /// An outbox that keeps everything until it knows its broker.
    #[must_use]
    pub fn new(parts: OutboxParts, tasks: &Tasks) -> Self {
        let accounts = Accounts::new(Arc::clone(&parts.documents));
        let shared = Shared { parts, accounts, passed: Mutex::default(), sent: Mutex::default() };
        Self { shared: Arc::new(shared), tasks: tasks.clone() }
    }

    /// Sends to that broker from now on: what this process folds in its own `slot`, what those who are gone have left
    /// unsent, and what happens beside the journal. What is sent of calls on the `trail` points to them.
    pub fn publish_to(
        &self,
        publisher: Arc<dyn Publisher>,
        directory: Arc<Directory>,
        slot: u32,
        steps: watch::Receiver<Positions>,
        trail: Arc<Trail>,
    ) {
        let outlet = Outlet { publisher, directory, trail };
        let stop = self.tasks.stopping();
        let own = Follower::open(&self.shared, &outlet, slot);
        self.tasks.spawn(own.run(steps.clone(), Until::Stopped, stop.clone()));
        self.tasks.spawn(left::run(Arc::clone(&self.shared), outlet.clone(), slot, steps, stop.clone()));
        self.tasks.spawn(telling::run(Arc::clone(&self.shared), outlet, stop));
    }
}

impl Sink for Outbox {
    fn passed(&self, slot: u32) -> Position {
        let passed = self.shared.passed().get(&slot).copied();
        // Until its cursor is read, nothing of the slot has been passed.
        passed.unwrap_or(Position { slot, ..Position::default() })
    }
}

/// Somebody waits for each round: what is live is told soon.
impl FoldObserver for Outbox {
    fn folded(&self, _: &FoldedRound<'_>) {}

    fn watched(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn is_watched(&self) -> bool {
        true
    }
}

impl Shared {
    fn passed(&self) -> MutexGuard<'_, HashMap<u32, Position>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_passed(&self, position: Position) {
        self.passed().insert(position.slot, position);
    }

    fn is_sent(&self, id: &str) -> bool {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn mark_sent(&self, ids: impl Iterator<Item = String>) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() > SENT_MAX {
            sent.clear();
        }
        sent.extend(ids);
    }
}

/// Waits, unless the server ends.
async fn pause(stop: &CancellationToken, length: Duration) {
    stop.run_until_cancelled(tokio::time::sleep(length)).await;
}
