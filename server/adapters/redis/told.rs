//! What the scripts answer, as the gate's own words.

use std::sync::Arc;

use crate::adapters::redis::ask::Asked;
use crate::adapters::redis::wire::{Cut, Reader};
use crate::gate::counters::{EndDecision, Gone};
use crate::gate::decision::{Basis, Burn, CounterCharge, CounterId, Decision, LimitKind, Verdict};
use crate::gate::period::Period;
use crate::gate::policy::{LimitKey, Policy, RateKind};
use crate::gate::remembered;
use crate::gate::state::{Counter, EndKind, Grant, Reservation, ReservationEnd, SlidingLog, State};
use crate::time::Timestamp;

/// A mark that answered.
#[derive(Debug)]
pub(super) struct Marked {
    /// When the event was decided.
    pub(super) at: Timestamp,
    /// What it was charged.
    pub(super) price_micros: i64,
    /// Whether the ledger has it.
    pub(super) durable: bool,
    /// What was decided; `None`: price and time say all.
    pub(super) answer: Option<Answer>,
}

/// What a change did, as the script that made it says.
#[derive(Debug)]
pub(super) enum Answer {
    /// A demand was charged.
    Charge {
        /// The change.
        change: Change,
        /// What was burned or held.
        burns: Vec<Burn>,
        /// What no grant covered.
        overage_micros: i64,
        /// What was charged, counter by counter.
        charges: Vec<CounterCharge>,
        /// When the hold ends.
        expires_at: Option<Timestamp>,
    },
    /// A reservation was extended.
    Extend {
        /// The change.
        change: Change,
        /// What is held in addition.
        burns: Vec<Burn>,
        /// All that is held.
        held_micros: i64,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// A reservation was ended.
    End {
        /// The change.
        change: Change,
        /// What each grant paid out of the hold.
        paid: Vec<Burn>,
        /// What each got back.
        released: Vec<Burn>,
        /// What each paid above it.
        excess: Vec<Burn>,
        /// What no grant covered.
        overage_micros: i64,
    },
}

/// Which change it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    epoch: u64,
    number: u64,
    period: Period,
}

/// The header and the grants of a tenant, without its counters.
pub(super) fn state(reader: &mut Reader<'_>) -> Option<State> {
    let (header, grants) = (reader.bytes()?, reader.bytes()?);
    kept_state(header, grants).map(|(state, _)| state)
}

/// The same as it is kept, and when the tenant was looked after.
pub(super) fn kept_state(header: &[u8], grants: &[u8]) -> Option<(State, Timestamp)> {
    let mut header = Reader::new(header);
    header.list()?;
    let (epoch, number) = (header.count()?, header.count()?);
    let (start, end) = (header.maybe().ok()?, header.maybe().ok()?);
    let period = start.zip(end).map(|(start, end)| Period {
        start: Timestamp::from_micros(start),
        end: Timestamp::from_micros(end),
    });
    let (period_number, overage_micros) = (header.count()?, header.whole()?);
    header.maybe().ok()?;
    let looked_after = header.moment()?;
    let grants = grants_of(&mut Reader::new(grants))?;
    let state = State { epoch, number, period, period_number, overage_micros, grants, ..State::default() };
    Some((state, looked_after))
}

