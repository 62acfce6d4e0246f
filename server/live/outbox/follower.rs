//! Follows one slot: reads what is folded, sends it, and keeps its cursor once the broker has all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span, error, info, warn};

use super::cursor::Cursor;
use super::retry::Retry;
use super::{Outlet, Shared, counter, pause, reading, states};
use crate::ledger::journal::{Batch, JournalError};
use crate::ledger::stamp::{Position, Positions};
use crate::live::announcement::Announcement;
use crate::live::publisher::PublishError;
use crate::store::StoreError;
use crate::time::DAY;

/// Bytes of records that are sent at once, about.
const STEP_BYTES: usize = 256 * 1024;
/// Between two keepings of the cursor, and so between two states of a tenant.
const CHECKPOINT: Duration = Duration::from_secs(1);
/// How long a server that ends waits for a further round of the fold.
const LAST_ROUND: Duration = Duration::from_millis(300);
/// How long what a broker does not take is kept in the journal, in microseconds (rule F).
const KEPT: i64 = DAY;
/// Between two looks for batches that are older.
const LET_GO: Duration = Duration::from_secs(60);

/// Follows one slot.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
    outlet: Outlet,
    slot: u32,
    cursor: Option<Cursor>,
    /// The last batch that was sent; the cursor is at most a second behind.
    sent: Position,
    /// Tenants whose states have changed since they were sent.
    changed: HashSet<Arc<str>>,
    checkpoint_at: Instant,
    let_go_at: Instant,
}

/// When a slot is followed no more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// When the server has ended.
    Stopped,
    /// When this batch is sent.
    Sent(Position),
}

