//! The corrector of counters (rule M): what was charged and does not count is given back, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tracing::info;

use crate::gate::counters::{Correction, Over, PENDING_LIFE};
use crate::gate::decision::CounterId;
use crate::gate::state::{Counter, State};
use crate::ledger::account::{Account, GrantAccount, WindowAccount};
use crate::ledger::loader::{LoadError, Loader, LoaderParts};
use crate::ledger::progress::Late;
use crate::ledger::slots::CLOCK_ERROR;
use crate::ledger::stamp::Positions;
use crate::time::{SECOND, Timestamp};

mod above;

use above::Look;

/// Between two looks at the low-water time.
const LOOK: Duration = Duration::from_millis(50);
/// What a fixed window must have left to be corrected, in microseconds: shorter ones are over before it matters.
const FIXED_LEFT_MIN: i64 = 5 * SECOND;
/// How long one look waits for the low-water time.
const WAIT_MAX: Duration = Duration::from_secs(40);
/// Tenants that are looked at together: each look waits for the low-water time once.
const TENANTS_MAX: usize = 500;

/// Compares the counters of suspected tenants with the ledger.
#[derive(Debug)]
pub struct Reconciler {
    parts: LoaderParts,
    loader: Arc<Loader>,
}

impl Reconciler {
    /// A reconciler over the ledger's parts.
    #[must_use]
    pub const fn new(parts: LoaderParts, loader: Arc<Loader>) -> Self {
        Self { parts, loader }
    }

    /// Corrects the counters of all suspects. Those that could not be looked at stay suspect.
    pub async fn reconcile(&self) -> Result<(), LoadError> {
        let suspects = self.parts.cuts.open(|| self.parts.progress.folded());
        let mut looked_at = 0;
        let mut outcome = Ok(());
        for some in suspects.chunks(TENANTS_MAX) {
            outcome = self.look_at(some).await;
            if outcome.is_err() {
                break;
            }
            looked_at += some.len();
        }
        self.parts.cuts.close();
        for tenant in suspects.iter().skip(looked_at) {
            self.parts.cuts.suspect(tenant);
        }
        outcome
    }

    async fn look_at(&self, suspects: &[Arc<str>]) -> Result<(), LoadError> {
        let others = self.parts.slots.others().await?;
        // What is decided after the counters are read is in batches after these.
        let seals = others.iter().filter(|other| other.ends_sealed()).map(|other| other.last.slot).collect();
        let heads = others.iter().map(|other| other.last).chain([self.parts.slots.own_head()]).collect();
        let mut states = HashMap::new();
        for tenant in suspects {
            if let Some(state) = self.parts.counters.read(tenant).await? {
                states.insert(Arc::clone(tenant), state);
            }
        }
        match tokio::time::timeout(WAIT_MAX, self.is_final()).await {
            Ok(waited) => waited?,
            Err(_) => return Err(Late.into()),
        }
        self.loader.settled().await?;
        let tenants = states.keys().cloned().collect::<Vec<_>>();
        let kept = self.parts.accounts.get_many(&tenants).await?;
        let accounts = kept.into_iter().map(|kept| (kept.tenant, kept.account)).collect();
        let look = Look { from: Positions { slots: heads }, seals, states, accounts };
        let mut above = look.above(self.parts.slots.journal(), self.parts.events.as_ref()).await?;
        for (tenant, state) in &look.states {
            let above = above.remove(tenant).unwrap_or_default();
            let alone = self.loader.alone(tenant);
            let _guard = alone.lock().await;
            self.correct(tenant, state, &look.accounts[tenant], &above).await?;
        }
        Ok(())
    }

    /// Returns when every decision up to the numbers that were just read is committed or never will be.
    async fn is_final(&self) -> Result<(), LoadError> {
        let mut until = self.parts.counters.now();
        if self.parts.slots.journal().is_shared() {
            // A retry on any process may journal a decision again for as long as its mark is pending (rule Q).
            until = until.plus(PENDING_LIFE).plus(CLOCK_ERROR);
        }
        while self.parts.slots.low_water().await? <= until {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn correct(
        &self,
        tenant: &Arc<str>,
        state: &State,
        account: &Account,
        above: &Account,
    ) -> Result<(), LoadError> {
        let now = self.parts.counters.now();
        let over = over(state, account, above);
        if !over.is_empty() {
            // Whoever posted the end of a reservation has not told the counters yet, or has died; or its beginning never
            // became durable. Then the two are compared again.
            self.parts.counters.expired(tenant, &over, &[]).await?;
            self.parts.cuts.suspect(tenant);
            return Ok(());
        }
        for kept in &account.grants {
            let serves = !kept.closed && kept.expires_at_micros.is_none_or(|at| at > now.micros());
            if serves && !state.grants.iter().any(|grant| *grant.id == *kept.id) {
                self.loader.tell(tenant, &kept.id).await?;
            }
        }
        let correction = difference(state, account, above, now);
        if correction.counters.is_empty() && correction.grants.is_empty() {
            return Ok(());
        }
        let drift = drift(&correction);
        info!(tenant = %tenant, "the counters of tenant `{tenant}` differ from the ledger and are corrected");
        counter!("tollgate_counters_corrected_total").increment(1);
        counter!("tollgate_counters_drift_units_total").increment(drift.units);
        counter!("tollgate_counters_drift_credits_micros_total").increment(drift.micros);
        if !self.parts.counters.correct(tenant, &correction).await? {
            // Another process was faster: what it left is looked at anew.
            self.parts.cuts.suspect(tenant);
        }
        Ok(())
    }
}

/// How far counters were off, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Drift {
    units: u64,
    micros: u64,
}

fn drift(correction: &Correction) -> Drift {
    let total =
        |amounts: &mut dyn Iterator<Item = i64>| amounts.map(i64::unsigned_abs).fold(0, u64::saturating_add);
    Drift {
        units: total(&mut correction.counters.iter().map(|(_, units)| *units)),
        micros: total(&mut correction.grants.iter().map(|(_, micros)| *micros)),
    }
}

/// Reservations that live in the counters, and that the ledger does not know or knows to have ended. All that was decided up
/// to the counters' number is in it.
fn over(state: &State, account: &Account, above: &Account) -> Vec<Over> {
    let living = state.reservations.iter().filter(|(_, held)| held.ended.is_none());
    let over = living.filter(|(id, _)| {
        let ended_above = above.holds.iter().any(|hold| *hold.reservation == ***id);
        account.hold(id).is_none() && !ended_above
    });
    over.map(|(id, held)| Over { reservation: Arc::clone(id), opened_at: Some(held.opened_at) }).collect()
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
        // What living reservations hold is compared with it: a hold that never became durable is no difference while it lives.
        let held = state.held().filter(|burn| burn.grant == grant.id).map(|burn| burn.micros);
        let counted = held.fold(grant.remaining_micros, i64::saturating_add);
        let spent_above = above.grant(&grant.id).map_or(0, owned);
        let micros = owned(kept).saturating_sub(spent_above).saturating_sub(counted);
        if micros != 0 {
            correction.grants.push((Arc::clone(&grant.id), micros));
        }
    }
    correction
}

/// What is left of a grant, free or held.
const fn owned(grant: &GrantAccount) -> i64 {
    grant.remaining_micros.saturating_add(grant.held_micros)
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