/// Adds the counters that a demand stands on, as they stand.
pub(super) fn steps(
    reader: &mut Reader<'_>,
    limits: &[Asked<'_>],
    state: &mut State,
    now: Timestamp,
) -> Option<()> {
    for _ in 0..reader.list()? {
        reader.list()?;
        let index = usize::try_from(reader.whole()?).ok()?.checked_sub(1)?;
        let limit = limits.get(index)?;
        let member = Arc::<str>::from(reader.text()?);
        let counter = if reader.follows()? { Some(counter(reader)?) } else { None };
        // A member whose counter is new is said to be there, so that nobody takes it for one of those who share one.
        let fresh = || limit.rate().filter(|_| !member.is_empty()).map(|kind| fresh(kind, now));
        if let Some(counter) = counter.or_else(fresh) {
            let id = CounterId { limit: limit.key(), member };
            state.counters.insert_until(&id, counter, Timestamp::MAX);
        }
    }
    Some(())
}

/// A counter as a script says it; of a sliding log what matters now.
fn counter(reader: &mut Reader<'_>) -> Option<Counter> {
    let length = reader.list()?;
    Some(match (reader.whole()?, length) {
        (1, 5) => {
            let (newest, units) = (reader.moment()?, reader.whole()?);
            let (crossing, gone) = (reader.maybe().ok()?, reader.whole()?);
            let mut log = SlidingLog::default();
            if let Some(at) = crossing {
                log.push(Timestamp::from_micros(at), gone);
            }
            if units > gone {
                log.push(newest, units.saturating_sub(gone));
            }
            Counter::Sliding(Box::new(log))
        }
        (kind, _) => kept_counter(kind, reader)?,
    })
}

/// A counter as it is kept; of a sliding log only the sum.
pub(super) fn counter_kept(bytes: &[u8]) -> Option<Counter> {
    let mut reader = Reader::new(bytes);
    reader.list()?;
    let kind = reader.whole()?;
    kept_counter(kind, &mut reader)
}

fn kept_counter(kind: i64, reader: &mut Reader<'_>) -> Option<Counter> {
    Some(match kind {
        1 => {
            let (newest, units) = (reader.moment()?, reader.whole()?);
            reader.moment()?;
            let mut log = SlidingLog::default();
            log.push(newest, units);
            Counter::Sliding(Box::new(log))
        }
        2 => Counter::Bucket { at: reader.moment()?, units: reader.whole()?, parts: reader.whole()? },
        3 => Counter::Fixed { start: reader.moment()?, used: reader.whole()? },
        4 => Counter::Quota { period_start: reader.moment()?, used: reader.whole()? },
        _ => return None,
    })
}

/// A counter that holds nothing.
fn fresh(kind: RateKind, now: Timestamp) -> Counter {
    match kind {
        RateKind::Sliding => Counter::Sliding(Box::default()),
        RateKind::Bucket { .. } => Counter::Bucket { at: now, units: 0, parts: 0 },
        RateKind::Fixed => Counter::Fixed { start: Timestamp::from_micros(i64::MIN), used: 0 },
    }
}

/// A mark that answered, with the event's time and price.
pub(super) fn marked(reader: &mut Reader<'_>) -> Option<Marked> {
    let (at, price_micros, durable) = (reader.moment()?, reader.whole()?, reader.flag()?);
    let answer = if reader.follows()? { Some(answer(reader)?) } else { None };
    Some(Marked { at, price_micros, durable, answer })
}

/// What a change did.
pub(super) fn answer(reader: &mut Reader<'_>) -> Option<Answer> {
    reader.list()?;
    let what = reader.text()?;
    let (epoch, number) = (reader.count()?, reader.count()?);
    let period = Period { start: reader.moment()?, end: reader.moment()? };
    let change = Change { epoch, number, period };
    Some(match what {
        "charge" => {
            let (burns, overage_micros) = (burns(reader)?, reader.whole()?);
            let charges = (0..reader.list()?).map(|_| charge(reader)).collect::<Option<_>>()?;
            let expires_at = reader.maybe().ok()?.map(Timestamp::from_micros);
            Answer::Charge { change, burns, overage_micros, charges, expires_at }
        }
        "extend" => {
            let (burns, held_micros, expires_at) = (burns(reader)?, reader.whole()?, reader.moment()?);
            Answer::Extend { change, burns, held_micros, expires_at }
        }
        "end" => {
            let (paid, released, excess) = (burns(reader)?, burns(reader)?, burns(reader)?);
            Answer::End { change, paid, released, excess, overage_micros: reader.whole()? }
        }
        _ => return None,
    })
}

/// A reservation, if one follows.
pub(super) fn reservation(reader: &mut Reader<'_>) -> Result<Option<Reservation>, Cut> {
    if !reader.follows().ok_or(Cut)? {
        return Ok(None);
    }
    reader.bytes().and_then(kept_reservation).ok_or(Cut).map(Some)
}

/// A reservation as it is kept.
pub(super) fn kept_reservation(bytes: &[u8]) -> Option<Reservation> {
    let mut reader = Reader::new(bytes);
    let parts = reader.list()?;
    let held = burns(&mut reader)?;
    let (opened_at, expires_at, excess_allowed) = (reader.moment()?, reader.moment()?, reader.flag()?);
    let kind = if reader.follows()? { Some(reader.text()?) } else { None };
    let ended = match kind {
        None => None,
        Some(kind) => {
            let kind = match gone(kind)? {
                Gone::Settled => EndKind::Settled,
                Gone::Released => EndKind::Released,
                Gone::Expired => EndKind::Expired,
                Gone::Unknown => return None,
            };
            let at = reader.moment()?;
            let (took, overage_micros) =
                if parts > 6 { (burns(&mut reader)?, reader.whole()?) } else { Default::default() };
            Some(ReservationEnd { kind, at, took, overage_micros })
        }
    };
    Some(Reservation { held, opened_at, expires_at, excess_allowed, ended })
}

/// Why a reservation cannot be changed.
pub(super) fn gone(word: &str) -> Option<Gone> {
    Some(match word {
        "unknown" => Gone::Unknown,
        "settled" => Gone::Settled,
        "released" => Gone::Released,
        "expired" => Gone::Expired,
        _ => return None,
    })
}

impl Marked {
    /// The decision about a demand, without what stands now: limits and balance.
    pub(super) fn decision(self, state: &State, policy: &Policy) -> Box<Decision> {
        let Self { at, price_micros, answer, .. } = self;
        let Some(Answer::Charge { change, burns, overage_micros, charges, expires_at }) = answer else {
            return Box::new(remembered::decision(state, policy, at, price_micros));
        };
        Box::new(Decision { overage_micros, charges, expires_at, ..change.decision(at, price_micros, burns) })
    }

    /// The decision about an extension, all that was held, and when it ended; without the balance. `None`: only price and
    /// time are known.
    pub(super) fn extension(self) -> Result<(Box<Decision>, i64, Timestamp), Box<Self>> {
        match self.answer {
            Some(Answer::Extend { change, burns, held_micros, expires_at }) => {
                let decision = change.decision(self.at, self.price_micros, burns);
                let decision = Decision { expires_at: Some(expires_at), ..decision };
                Ok((Box::new(decision), held_micros, expires_at))
            }
            _ => Err(Box::new(self)),
        }
    }

    /// The end of a reservation, without the balance.
    pub(super) fn end(self, state: &State, policy: &Policy, held: &[Burn]) -> Box<EndDecision> {
        let Self { at, price_micros, answer, .. } = self;
        let Some(Answer::End { change, paid, released, excess, overage_micros }) = answer else {
            return Box::new(remembered::end(held, at, price_micros, state.period_at(policy, at)));
        };
        let Change { epoch, number, period } = change;
        let balance_micros = 0;
        Box::new(EndDecision {
            at,
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
}

impl Change {
    fn decision(self, at: Timestamp, price_micros: i64, burns: Vec<Burn>) -> Decision {
        Decision {
            verdict: Verdict::Allowed,
            at,
            epoch: self.epoch,
            number: self.number,
            limits: Vec::new(),
            charges: Vec::new(),
            burns,
            overage_micros: 0,
            price_micros,
            balance_micros: None,
            period: self.period,
            expires_at: None,
            basis: Basis::Counters,
        }
    }
}

fn grants_of(reader: &mut Reader<'_>) -> Option<Vec<Grant>> {
    let grants = (0..reader.list()?).map(|_| {
        reader.list()?;
        Some(Grant {
            id: Arc::from(reader.text()?),
            priority: u8::try_from(reader.whole()?).ok()?,
            expires_at: reader.maybe().ok()?.map(Timestamp::from_micros),
            remaining_micros: reader.whole()?,
        })
    });
    grants.collect()
}

fn burns(reader: &mut Reader<'_>) -> Option<Vec<Burn>> {
    let burns = (0..reader.list()?).map(|_| {
        reader.list()?;
        Some(Burn { grant: Arc::from(reader.text()?), micros: reader.whole()? })
    });
    burns.collect()
}

fn charge(reader: &mut Reader<'_>) -> Option<CounterCharge> {
    reader.list()?;
    let limit = limit_key(reader.bytes()?)?;
    let (member, name) = (Arc::from(reader.text()?), Arc::from(reader.text()?));
    let kind = match reader.whole()? {
        1 => LimitKind::Sliding,
        2 => LimitKind::Bucket,
        3 => LimitKind::Fixed,
        4 => LimitKind::Quota,
        _ => return None,
    };
    Some(CounterCharge {
        counter: CounterId { limit, member },
        name,
        kind,
        units: reader.whole()?,
        used_before: reader.whole()?,
        used_after: reader.whole()?,
        limit: reader.maybe().ok()?,
        window: reader.whole()?,
        mark: reader.moment()?,
    })
}

pub(super) fn limit_key(bytes: &[u8]) -> Option<LimitKey> {
    Some(LimitKey(u64::from_be_bytes(bytes.try_into().ok()?)))
}
