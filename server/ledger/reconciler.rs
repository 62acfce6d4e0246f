//! The corrector of counters (rule M): what was charged and does not count is given back, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tracing::info;

use crate::gate::counters::{Correction, Over, PENDING_LIFE, Revived};
use crate::gate::decision::CounterId;
use crate::gate::state::{Counter, ReservationEnd, State};
use crate::ledger::account::{Account, GrantAccount, HoldAccount, WindowAccount};
use crate::ledger::loader::{self, LoadError, Loader, LoaderParts};
use crate::ledger::progress::Late;
use crate::ledger::slots::CLOCK_ERROR;
use crate::ledger::stamp::Positions;
use crate::ledger::sweeper;
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
        let (mut states, read_at) = (HashMap::new(), self.parts.counters.now());
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
            if !self.expire(tenant, state, &look.accounts[tenant], &above, read_at).await? {
                self.correct(tenant, state, &look.accounts[tenant], &above).await?;
            }
        }
        Ok(())
    }

    /// Ends in the ledger what the counters said has expired; `false`: there is nothing.
    async fn expire(
        &self,
        tenant: &Arc<str>,
        state: &State,
        account: &Account,
        above: &Account,
        read_at: Timestamp,
    ) -> Result<bool, LoadError> {
        let lapsed = lapsed(state, account, above, read_at);
        let commits = lapsed
            .iter()
            .map(|(hold, at)| sweeper::expire(&self.parts.queue, tenant, hold, *at))
            .collect::<Result<Vec<_>, _>>()?;
        if commits.is_empty() {
            return Ok(false);
        }
        self.parts.cuts.suspect(tenant);
        for commit in commits {
            commit.wait().await?;
        }
        Ok(true)
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
            let serves =
                kept.micros > 0 && !kept.closed && kept.expires_at_micros.is_none_or(|at| at > now.micros());
            if serves && !state.grants.iter().any(|grant| *grant.id == *kept.id) {
                self.loader.tell(tenant, &kept.id).await?;
            }
        }
        let revived = revived(state, account, above, now);
        let correction = difference(state, account, above, revived, now);
        if correction.is_nothing() {
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
        micros: total(
            &mut correction.grants.iter().map(|(_, micros)| *micros).chain([correction.overage_micros]),
        ),
    }
}

/// Reservations that live in the counters, and that the ledger does not know or knows to have ended. All that was decided up
/// to the counters' number is in it.
fn over(state: &State, account: &Account, above: &Account) -> Vec<Over> {
    let living = state.reservations.iter().filter(|(_, held)| held.ended.is_none());
    let over = living.filter(|(id, _)| account.hold(id).is_none() && !is_changed(above, id));
    over.map(|(id, held)| Over { reservation: Arc::clone(id), opened_at: Some(held.opened_at) }).collect()
}

/// Whether something of a reservation was decided above the counters' number.
fn is_changed(above: &Account, reservation: &str) -> bool {
    above.holds.iter().any(|hold| hold.reservation == reservation)
}

/// Living reservations of the ledger that nobody can end any more, with when their time was over: an extension that never
/// became durable has shortened their life in the counters, which answer that they have expired (rule T). All that was decided
/// up to the counters' number is in the ledger.
fn lapsed<'a>(
    state: &State,
    account: &'a Account,
    above: &Account,
    read_at: Timestamp,
) -> Vec<(&'a HoldAccount, Timestamp)> {
    let living = account.holds.iter().filter(|hold| hold.lives());
    let lapsed = living.filter_map(|hold| {
        let expires_at = state.reservations.get(hold.reservation.as_str())?.expires_at;
        let is_over = expires_at.micros() < hold.expires_at_micros && expires_at <= read_at;
        (is_over && !is_changed(above, &hold.reservation)).then_some((hold, expires_at))
    });
    lapsed.collect()
}

/// Reservations that live in the ledger and not in the counters: their end was decided and never became durable, or their
/// beginning came to the ledger when the counters had given it up (rule E).
fn revived(state: &State, account: &Account, above: &Account, now: Timestamp) -> Vec<Revived> {
    let living = account.holds.iter().filter(|hold| hold.lives() && hold.expires_at_micros > now.micros());
    let revived = living.filter_map(|hold| {
        let known = state.reservations.get(hold.reservation.as_str());
        let ended_at = match known.map(|known| &known.ended) {
            None => None,
            Some(Some(end)) => Some(end.at),
            Some(None) => return None,
        };
        let reservation = Arc::from(hold.reservation.as_str());
        (!is_changed(above, &hold.reservation)).then(|| Revived {
            reservation,
            ended_at,
            held: loader::reservation(hold),
        })
    });
    revived.collect()
}

