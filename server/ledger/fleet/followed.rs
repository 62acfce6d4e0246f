//! How far the folds of the others are, for those who wait and for those who watch (rule J).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::ledger::accounts::Accounts;
use crate::ledger::fold::{self, FoldError, FoldParts, FoldedRound};
use crate::ledger::progress::Progress;
use crate::ledger::slots::{CLOCK_ERROR, Other, Slots};
use crate::ledger::stamp::{Position, Positions};
use crate::time::{Clock, Timestamp};

/// Between two looks at the others.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks while somebody waits.
const LOOK_HURRIED: Duration = Duration::from_millis(20);
/// Watched accounts that are read at once.
const ACCOUNTS_MAX: usize = 1_000;

/// The folds of the others.
#[derive(Debug)]
pub struct Followed {
    parts: FoldParts,
    accounts: Accounts,
    slots: Arc<Slots>,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    claim: Option<Claim>,
    shown: Positions,
}

/// Once these heads are folded, all that others acknowledged before `until` is. One claim is held until it comes true: the
/// heads of writers that are busy are never folded at the moment of a look.
#[derive(Clone, Debug)]
struct Claim {
    heads: Vec<Position>,
    until: Timestamp,
}

impl Followed {
    /// Follows the others over the fold's parts.
    #[must_use]
    pub fn new(parts: FoldParts, slots: Arc<Slots>, progress: Arc<Progress>, clock: Arc<dyn Clock>) -> Self {
        let accounts = Accounts::new(Arc::clone(&parts.documents));
        if slots.journal().is_shared() {
            // Nothing is known of the others yet.
            progress.others_until(Timestamp::EPOCH);
        }
        let shown = progress.folded();
        Self { parts, accounts, slots, progress, clock, claim: None, shown }
    }

    /// Looks at the others until `stopping`.
    pub async fn run(mut self, stopping: CancellationToken) {
        loop {
            if let Err(failure) = self.look().await {
                error!(error = %failure, "could not look at the folds of the others: {failure}");
            }
            let pause = async {
                tokio::time::sleep(LOOK_HURRIED).await;
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.progress.hurried_to_look() => {}
                }
            };
            if stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn look(&mut self) -> Result<(), FoldError> {
        let looked_at = self.clock.now();
        // Heads and low-water times first: what is folded is read after them.
        let others = self.slots.others().await?;
        let numbers = others.iter().map(|other| other.last.slot).collect::<Vec<_>>();
        for position in fold::positions(self.parts.documents.as_ref(), &numbers).await?.slots {
            self.progress.advance(position);
        }
        self.claim(&others, looked_at);
        self.show().await
    }

    fn claim(&mut self, others: &[Other], looked_at: Timestamp) {
        let living = others.iter().filter(|other| !other.slot.sealed).map(|other| other.slot.low_water);
        let now = Claim {
            heads: others.iter().map(|other| other.last).collect(),
            until: living.min().unwrap_or_else(|| looked_at.minus(CLOCK_ERROR)),
        };
        let claim = self.claim.get_or_insert_with(|| now.clone());
        if self.progress.folded().have_passed(&claim.heads) {
            self.progress.others_until(claim.until);
            self.claim = Some(now);
        }
    }

    /// Shows those who watch what was folded elsewhere since they were shown something.
    async fn show(&mut self) -> Result<(), FoldError> {
        let positions = self.progress.folded();
        let own = self.slots.own().slot;
        if positions
            .slots
            .iter()
            .all(|position| position.slot == own || self.shown.of(position.slot) >= *position)
        {
            return Ok(());
        }
        for observer in &self.parts.observers {
            for some in observer.watched().chunks(ACCOUNTS_MAX) {
                let kept = self.accounts.get_many(some).await?;
                observer
                    .folded(&FoldedRound { positions: positions.clone(), accounts: kept.iter().collect() });
            }
        }
        self.shown = positions;
        Ok(())
    }
}
