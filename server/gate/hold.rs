//! Reservations: credits held for a call until its cost is known (rule T).

use std::sync::Arc;

use crate::gate::counters::{End, EndDecision, Extend, Gone};
use crate::gate::credit;
use crate::gate::decide::no_credits;
use crate::gate::decision::{Burn, Decision, Verdict};
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
        decision: Decision,
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
        number: 0,
        limits: Vec::new(),
        charges: Vec::new(),
        burns: Vec::new(),
        overage_micros: 0,
        price_micros: 0,
        balance_micros: None,
        period_start: state.period_at(policy, now).start,
        expires_at: None,
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
    Extension::Decided { decision, held_micros, expires_at }
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
        reservation.ended = Some(ReservationEnd { kind, at: now });
    }
    let balance_micros = credit::balance(&state.grants, now);
    Ending::Done(EndDecision { at: now, number, paid, released, excess, overage_micros, balance_micros })
}

/// Ends a reservation whose expiry is in the ledger: what it held goes back.
pub fn expire(state: &mut State, reservation: &str, now: Timestamp) {
    let Some(reservation) = state.reservations.get_mut(reservation).filter(|known| known.ended.is_none())
    else {
        return;
    };
    reservation.ended = Some(ReservationEnd { kind: EndKind::Expired, at: now });
    credit::give_back(&mut state.grants, &reservation.held, now);
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
        self.reservations
            .retain(|_, reservation| reservation.ended.is_none_or(|end| now < end.at.plus(REMEMBERED)));
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
        match reservation.ended.map(|end| end.kind) {
            Some(EndKind::Settled) => Err(Gone::Settled),
            Some(EndKind::Released) => Err(Gone::Released),
            Some(EndKind::Expired) => Err(Gone::Expired),
            None if reservation.expires_at <= now => Err(Gone::Expired),
            None => Ok(reservation),
        }
    }
}