/// The ends of reservations that the counters have and the ledger without what was decided `above` has not: those that are
/// revived, and those that were said anew since, under a number above, which takes nothing again.
fn ends_apart<'a>(
    state: &'a State,
    above: &'a Account,
    revived: &'a [Revived],
) -> impl Iterator<Item = &'a ReservationEnd> {
    let anew = above.holds.iter().filter(|hold| hold.ended).map(|hold| hold.reservation.as_str());
    let apart = revived.iter().map(|revived| revived.reservation.as_ref()).chain(anew);
    apart.filter_map(|id| state.reservations.get(id)?.ended.as_ref())
}

/// What to add to the counters so that they say what the ledger says without what was decided `above` their number. What the
/// ends of those took that are `revived` is given back with them.
fn difference(
    state: &State,
    account: &Account,
    above: &Account,
    revived: Vec<Revived>,
    now: Timestamp,
) -> Correction {
    let mut correction =
        Correction { epoch: state.epoch, number: state.number, revived, ..Correction::default() };
    let ends = ends_apart(state, above, &correction.revived).collect::<Vec<_>>();
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
        let kept = account.grant(&grant.id);
        if kept.is_some_and(|kept| kept.closed) {
            continue;
        }
        // What living reservations hold is compared with it: a hold that never became durable is no difference while it lives.
        let took = ends.iter().flat_map(|end| &end.took);
        let counted = state.held().chain(took).filter(|burn| burn.grant == grant.id).map(|burn| burn.micros);
        let counted = counted.fold(grant.remaining_micros, i64::saturating_add);
        let spent_above = above.grant(&grant.id).map_or(0, owned);
        // One of which nothing is left is forgotten by the ledger: whatever the counters have of it is too much.
        let micros = kept.map_or(0, owned).saturating_sub(spent_above).saturating_sub(counted);
        if micros != 0 {
            correction.grants.push((Arc::clone(&grant.id), micros));
        }
    }
    if state.period.is_some_and(|period| period.start.micros() == account.period_start_micros) {
        // What grants lack is in neither: both have it as grants below zero.
        let kept = account.period_overage_micros.saturating_sub(above.overage_micros);
        let counted =
            ends.iter().map(|end| end.overage_micros).fold(state.overage_micros, i64::saturating_sub);
        correction.overage_micros = kept.saturating_sub(counted);
    }
    correction
}

