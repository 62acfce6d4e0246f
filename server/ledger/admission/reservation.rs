//! Credits held for calls whose cost is known at their end (rule T).

use std::sync::Arc;

use prost::Message as _;

use super::{
    Admission, AdmissionError, LOADS_MAX, Subject, Tracked, call, check_time, enter, head, identify,
};
use crate::gate::call::{Demand, Effect, EventKey, PayloadHash};
use crate::gate::counters::{Charged, End, EndDecision, Ended, Extend, Extended, Gone};
use crate::gate::decision::{Burn, Decision, Verdict};
use crate::ledger::entry::{self, Change};
use crate::ledger::event::{self, Event, KeyKind, Outcome};
use crate::ledger::loader::LoadError;
use crate::ledger::queue::{Kept, Place};
use crate::ledger::record::{Body, EndKind, Extension as ExtensionRecord, Mode};
use crate::ledger::reservation_id;
use crate::ledger::standing::{Standing, decode};
use crate::ledger::sweeper;
use crate::time::Timestamp;

/// A reservation that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ReserveOrder {
    /// How much to hold, in micro-credits.
    pub micros: i64,
    /// How long it lives, in microseconds.
    pub ttl: i64,
    /// Whether a settlement may be above the hold.
    pub excess_allowed: bool,
}

/// The answer to a reservation.
#[derive(Debug)]
pub struct Reservation {
    /// The decision about the call.
    pub tracked: Tracked,
    /// The hold; `None`: the call was refused.
    pub held: Option<(String, Timestamp)>,
}

/// An extension that is asked for.
#[derive(Clone, Debug)]
pub struct ExtendOrder {
    /// The reservation.
    pub reservation: String,
    /// Makes a retry safe.
    pub request_id: String,
    /// Microseconds to live from now; `None`: the expiry stays.
    pub ttl: Option<i64>,
    /// How much more to hold, in micro-credits.
    pub additional_micros: i64,
}

/// The answer to an extension.
#[derive(Debug)]
pub struct Extension {
    /// The decision.
    pub decision: Decision,
    /// All that is held now, in micro-credits.
    pub held_micros: i64,
    /// When the hold ends by itself now.
    pub expires_at: Timestamp,
    /// Whether the request extended before.
    pub replayed: bool,
    /// How safely it is kept.
    pub kept: Kept,
}

/// A settlement that is asked for.
#[derive(Clone, Debug)]
pub struct SettleOrder {
    /// The reservation.
    pub reservation: String,
    /// What the call cost, in micro-credits; `None`: the plan prices it with the outcome.
    pub price_micros: Option<i64>,
    /// The outcome.
    pub outcome: Outcome,
}

/// The answer to a settlement.
#[derive(Debug)]
pub struct Settlement {
    /// What the call cost, in micro-credits.
    pub charged_micros: i64,
    /// What was held and is free again.
    pub released_micros: i64,
    /// What was charged above the hold.
    pub excess_micros: i64,
    /// What is free to be spent.
    pub balance_micros: i64,
    /// Whether it was settled before.
    pub replayed: bool,
    /// How safely it is kept.
    pub kept: Kept,
}

/// The answer to a release.
#[derive(Debug)]
pub struct Release {
    /// What was held and is free again, in micro-credits.
    pub released_micros: i64,
    /// What is free to be spent.
    pub balance_micros: i64,
    /// Whether it was released before.
    pub replayed: bool,
    /// How safely it is kept.
    pub kept: Kept,
}

