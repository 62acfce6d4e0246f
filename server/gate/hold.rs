//! Reservations: credits held for a call until its cost is known (rule T).

use std::sync::Arc;

use crate::gate::counters::{End, EndDecision, Extend, Gone, Over, Revived};
use crate::gate::credit;
use crate::gate::decide::no_credits;
use crate::gate::decision::{Basis, Burn, Decision, Verdict};
use crate::gate::policy::Policy;
use crate::gate::state::{EndKind, Reservation, ReservationEnd, State};
use crate::time::{DAY, HOUR, Timestamp};

/// The longest life of a reservation, extensions included.
pub const RESERVATION_LIFE_MAX: i64 = DAY;

/// How long an ended reservation is remembered, so that a second end gets the precise answer.
const REMEMBERED: i64 = HOUR;

/// How an extension went.
#[derive(Clone, Debug)]
pub enum Extension {
    /// Done, or refused for lack of credits: then nothing was changed.
    Decided {
        /// The decision; `burns` is what is held in addition.
        decision: Box<Decision>,
        /// All that is held now, in micro-credits.
        held_micros: i64,
        /// When the hold ends now.
        expires_at: Timestamp,
    },
    /// The reservation does not live.
    Gone(Gone),
}

/// How an end went.
#[derive(Clone, Debug)]
pub enum Ending {
    /// It ended.
    Done(EndDecision),
    /// The price is above the hold, and the reservation does not allow that. Nothing was changed.
    AboveHold {
        /// What is held, in micro-credits.
        held_micros: i64,
    },
    /// The reservation does not live.
    Gone(Gone),
}

/// Moves the expiry of a living reservation, at most to the end of its longest life, and holds more for it.
pub fn extend(state: &mut State, policy: &Policy, extend: &Extend<'_>, now: Timestamp) -> Extension {
    let living = match state.living(extend.reservation, now) {
        Ok(living) => living,
        Err(gone) => return Extension::Gone(gone),
    };
    let latest = living.opened_at.plus(RESERVATION_LIFE_MAX);
    let mut held_micros = credit::total(&living.held);
    let mut expires_at = living.expires_at;
    let short = extend.additional_micros > credit::balance(&state.grants, now);
    let mut decision = Decision {
        verdict: Verdict::Allowed,
        at: now,
        epoch: state.epoch,
        number: 0,
        limits: Vec::new(),
        charges: Vec::new(),
        burns: Vec::new(),
        overage_micros: 0,
        price_micros: 0,
        balance_micros: None,
        period: state.period_at(policy, now),
        expires_at: None,
        basis: Basis::Counters,
    };
    if short {
        decision.verdict = Verdict::Denied(no_credits());
    } else {
        if let Some(ttl) = extend.ttl {
            expires_at = now.plus(ttl).min(latest);
        }
        held_micros = held_micros.saturating_add(extend.additional_micros);
        decision.number = state.advance();
        decision.price_micros = extend.additional_micros;
        (decision.burns, _) = credit::burn(&mut state.grants, extend.additional_micros, now);
        if let Some(reservation) = state.reservations.get_mut(extend.reservation) {
            reservation.expires_at = expires_at;
            reservation.held.extend(decision.burns.iter().cloned());
        }
    }
    decision.expires_at = Some(expires_at);
    decision.balance_micros = state.balance(policy, now);
    Extension::Decided { decision: Box::new(decision), held_micros, expires_at }
}

/// Ends a living reservation: the price is taken out of the hold, and the rest goes back to the grants that still serve.
pub fn end(state: &mut State, policy: &Policy, end: &End<'_>, now: Timestamp) -> Ending {
    let living = match state.living(end.reservation, now) {
        Ok(living) => living,
        Err(gone) => return Ending::Gone(gone),
    };
    let held_micros = credit::total(&living.held);
    let price = end.price_micros.unwrap_or(0);
    if price > held_micros && !living.excess_allowed {
        return Ending::AboveHold { held_micros };
    }
    let (paid, released) = credit::split(&living.held, price);
    let number = state.advance();
    let period = state.period_at(policy, now);
    state.open(period);
    credit::give_back(&mut state.grants, &released, now);
    let (excess, overage_micros) =
        credit::burn(&mut state.grants, price.saturating_sub(held_micros).max(0), now);
    state.overage_micros = state.overage_micros.saturating_add(overage_micros);
    let kind = if end.price_micros.is_some() { EndKind::Settled } else { EndKind::Released };
    if let Some(reservation) = state.reservations.get_mut(end.reservation) {
        let took = paid.iter().chain(&excess).cloned().collect();
        reservation.ended = Some(ReservationEnd { kind, at: now, took, overage_micros });
    }
    let balance_micros = credit::balance(&state.grants, now);
    let epoch = state.epoch;
    Ending::Done(EndDecision {
        at: now,
        epoch,
        number,
        period,
        paid,
        released,
        excess,
        overage_micros,
        balance_micros,
    })
}

