//! The one corrector of counters (rule M): what was charged and does not count is given back, once.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tracing::info;

use crate::gate::counters::Correction;
use crate::gate::decision::CounterId;
use crate::gate::state::{Counter, State};
use crate::ledger::account::{Account, WindowAccount};
use crate::ledger::cuts::Cuts;
use crate::ledger::loader::{LoadError, Loader, LoaderParts};
use crate::time::{SECOND, Timestamp};

/// Between two looks at the low-water time.
const LOOK: Duration = Duration::from_millis(50);
/// What a fixed window must have left to be corrected, in microseconds: shorter ones are over before it matters.
const FIXED_LEFT_MIN: i64 = 5 * SECOND;

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
                    self.cuts.close(rest, 0, u64::MAX, &[]);
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
        let Some(state) = self.parts.counters.read(tenant).await? else {
            self.cuts.close(tenant, 0, u64::MAX, &[]);
            return Ok(());
        };
        // Every decision up to the state's number is committed or abandoned once low-water has passed this moment.
        let read_at = self.parts.counters.now();
        while self.parts.queue.low_water() <= read_at {
            tokio::time::sleep(LOOK).await;
        }
        self.loader.settled().await?;
        let account = self.parts.accounts.get(tenant).await?.account;
        let above = self.cuts.close(tenant, state.epoch, state.number, &account.positions);
        let correction = difference(&state, &account, &above, self.parts.counters.now());
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
fn difference(state: &State, account: &Account, above: &Account, now: Timestamp) -> Correction {
    let mut correction = Correction { epoch: state.epoch, number: state.number, ..Correction::default() };
    for (id, counter) in state.counters.iter() {
        let (mark, used) = match counter {
            Counter::Fixed { start, used } if lasts(account, &id, *start, now) => (*start, *used),
            Counter::Quota { period_start, used } => (*period_start, *used),
            Counter::Fixed { .. } | Counter::Sliding(_) | Counter::Bucket { .. } => continue,
        };
        let used_by = |account: &Account| account.used(id.limit, &id.member, mark);
        let kept = used_by(account).saturating_sub(used_by(above));
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

/// Whether a fixed window will not end before it is corrected: the next one must not be given what this one is due.
fn lasts(account: &Account, id: &CounterId, start: Timestamp, now: Timestamp) -> bool {
    window(account, id).is_some_and(|window| start.plus(window.window_micros) > now.plus(FIXED_LEFT_MIN))
}

fn window<'a>(account: &'a Account, id: &CounterId) -> Option<&'a WindowAccount> {
    account.windows.iter().find(|window| window.limit() == id.limit && window.member == *id.member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::LimitKey;
    use crate::ledger::record::ChargeKind;
    use crate::time::HOUR;

    const NOON: Timestamp = Timestamp::from_micros(12 * HOUR);

    /// The counters have 5 units in a fixed window; the ledger has `kept` in the one that starts at `mark`.
    fn check(length: i64, mark: Timestamp, kept: i64, expected: &[i64]) {
        let id = CounterId { limit: LimitKey(1), member: Arc::from("") };
        let mut state = State::default();
        state.counters.insert(&id, Counter::Fixed { start: NOON, used: 5 });
        let window = WindowAccount {
            limit_key: 1,
            kind: ChargeKind::Fixed.into(),
            mark_micros: mark.micros(),
            used: kept,
            window_micros: length,
            ..WindowAccount::default()
        };
        let account = Account { windows: vec![window], ..Account::default() };
        let correction = difference(&state, &account, &Account::default(), NOON.plus(SECOND));
        let units: Vec<i64> = correction.counters.iter().map(|(_, units)| *units).collect();
        assert_eq!(units, expected);
    }

    #[test]
    fn a_fixed_window_is_corrected_while_it_lasts() {
        check(HOUR, NOON, 3, &[-2]);
        check(HOUR, NOON, 5, &[]);
    }

    #[test]
    fn the_next_fixed_window_is_not_given_what_the_last_one_was_due() {
        check(SECOND, NOON, 3, &[]);
        check(SECOND, NOON.plus(SECOND), 1, &[]);
    }
}