impl Admission {
    /// Decides about a call and holds credits for it.
    pub async fn reserve(
        &self,
        subject: Subject<'_>,
        mut event: Event,
        order: ReserveOrder,
    ) -> Result<Reservation, AdmissionError> {
        let is_named = !event.id.is_empty();
        let content = identify(&mut event, Mode::Decide);
        let payload = reserve_payload(content, order);
        let key = event::key(subject.tenant, KeyKind::Event, &event.id);
        let reservation = Arc::<str>::from(reservation_id::of(key));
        if let Err(invalid) = check_time(&event, Mode::Decide, self.counters.now()) {
            let known =
                if is_named { self.decided_before(subject, &event.id, key, payload).await? } else { None };
            let tracked = known.ok_or(invalid)?.finish().await?;
            let held = tracked.decision.expires_at.map(|at| (reservation.as_ref().to_owned(), at));
            return Ok(Reservation { tracked, held });
        }
        let effect =
            Effect::Hold { reservation: &reservation, ttl: order.ttl, excess_allowed: order.excess_allowed };
        let call = call(subject, &event);
        let demand = Demand { event: key, payload, call, price_micros: order.micros, effect };
        let (place, charged) = self.charge(subject, &demand).await?;
        let (decision, replayed, durable) = match charged {
            Charged::Decided(decision) => (*decision, false, false),
            Charged::Replayed { decision, durable } => (*decision, true, durable),
            Charged::Conflict => return Err(AdmissionError::Conflict(event.id)),
            Charged::Missing | Charged::AllowanceDue { .. } => return Err(LoadError::Unsettled.into()),
        };
        let expires_at = decision.expires_at.unwrap_or(decision.at.plus(order.ttl));
        let allowed = decision.verdict == Verdict::Allowed;
        let held = allowed.then(|| (reservation.as_ref().to_owned(), expires_at));
        if durable {
            let tracked = Tracked { decision, event_id: event.id, replayed, kept: Kept::Committed };
            return Ok(Reservation { tracked, held });
        }
        let tracked =
            self.keep_hold(place, subject, event, (key, payload), decision, order, &reservation).await?;
        Ok(Reservation { tracked: Tracked { replayed, ..tracked }, held })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one record, each used once")]
    async fn keep_hold(
        &self,
        place: Place<'_>,
        subject: Subject<'_>,
        mut event: Event,
        (key, payload): (EventKey, PayloadHash),
        decision: Decision,
        order: ReserveOrder,
        reservation: &Arc<str>,
    ) -> Result<Tracked, AdmissionError> {
        let Some(expires_at) = decision.expires_at.filter(|_| decision.verdict == Verdict::Allowed) else {
            return enter(place, subject, Mode::Decide, event, (key, payload), decision).finish().await;
        };
        let event_id = event.id.clone();
        event.occurred_at_micros.get_or_insert(decision.at.micros());
        let api_key = subject.api_key.map_or("", |id| id.as_ref());
        let mut usage = entry::usage(Mode::Decide, event, api_key, subject.policy, &decision);
        usage.hold = Some(entry::hold(reservation, expires_at, order.excess_allowed));
        let record =
            head(subject, key, payload).record(decision.at, Change::of(&decision), Body::Usage(usage));
        let kept = place.commit(record, Some((Arc::clone(subject.tenant), key))).wait().await?;
        Ok(Tracked { decision, event_id, replayed: false, kept })
    }

    /// Moves a living reservation's expiry, holds more, or both.
    pub async fn extend(
        &self,
        subject: Subject<'_>,
        order: ExtendOrder,
    ) -> Result<Extension, AdmissionError> {
        let content = format!("{:?} {}", order.ttl, order.additional_micros);
        let payload = event::payload(b'x', content.as_bytes());
        let id = format!("{}:{}", order.reservation, order.request_id);
        let key = event::key(subject.tenant, KeyKind::Extension, &id);
        let reservation = Arc::<str>::from(order.reservation.as_str());
        if let Some(before) = self.extended_before(subject, &order, key, payload).await? {
            return Ok(before);
        }
        let extend = Extend {
            reservation: &reservation,
            event: key,
            payload,
            ttl: order.ttl,
            additional_micros: order.additional_micros,
        };
        for _ in 0..LOADS_MAX {
            let place = self.queue.place()?;
            let asking = self.queue.asking(subject.tenant);
            let extended = self.counters.extend(subject.tenant, subject.policy, &extend).await;
            match asking.answered(extended)? {
                Extended::Decided { decision, held_micros, expires_at, replayed, durable } => {
                    let decision = *decision;
                    let allowed = decision.verdict == Verdict::Allowed;
                    let mut kept = if allowed { Kept::Committed } else { Kept::Nothing };
                    if allowed && !durable {
                        let body = Body::Extension(ExtensionRecord {
                            reservation: order.reservation,
                            expires_at_micros: expires_at.micros(),
                            burns: entry::burns(&decision.burns),
                        });
                        let head = head(subject, key, payload);
                        let record = head.record(decision.at, Change::of(&decision), body);
                        let mark = Some((Arc::clone(subject.tenant), key));
                        kept = place.commit_to_journal(record, mark).wait().await?;
                    }
                    return Ok(Extension { decision, held_micros, expires_at, replayed, kept });
                }
                Extended::Conflict => return Err(AdmissionError::RequestConflict(order.request_id)),
                Extended::Gone(gone) => {
                    drop(place);
                    return Err(self.gone(subject, order.reservation, gone).await?);
                }
                Extended::Missing => {
                    drop(place);
                    self.loader.load(subject.tenant).await?;
                }
            }
        }
        Err(LoadError::Unsettled.into())
    }

    /// Ends a reservation with what the call cost.
    pub async fn settle(
        &self,
        subject: Subject<'_>,
        order: SettleOrder,
    ) -> Result<Settlement, AdmissionError> {
        let price_micros = match order.price_micros {
            Some(price) => price,
            None => self.price(subject, &order).await?,
        };
        let salted = [&price_micros.to_le_bytes()[..], &order.outcome.encode_to_vec()].concat();
        let payload = event::payload(b's', &salted);
        let ending = Ending { reservation: order.reservation, price_micros: Some(price_micros), payload };
        let Over { end, replayed, kept } = self.end(subject, ending, Some(order.outcome)).await?;
        Ok(Settlement {
            charged_micros: price_micros,
            released_micros: sum(&end.released),
            excess_micros: sum(&end.excess).saturating_add(end.overage_micros),
            balance_micros: end.balance_micros,
            replayed,
            kept,
        })
    }

    /// Ends a reservation at no cost.
    pub async fn release(
        &self,
        subject: Subject<'_>,
        reservation: String,
    ) -> Result<Release, AdmissionError> {
        let ending = Ending { reservation, price_micros: None, payload: event::payload(b'r', b"") };
        let Over { end, replayed, kept } = self.end(subject, ending, None).await?;
        let released_micros = sum(&end.released);
        Ok(Release { released_micros, balance_micros: end.balance_micros, replayed, kept })
    }

    async fn end(
        &self,
        subject: Subject<'_>,
        ending: Ending,
        outcome: Option<Outcome>,
    ) -> Result<Over, AdmissionError> {
        let key = end_key(subject.tenant, &ending.reservation);
        let payload = ending.payload;
        let reservation = Arc::<str>::from(ending.reservation.as_str());
        let end = End { reservation: &reservation, event: key, payload, price_micros: ending.price_micros };
        for _ in 0..LOADS_MAX {
            let place = self.queue.place()?;
            let asking = self.queue.asking(subject.tenant);
            let ended = self.counters.end(subject.tenant, subject.policy, &end).await;
            match asking.answered(ended)? {
                Ended::Done { end, replayed, durable } => {
                    let mut kept = Kept::Committed;
                    if !durable {
                        let record = end_record(subject, key, &ending, &end, outcome);
                        let mark = Some((Arc::clone(subject.tenant), key));
                        kept = place.commit_to_journal(record, mark).wait().await?;
                        if replayed {
                            // If it was said anew, its number is above one at which what it paid may have been given back
                            // for want of it (rule M).
                            self.queue.suspect(subject.tenant);
                        }
                    }
                    return Ok(Over { end: *end, replayed, kept });
                }
                Ended::AboveHold { held_micros } => {
                    let price_micros = ending.price_micros.unwrap_or_default();
                    return Err(AdmissionError::AboveHold { price_micros, held_micros });
                }
                // The place is given back first: whoever waits for the ledger must not hold low-water back.
                Ended::Gone(Gone::Unknown) => {
                    drop(place);
                    return self.ended_before(subject, ending).await;
                }
                Ended::Gone(gone) => {
                    drop(place);
                    return Err(self.gone(subject, ending.reservation, gone).await?);
                }
                Ended::Missing => {
                    drop(place);
                    self.loader.load(subject.tenant).await?;
                }
            }
        }
        Err(LoadError::Unsettled.into())
    }

    /// Says precisely why a reservation cannot be changed.
    async fn gone(
        &self,
        subject: Subject<'_>,
        reservation: String,
        gone: Gone,
    ) -> Result<AdmissionError, AdmissionError> {
        let kind = match gone {
            Gone::Settled => EndKind::Settled,
            Gone::Released => EndKind::Released,
            Gone::Expired => {
                self.expire(subject.tenant, &reservation).await?;
                EndKind::Expired
            }
            Gone::Unknown => {
                self.loader.settled().await?;
                let key = end_key(subject.tenant, &reservation);
                let Some(amendment) = self.events.amendment(key).await? else {
                    return Ok(AdmissionError::ReservationUnknown(reservation));
                };
                match decode(&amendment.body, subject.tenant)?.body {
                    Some(Body::End(end)) => end.kind(),
                    _ => return Ok(AdmissionError::ReservationUnknown(reservation)),
                }
            }
        };
        Ok(ended_as(kind, reservation))
    }

    /// Ends a reservation in the ledger that has expired in the counters, before anybody is told: an extension that has shortened
    /// its life may never become durable, and the counters may forget that it was made.
    async fn expire(&self, tenant: &Arc<str>, reservation: &str) -> Result<(), AdmissionError> {
        self.loader.settled().await?;
        let account = self.loader.account(tenant).await.map_err(LoadError::from)?;
        let now = self.counters.now();
        let Some(hold) = account.hold(reservation).filter(|hold| hold.expires_at_micros > now.micros())
        else {
            return Ok(());
        };
        sweeper::expire(&self.queue, tenant, hold, now)?.wait().await?;
        // The counters hold it until they are told.
        self.queue.suspect(tenant);
        Ok(())
    }

    /// What the plan asks for the reservation's call, now that its outcome is known.
    async fn price(&self, subject: Subject<'_>, order: &SettleOrder) -> Result<i64, AdmissionError> {
        let unknown = || AdmissionError::ReservationUnknown(order.reservation.clone());
        let key = reservation_id::event(&order.reservation).ok_or_else(unknown)?;
        self.loader.settled().await?;
        let row = self.events.get(&[key]).await?.into_iter().flatten().next().ok_or_else(unknown)?;
        if row.row.tenant != *subject.tenant {
            return Err(unknown());
        }
        let mut event = Standing::of(decode(&row.row.body, subject.tenant)?)
            .and_then(|standing| standing.event().cloned())
            .ok_or_else(unknown)?;
        event.complete(&order.outcome);
        Ok(subject.policy.prices.price(&call(subject, &event))?)
    }
}

fn end_record(
    subject: Subject<'_>,
    key: EventKey,
    ending: &Ending,
    decision: &EndDecision,
    outcome: Option<Outcome>,
) -> Vec<u8> {
    let kind = if ending.price_micros.is_some() { EndKind::Settled } else { EndKind::Released };
    let mut end = entry::end(&ending.reservation, kind, decision);
    end.outcome = outcome;
    let change = Change { epoch: decision.epoch, number: decision.number };
    head(subject, key, ending.payload).record(decision.at, change, Body::End(end))
}

/// The end of a reservation that is asked for.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) reservation: String,
    pub(super) price_micros: Option<i64>,
    pub(super) payload: PayloadHash,
}

/// A reservation that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) end: EndDecision,
    /// Whether it was before.
    pub(super) replayed: bool,
    pub(super) kept: Kept,
}

/// The key of the end of a reservation: made from its id alone, so that it ends once.
pub fn end_key(tenant: &str, reservation: &str) -> EventKey {
    event::key(tenant, KeyKind::End, reservation)
}

fn reserve_payload(content: PayloadHash, order: ReserveOrder) -> PayloadHash {
    let text = format!("{:x} {} {} {}", content.0, order.micros, order.ttl, order.excess_allowed);
    event::payload(b'h', text.as_bytes())
}

pub(super) const fn ended_as(kind: EndKind, reservation: String) -> AdmissionError {
    match kind {
        EndKind::Settled => AdmissionError::ReservationSettled(reservation),
        EndKind::Released => AdmissionError::ReservationReleased(reservation),
        EndKind::Expired => AdmissionError::ReservationExpired(reservation),
    }
}

pub(super) fn sum(burns: &[Burn]) -> i64 {
    burns.iter().map(|burn| burn.micros).fold(0, i64::saturating_add)
}
