//! The one corrector of counters (rule M): what was charged and does not count is given back, once.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tracing::info;

use crate::gate::counters::Correction;
use crate::gate::decision::CounterId;
use crate::gate::state::{Counter, State};
use crate::ledger::account::Account;
use crate::ledger::cuts::Cuts;
use crate::ledger::loader::{LoadError, Loader, LoaderParts};

/// Between two looks at the low-water time.
const LOOK: Duration = Duration::from_millis(50);

/// Compares the counters of suspected tenants with the ledger.
#[derive(Debug)]
pub struct Reconciler {
    parts: LoaderParts,
    loader: Arc<Loader>,
    cuts: Arc<Cuts>,
}

impl Reconciler {
    /// A reconciler over the ledger's parts.
    #[must_use]
    pub const fn new(parts: LoaderParts, loader: Arc<Loader>, cuts: Arc<Cuts>) -> Self {
        Self { parts, loader, cuts }
    }

    /// Corrects the counters of all suspects.
    pub async fn reconcile(&self) -> Result<(), LoadError> {
        let suspects = self.cuts.open();
        for (index, tenant) in suspects.iter().enumerate() {
            if let Err(error) = self.correct(tenant).await {
                // What could not be looked at stays suspect.
                for rest in &suspects[index..] {
                    self.cuts.close(rest, 0, u64::MAX);
                    self.cuts.suspect(rest);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn correct(&self, tenant: &Arc<str>) -> Result<(), LoadError> {
        let alone = self.loader.alone(tenant);
        let _guard = alone.lock().await;
        let counter_epoch = self.parts.queue.head().epoch;
        let Some(state) = self.parts.counters.read(tenant).await? else {
            self.cuts.close(tenant, counter_epoch, u64::MAX);
            return Ok(());
        };
        // Every decision up to the state's number is committed or abandoned once low-water has passed this moment.
        let read_at = self.parts.counters.now();
        while self.parts.queue.low_water() < read_at.floor(crate::time::SECOND) {
            tokio::time::sleep(LOOK).await;
        }
        self.loader.settled().await?;
        let account = self.parts.accounts.get(tenant).await?.account;
        let above = self.cuts.close(tenant, counter_epoch, state.number);
        let correction = difference(&state, &account, &above);
        if correction.counters.is_empty() && correction.grants.is_empty() {
            return Ok(());
        }
        info!(tenant = %tenant, "the counters of tenant `{tenant}` differ from the ledger and are corrected");
        counter!("tollgate_counters_corrected_total").increment(1);
        let _posted = self.parts.counters.correct(tenant, &correction).await?;
        Ok(())
    }
}

/// What to add to the counters so that they say what the ledger says without what was decided `above` their number.
fn difference(state: &State, account: &Account, above: &Account) -> Correction {
    let mut correction = Correction { number: state.number, ..Correction::default() };
    for (id, counter) in state.counters.iter() {
        let (mark, used) = match counter {
            Counter::Fixed { start, used } => (*start, *used),
            Counter::Quota { period_start, used } => (*period_start, *used),
            Counter::Sliding(_) | Counter::Bucket { .. } => continue,
        };
        let kept = used_in(account, &id, mark.micros()).saturating_sub(used_in(above, &id, mark.micros()));
        let units = kept.saturating_sub(used);
        if units != 0 {
            correction.counters.push((id, units));
        }
    }
    for grant in &state.grants {
        let Some(kept) = account.grant(&grant.id).filter(|kept| !kept.closed) else { continue };
        let spent_above = above.grant(&grant.id).map_or(0, |above| above.remaining_micros);
        let micros = kept.remaining_micros.saturating_sub(spent_above).saturating_sub(grant.remaining_micros);
        if micros != 0 {
            correction.grants.push((Arc::clone(&grant.id), micros));
        }
    }
    correction
}

fn used_in(account: &Account, id: &CounterId, mark_micros: i64) -> i64 {
    let same = account.windows.iter().find(|window| {
        window.limit() == id.limit && window.member == *id.member && window.mark_micros == mark_micros
    });
    same.map_or(0, |window| window.used)
}