/// What is left of a grant, free or held; below zero where more was burned of it than it had.
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
    use crate::gate::decision::Burn;
    use crate::gate::period::Period;
    use crate::gate::policy::LimitKey;
    use crate::gate::state::{EndKind, Grant, Reservation};
    use crate::ledger::record::{self, Body, ChargeKind, End, GrantBurn, Record};
    use crate::time::{HOUR, MINUTE};

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
        let correction = difference(&state, &account, &Account::default(), Vec::new(), NOON.plus(SECOND));
        let units: Vec<i64> = correction.counters.iter().map(|(_, units)| *units).collect();
        assert_eq!(units, expected);
    }

    /// The ledger has `r` until a minute after noon, the counters until `expires_at`; both were read ten seconds after noon.
    fn check_lapsed(expires_at: Timestamp, above: &Account, expected: &[Timestamp]) {
        let expires_at_micros = NOON.plus(MINUTE).micros();
        let hold = HoldAccount { reservation: "r".to_owned(), expires_at_micros, ..HoldAccount::default() };
        let account = Account { holds: vec![hold], ..Account::default() };
        let held =
            Reservation { held: Vec::new(), opened_at: NOON, expires_at, excess_allowed: false, ended: None };
        let reservations = [(Arc::from("r"), held)].into();
        let state = State { reservations, ..State::default() };
        let lapsed = lapsed(&state, &account, above, NOON.plus(10 * SECOND));
        assert_eq!(lapsed.iter().map(|(_, at)| *at).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_reservation_ends_that_the_counters_let_expire_early() {
        let none = Account::default();
        check_lapsed(NOON.plus(SECOND), &none, &[NOON.plus(SECOND)]);
        check_lapsed(NOON.plus(10 * SECOND), &none, &[NOON.plus(10 * SECOND)]);
        // It can still be ended by whoever opened it, or ends by time in both.
        check_lapsed(NOON.plus(11 * SECOND), &none, &[]);
        check_lapsed(NOON.plus(MINUTE), &none, &[]);
    }

    #[test]
    fn a_reservation_lives_on_that_was_changed_since_the_counters_were_read() {
        let holds = vec![HoldAccount { reservation: "r".to_owned(), ..HoldAccount::default() }];
        check_lapsed(NOON.plus(SECOND), &Account { holds, ..Account::default() }, &[]);
    }

    /// Counters that have `free` of a grant and hold 5 of it; the ledger has `remaining` and holds as much, or has forgotten
    /// both.
    fn check_grant(free: i64, remaining: Option<i64>, expected: &[i64]) {
        let grant = Grant { id: Arc::from("g"), priority: 1, expires_at: None, remaining_micros: free };
        let held = Reservation {
            held: vec![Burn { grant: Arc::from("g"), micros: 5 }],
            opened_at: NOON,
            expires_at: NOON.plus(MINUTE),
            excess_allowed: false,
            ended: None,
        };
        let reservations = [(Arc::from("r"), held)].into();
        let state = State { grants: vec![grant], reservations, ..State::default() };
        let kept = |remaining_micros| GrantAccount {
            id: "g".to_owned(),
            remaining_micros,
            held_micros: 5,
            ..GrantAccount::default()
        };
        let grants = remaining.map(kept).into_iter().collect();
        let account = Account { grants, ..Account::default() };
        let correction = difference(&state, &account, &Account::default(), Vec::new(), NOON);
        let micros = correction.grants.iter().map(|(_, micros)| *micros).collect::<Vec<_>>();
        assert_eq!(micros, expected);
    }

    #[test]
    fn a_grant_has_what_the_ledger_says_also_below_nothing() {
        check_grant(7, Some(7), &[]);
        check_grant(7, Some(3), &[-4]);
        check_grant(7, Some(-3), &[-10]);
        check_grant(0, Some(-3), &[-3]);
    }

    #[test]
    fn an_end_that_never_became_durable_is_taken_back() {
        // Of a grant of 20, 6 were held; the counters say that 4 were paid out of it, and 3 more beyond all grants.
        let grant = Grant { id: Arc::from("g"), priority: 1, expires_at: None, remaining_micros: 16 };
        let took = vec![Burn { grant: Arc::from("g"), micros: 4 }];
        let ended = Some(ReservationEnd { kind: EndKind::Settled, at: NOON, took, overage_micros: 3 });
        let held = Reservation {
            held: vec![Burn { grant: Arc::from("g"), micros: 6 }],
            opened_at: NOON,
            expires_at: NOON.plus(MINUTE),
            excess_allowed: true,
            ended,
        };
        let reservations = [(Arc::from("r"), held)].into();
        let period = Some(Period { start: NOON, end: NOON.plus(HOUR) });
        let state =
            State { grants: vec![grant], reservations, period, overage_micros: 3, ..State::default() };
        let kept = GrantAccount {
            id: "g".to_owned(),
            remaining_micros: 14,
            held_micros: 6,
            ..GrantAccount::default()
        };
        let hold = HoldAccount {
            reservation: "r".to_owned(),
            expires_at_micros: NOON.plus(MINUTE).micros(),
            ..HoldAccount::default()
        };
        let account = Account {
            grants: vec![kept],
            holds: vec![hold],
            period_start_micros: NOON.micros(),
            ..Account::default()
        };
        let seen = |above: &Account, now: Timestamp| {
            let revived = revived(&state, &account, above, now);
            let seen = revived.iter().map(|revived| revived.ended_at).collect::<Vec<_>>();
            let correction = difference(&state, &account, above, revived, now);
            (seen, correction.grants, correction.overage_micros)
        };
        let none = Account::default();
        assert_eq!(seen(&none, NOON), (vec![Some(NOON)], vec![], 0), "all of it is the end's own");
        // Its time is over: what the end took is given back, and what is held ends by itself.
        assert_eq!(seen(&none, NOON.plus(MINUTE)), (vec![], vec![(Arc::from("g"), 4)], -3));
        // It was said anew since, and the ledger has that: it took nothing again.
        let end = End {
            reservation: "r".to_owned(),
            kind: record::EndKind::Settled.into(),
            paid: vec![GrantBurn { grant: "g".to_owned(), micros: 4 }],
            overage_micros: 3,
            period_start_micros: NOON.micros(),
            ..End::default()
        };
        let end = Record { body: Some(Body::End(end)), ..Record::default() };
        let (mut above, mut after) = (Account::default(), account.clone());
        after.holds[0].burns = vec![GrantBurn { grant: "g".to_owned(), micros: 6 }];
        above.absorb(&end);
        after.absorb(&end);
        assert_eq!(after.grants[0].remaining_micros, 16);
        let correction = difference(&state, &after, &above, revived(&state, &after, &above, NOON), NOON);
        assert!(correction.is_nothing(), "{correction:?}");
    }

    /// The counters have an overage of 5 in the period that begins at noon; the ledger has `kept` in the one that begins at
    /// `period_start`, and 2 of it were charged above the counters' number.
    fn check_overage(period_start: Timestamp, kept: i64, expected: i64) {
        let period = Some(Period { start: NOON, end: NOON.plus(HOUR) });
        let state = State { period, overage_micros: 5, ..State::default() };
        let account = Account {
            period_start_micros: period_start.micros(),
            period_overage_micros: kept,
            ..Account::default()
        };
        let above = Account { overage_micros: 2, ..Account::default() };
        assert_eq!(difference(&state, &account, &above, Vec::new(), NOON).overage_micros, expected);
    }

    #[test]
    fn overage_is_corrected_in_its_period() {
        check_overage(NOON, 7, 0);
        check_overage(NOON, 3, -4);
        check_overage(NOON.plus(HOUR), 3, 0);
    }

    #[test]
    fn what_the_counters_have_of_a_grant_that_is_spent_is_taken() {
        check_grant(7, None, &[-12]);
        check_grant(-5, None, &[]);
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