/// Ends a reservation whose expiry is in the ledger: what it held goes back.
pub fn expire(state: &mut State, over: &Over, now: Timestamp) {
    let known = state.reservations.get_mut(&over.reservation).filter(|known| known.ended.is_none());
    let is_meant = |known: &&mut Reservation| over.opened_at.is_none_or(|at| known.opened_at == at);
    let Some(reservation) = known.filter(is_meant) else { return };
    let (kind, took) = (EndKind::Expired, Vec::new());
    reservation.ended = Some(ReservationEnd { kind, at: now, took, overage_micros: 0 });
    credit::give_back(&mut state.grants, &reservation.held, now);
}

/// Opens a reservation again as the ledger has it: its end never became durable.
///
/// What the end took goes back, and what is held is taken, also below zero: what was freed may have been spent meanwhile, and
/// comes back at the next end.
pub fn revive(state: &mut State, revived: &Revived) {
    let known = state.reservations.get(&revived.reservation);
    let ended = known.and_then(|known| known.ended.as_ref());
    if ended.map(|end| end.at) != revived.ended_at || known.is_some() != ended.is_some() {
        // It was opened or said anew since the counters were read.
        return;
    }
    let (took, overage_micros) =
        ended.map_or_else(Default::default, |end| (end.took.clone(), end.overage_micros));
    let mut add = |burns: &[Burn], sign: i64| {
        for burn in burns {
            if let Some(grant) = state.grants.iter_mut().find(|grant| grant.id == burn.grant) {
                let micros = burn.micros.saturating_mul(sign);
                grant.remaining_micros = grant.remaining_micros.saturating_add(micros);
            }
        }
    };
    add(&took, 1);
    add(&revived.held.held, -1);
    state.overage_micros = state.overage_micros.saturating_sub(overage_micros).max(0);
    state.reservations.insert(Arc::clone(&revived.reservation), revived.held.clone());
}

impl State {
    /// Whether any reservation lives, or waits for its end to be durable.
    #[must_use]
    pub fn has_holds(&self) -> bool {
        self.reservations.values().any(|reservation| reservation.ended.is_none())
    }

    /// What living reservations hold, grant by grant.
    pub fn held(&self) -> impl Iterator<Item = &Burn> {
        let living = self.reservations.values().filter(|reservation| reservation.ended.is_none());
        living.flat_map(|reservation| &reservation.held)
    }

    /// Forgets what says nothing any longer: free members, reservations that ended long ago, expired grants.
    pub fn tidy(&mut self, now: Timestamp) {
        self.counters.tidy(now);
        self.reservations.retain(|_, reservation| {
            reservation.ended.as_ref().is_none_or(|end| now < end.at.plus(REMEMBERED))
        });
        // An expired grant is kept for a while: a clock that steps back finds what was used of it.
        self.grants
            .retain(|grant| grant.expires_at.is_none_or(|expires_at| now < expires_at.plus(REMEMBERED)));
    }

    /// Opens a reservation. One that lives under the same id never became durable: what it held goes back.
    pub(crate) fn hold(&mut self, id: &Arc<str>, reservation: Reservation, now: Timestamp) {
        let before = self.reservations.insert(Arc::clone(id), reservation);
        if let Some(before) = before.filter(|before| before.ended.is_none()) {
            credit::give_back(&mut self.grants, &before.held, now);
        }
    }