/// It did not get on.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboxError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker does not take it.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Follower {
    pub(super) fn open(shared: &Arc<Shared>, outlet: &Outlet, slot: u32) -> Self {
        let now = Instant::now();
        Self {
            shared: Arc::clone(shared),
            outlet: outlet.clone(),
            slot,
            cursor: None,
            sent: Position { slot, ..Position::default() },
            changed: HashSet::new(),
            checkpoint_at: now,
            let_go_at: now,
        }
    }

    /// Sends whatever is folded. What is left when the server ends is sent by who looks at the slot next.
    pub(super) async fn run(
        mut self,
        mut steps: watch::Receiver<Positions>,
        until: Until,
        stop: CancellationToken,
    ) {
        let mut retry = Retry::default();
        loop {
            let folded = steps.borrow_and_update().of(self.slot);
            match self.catch_up(folded).await {
                Ok(()) => {
                    if let Some(length) = retry.went_well() {
                        let (slot, seconds) = (self.slot, length.as_secs());
                        info!(slot, "announcements of slot {slot} go on, after {seconds} s");
                    }
                    let is_done = matches!(until, Until::Sent(last) if self.sent >= last);
                    if is_done || !self.wait(&mut steps, &stop).await {
                        return self.finish().await;
                    }
                }
                Err(failure) => {
                    let again = retry.failed();
                    if again.speak {
                        let slot = self.slot;
                        warn!(error = %failure, slot, "announcements of slot {slot} wait: {failure}");
                    }
                    if stop.is_cancelled() {
                        return;
                    }
                    self.let_go().await;
                    pause(&stop, again.wait).await;
                }
            }
        }
    }

    async fn finish(mut self) {
        if let Err(failure) = self.checkpoint().await {
            warn!(error = %failure, slot = self.slot, "the last announcements will be sent again: {failure}");
        }
    }

    /// Waits for more to do; `false`: all is done.
    async fn wait(&self, steps: &mut watch::Receiver<Positions>, stop: &CancellationToken) -> bool {
        let step = steps.wait_for(|positions| positions.of(self.slot) > self.sent);
        if stop.is_cancelled() {
            return matches!(tokio::time::timeout(LAST_ROUND, step).await, Ok(Ok(_)));
        }
        let is_behind = self.cursor.as_ref().is_none_or(|cursor| cursor.position < self.sent);
        tokio::select! {
            step = step => step.is_ok(),
            () = tokio::time::sleep_until(self.checkpoint_at), if is_behind => true,
            () = stop.cancelled() => true,
        }
    }

    /// Sends all up to `through`, and keeps the cursor where it is time to.
    async fn catch_up(&mut self, through: Position) -> Result<(), OutboxError> {
        if self.cursor.is_none() {
            let (documents, name) = (&*self.shared.parts.documents, self.shared.parts.name);
            let cursor = Cursor::read(documents, name, self.slot).await?;
            self.sent = cursor.position;
            self.shared.set_passed(cursor.position);
            self.cursor = Some(cursor);
        }
        while self.sent < through {
            self.step(through).await?;
            if Instant::now() >= self.checkpoint_at {
                self.checkpoint().await?;
            }
        }
        if Instant::now() >= self.checkpoint_at {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Sends some batches.
    async fn step(&mut self, through: Position) -> Result<(), OutboxError> {
        let mut batches = self.shared.parts.journal.read(self.sent, STEP_BYTES).await?;
        batches.retain(|batch| batch.position <= through);
        let Some(last) = batches.last().map(|batch| batch.position) else {
            // An epoch that has no batch yet.
            self.sent = through;
            return Ok(());
        };
        self.tell_gap(&batches);
        let step = reading::read(&self.shared, &self.outlet, &batches).await?;
        self.publish(&step.announcements, last).await?;
        counter::sent(&step.announcements);
        self.shared.mark_sent(step.alerts.into_iter());
        self.changed.extend(step.tenants);
        self.sent = last;
        Ok(())
    }

    /// Sends the announcements of all batches up to `last`: work for many calls, which its span points to.
    async fn publish(&self, announcements: &[Announcement], last: Position) -> Result<(), PublishError> {
        let span = debug_span!(target: "tollgate::broker", "announce", announcements = announcements.len());
        self.outlet.trail.link(&span, last);
        self.outlet.publisher.publish(announcements).instrument(span).await?;
        self.outlet.trail.forget(last);
        Ok(())
    }

    /// Sends the states of those whose batches were sent, then keeps the cursor: so a crash repeats both, and loses neither.
    async fn checkpoint(&mut self) -> Result<(), OutboxError> {
        self.checkpoint_at = Instant::now() + CHECKPOINT;
        let tenants: Vec<_> = self.changed.iter().cloned().collect();
        states::send(&self.shared, &self.outlet, &tenants).await?;
        self.changed.clear();
        if let Some(cursor) = &mut self.cursor {
            cursor.advance(&*self.shared.parts.documents, self.sent).await?;
            self.shared.set_passed(cursor.position);
        }
        Ok(())
    }

    /// Says what is missing: batches that are no longer in the journal. Their calls are in the ledger.
    fn tell_gap(&self, batches: &[Batch]) {
        let (Some(first), Some(cursor)) = (batches.first(), &self.cursor) else { return };
        let next =
            if first.position.epoch == self.sent.epoch { self.sent.batch.saturating_add(1) } else { 1 };
        if cursor.revision > 0 && first.position.batch > next {
            let (from, to) = (self.sent, first.position);
            error!(
                slot = self.slot,
                ?from,
                ?to,
                "what was folded between {from:?} and {to:?} is not announced: it was kept for a day, and the broker was away for longer"
            );
            counter::lost();
        }
    }

    /// Lets the journal forget batches that are older than a day. A failure is one of the journal, which the fold tells of.
    async fn let_go(&mut self) {
        if Instant::now() < self.let_go_at {
            return;
        }
        self.let_go_at = Instant::now() + LET_GO;
        let end = self.shared.parts.clock.now().minus(KEPT);
        let Some(mut passed) = self.cursor.as_ref().map(|cursor| cursor.position) else { return };
        loop {
            let Ok(batches) = self.shared.parts.journal.read(passed, STEP_BYTES).await else { return };
            let old = batches.iter().take_while(|batch| reading::is_older(batch, end));
            let Some(last) = old.last().map(|batch| batch.position) else { return };
            passed = last;
            self.shared.set_passed(passed);
        }
    }
}