    fn living(&self, id: &str, now: Timestamp) -> Result<&Reservation, Gone> {
        let reservation = self.reservations.get(id).ok_or(Gone::Unknown)?;
        match reservation.ended.as_ref().map(|end| end.kind) {
            Some(EndKind::Settled) => Err(Gone::Settled),
            Some(EndKind::Released) => Err(Gone::Released),
            Some(EndKind::Expired) => Err(Gone::Expired),
            None if reservation.expires_at <= now => Err(Gone::Expired),
            None => Ok(reservation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::call::{Demand, Effect, EventKey, PayloadHash};
    use crate::gate::decide::{Outcome, decide};
    use crate::gate::fixture::{NOON, call, demand, grant, policy};
    use crate::time::{MINUTE, SECOND};

    const NAME: &str = "res_1";

    /// A wallet of 4 that ends in an hour and 10 that never end, of which `micros` are held for ten minutes.
    fn held(micros: i64, excess_allowed: bool) -> State {
        let mut state = State::default();
        credit::insert(&mut state.grants, grant("soon", 1, Some(NOON.plus(HOUR)), 4));
        credit::insert(&mut state.grants, grant("late", 1, None, 10));
        let effect = Effect::Hold { reservation: &Arc::from(NAME), ttl: 10 * MINUTE, excess_allowed };
        let ask = Demand { price_micros: micros, effect, ..demand(call()) };
        let Outcome::Decided(decision) = decide(&mut state, &policy(), &ask, NOON) else { panic!("due") };
        assert_eq!(decision.verdict, Verdict::Allowed);
        assert_eq!(decision.expires_at, Some(NOON.plus(10 * MINUTE)));
        assert_eq!(credit::total(&decision.burns), micros);
        state
    }

    fn settle(state: &mut State, price_micros: Option<i64>, now: Timestamp) -> Ending {
        let reservation = &Arc::from(NAME);
        end(
            state,
            &policy(),
            &End { reservation, event: EventKey(2), payload: PayloadHash(2), price_micros },
            now,
        )
    }

    fn prolong(state: &mut State, ttl: Option<i64>, additional_micros: i64, now: Timestamp) -> Extension {
        let reservation = &Arc::from(NAME);
        let ask = Extend { reservation, event: EventKey(3), payload: PayloadHash(3), ttl, additional_micros };
        extend(state, &policy(), &ask, now)
    }

    fn over() -> Over {
        Over { reservation: Arc::from(NAME), opened_at: None }
    }

    #[test]
    fn a_settlement_takes_its_price_out_of_the_hold_and_frees_the_rest() {
        for (price, excess_allowed, paid, released, excess, overage, balance) in [
            (Some(0), false, 0, 6, 0, 0, 14),
            (Some(5), false, 5, 1, 0, 0, 9),
            (Some(6), false, 6, 0, 0, 0, 8),
            (None, false, 0, 6, 0, 0, 14),
            (Some(9), true, 6, 0, 3, 0, 5),
            (Some(17), true, 6, 0, 8, 3, 0),
        ] {
            let mut state = held(6, excess_allowed);
            let Ending::Done(done) = settle(&mut state, price, NOON.plus(SECOND)) else {
                panic!("{price:?}")
            };
            let sums = [&done.paid, &done.released, &done.excess].map(|burns| credit::total(burns));
            assert_eq!((sums, done.overage_micros), ([paid, released, excess], overage), "{price:?}");
            assert_eq!((done.balance_micros, credit::balance(&state.grants, NOON)), (balance, balance));
            assert_eq!((done.number, state.held().count()), (2, 0));
        }
    }

    #[test]
    fn a_price_above_the_hold_changes_nothing() {
        let mut state = held(6, false);
        assert!(matches!(settle(&mut state, Some(7), NOON), Ending::AboveHold { held_micros: 6 }));
        assert!(matches!(settle(&mut state, Some(i64::MAX), NOON), Ending::AboveHold { held_micros: 6 }));
        assert!(matches!(settle(&mut state, Some(6), NOON), Ending::Done(_)));
    }

    #[test]
    fn a_reservation_ends_once_and_says_how() {
        for (price, expected) in [(Some(1), Gone::Settled), (None, Gone::Released)] {
            let mut state = held(6, false);
            assert!(matches!(settle(&mut state, price, NOON), Ending::Done(_)));
            let balance = credit::balance(&state.grants, NOON);
            for again in [None, Some(0), Some(6)] {
                let Ending::Gone(gone) = settle(&mut state, again, NOON) else { panic!("ended twice") };
                assert_eq!(gone, expected);
            }
            expire(&mut state, &over(), NOON.plus(HOUR));
            assert_eq!(credit::balance(&state.grants, NOON), balance);
        }
        let Ending::Gone(gone) = settle(&mut State::default(), None, NOON) else { panic!("never was") };
        assert_eq!(gone, Gone::Unknown);
    }

    #[test]
    fn a_hold_is_good_until_its_expiry_and_held_until_that_is_durable() {
        let expiry = NOON.plus(10 * MINUTE);
        assert!(matches!(settle(&mut held(6, false), Some(1), expiry.minus(1)), Ending::Done(_)));
        let mut state = held(6, false);
        assert!(matches!(settle(&mut state, Some(1), expiry), Ending::Gone(Gone::Expired)));
        assert!(matches!(prolong(&mut state, Some(MINUTE), 0, expiry), Extension::Gone(Gone::Expired)));
        assert_eq!((credit::balance(&state.grants, expiry), state.has_holds()), (8, true));
        expire(&mut state, &over(), expiry);
        assert_eq!((credit::balance(&state.grants, expiry), state.has_holds()), (14, false));
        expire(&mut state, &over(), expiry);
        assert_eq!(credit::balance(&state.grants, expiry), 14);
    }

    #[test]
    fn what_a_grant_gets_back_after_its_expiry_is_breakage() {
        let mut state = held(6, false);
        assert!(matches!(prolong(&mut state, Some(2 * HOUR), 0, NOON), Extension::Decided { .. }));
        let late = NOON.plus(HOUR);
        let Ending::Done(done) = settle(&mut state, Some(1), late) else { panic!("not done") };
        let released: Vec<_> = done.released.iter().map(|burn| (&*burn.grant, burn.micros)).collect();
        assert_eq!((released, done.balance_micros), (vec![("soon", 3), ("late", 2)], 10));
    }

    #[test]
    fn an_extension_holds_more_or_changes_nothing() {
        for (ttl, more, now, held_micros, expires_at, allowed) in [
            (Some(MINUTE), 0, NOON, 6, NOON.plus(MINUTE), true),
            (None, 8, NOON, 14, NOON.plus(10 * MINUTE), true),
            (Some(HOUR), 9, NOON, 6, NOON.plus(10 * MINUTE), false),
            (Some(DAY), 0, NOON.plus(MINUTE), 6, NOON.plus(DAY), true),
        ] {
            let mut state = held(6, false);
            let Extension::Decided { decision, held_micros: held, expires_at: expiry } =
                prolong(&mut state, ttl, more, now)
            else {
                panic!("gone");
            };
            assert_eq!(decision.verdict == Verdict::Allowed, allowed);
            assert_eq!(
                (held, expiry, credit::total(&decision.burns)),
                (held_micros, expires_at, held_micros - 6)
            );
            let all: Vec<_> = state.held().cloned().collect();
            assert_eq!(credit::total(&all), held_micros);
            assert_eq!(decision.balance_micros, Some(14 - held_micros));
        }
    }

    #[test]
    fn a_hold_is_of_grants_alone() {
        let mut state = State::default();
        let effect = Effect::Hold { reservation: &Arc::from(NAME), ttl: MINUTE, excess_allowed: true };
        let ask = Demand { price_micros: 1, effect, ..demand(call()) };
        let capped = Policy { overage_max_micros: 100, ..policy() };
        let Outcome::Decided(decision) = decide(&mut state, &capped, &ask, NOON) else { panic!("due") };
        assert_ne!(decision.verdict, Verdict::Allowed);
        assert!(state.reservations.is_empty());
    }

    #[test]
    fn a_reservation_that_is_opened_again_holds_once() {
        let mut state = held(6, false);
        let effect = Effect::Hold { reservation: &Arc::from(NAME), ttl: MINUTE, excess_allowed: false };
        let ask = Demand { price_micros: 6, effect, ..demand(call()) };
        assert!(matches!(decide(&mut state, &policy(), &ask, NOON), Outcome::Decided(_)));
        assert_eq!(credit::balance(&state.grants, NOON), 8);
    }

    #[test]
    fn what_ended_is_remembered_for_an_hour() {
        let mut state = held(6, false);
        assert!(matches!(settle(&mut state, None, NOON), Ending::Done(_)));
        state.tidy(NOON.plus(HOUR - 1));
        assert_eq!(state.reservations.len(), 1);
        state.tidy(NOON.plus(HOUR));
        assert_eq!((state.reservations.len(), state.grants.len()), (0, 2));
        state.tidy(NOON.plus(2 * HOUR));
        assert_eq!(state.grants.len(), 1, "a grant is forgotten an hour after its expiry");
    }
}
