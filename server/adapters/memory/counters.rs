//! The counters in this process's memory: every tenant in one of many shards, each under a lock that is never held for
//! longer than one decision.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::adapters::memory::marks::{Answer, Found, Marks, NewMark};
use crate::adapters::memory::shard::Shard;
use crate::adapters::memory::tenant::Tenant;
use crate::gate::call::{Demand, Effect, EventKey, PayloadHash};
use crate::gate::counters::{
    Charged, Completed, Correction, Counters, CountersError, End, Ended, Extend, Extended, Gone, Over,
};
use crate::gate::credit;
use crate::gate::decide::{self, Outcome};
use crate::gate::decision::Verdict;
use crate::gate::hold::{self, Ending, Extension};
use crate::gate::policy::Policy;
use crate::gate::remembered;
use crate::gate::state::{EndKind, Grant, Reservation, State};
use crate::time::{Clock, Timestamp};

/// The most marks that are kept: some 80 bytes each, as many events as 1,000 a second make in an hour.
pub const MARKS_MAX: usize = 4_000_000;

/// Locks that tenants are spread over.
const SHARDS: usize = 128;

/// Counters of all tenants in memory.
#[derive(Debug)]
pub struct MemoryCounters {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

impl MemoryCounters {
    /// Counters with nobody installed.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(MARKS_MAX / SHARDS))).collect();
        Self { clock, hasher: RandomState::new(), shards }
    }

    fn shard(&self, tenant: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(tenant) >> 32).unwrap_or(0) % SHARDS;
        // A decision is computed before it is carried out, so that a panic leaves no half of one: a poisoned lock is still
        // good.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Counters for MemoryCounters {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn charge(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
    ) -> Result<Charged, CountersError> {
        let mut shard = self.shard(tenant);
        let now = self.clock.now();
        let Some((tenant, marks)) = shard.tenant(tenant, now) else { return Ok(Charged::Missing) };
        let leaves_mark = !matches!(demand.effect, Effect::Dry);
        if leaves_mark && let Some(found) = marks.find(demand.event, now) {
            return Ok(replay(tenant, policy, demand, found, now));
        }
        let mut decision = match decide::decide(&mut tenant.state, policy, demand, now) {
            Outcome::Decided(decision) => Box::new(decision),
            Outcome::AllowanceDue(period) => {
                return Ok(Charged::AllowanceDue { period_start: period.start, period_end: period.end });
            }
        };
        if leaves_mark && decision.verdict == Verdict::Allowed {
            // A retry is told how the limits stand then, so they are not kept.
            let limits = std::mem::take(&mut decision.limits);
            let answer = Answer::Charge(decision.clone());
            decision.limits = limits;
            keep(marks, demand.event, demand.payload, decision.price_micros, answer, now);
        }
        Ok(Charged::Decided(decision))
    }

    async fn committed(&self, events: &[(Arc<str>, EventKey)]) -> Result<(), CountersError> {
        for (tenant, event) in events {
            self.shard(tenant).marks.commit(*event);
        }
        Ok(())
    }

    async fn install(&self, tenant: &str, state: State) -> Result<(), CountersError> {
        self.shard(tenant).install(tenant, state, self.clock.now());
        Ok(())
    }

    async fn grant(&self, tenant: &str, grant: Grant) -> Result<bool, CountersError> {
        let mut shard = self.shard(tenant);
        let Some((tenant, _)) = shard.tenant(tenant, self.clock.now()) else { return Ok(false) };
        if credit::insert(&mut tenant.state.grants, grant) {
            tenant.state.advance();
        }
        Ok(true)
    }

    async fn extend(
        &self,
        tenant: &str,
        policy: &Policy,
        extend: &Extend<'_>,
    ) -> Result<Extended, CountersError> {
        let mut shard = self.shard(tenant);
        let now = self.clock.now();
        let Some((tenant, marks)) = shard.tenant(tenant, now) else { return Ok(Extended::Missing) };
        if let Some(found) = marks.find(extend.event, now) {
            return Ok(replay_extension(tenant, policy, extend, found, now));
        }
        let (decision, held_micros, expires_at) = match hold::extend(&mut tenant.state, policy, extend, now) {
            Extension::Decided { decision, held_micros, expires_at } => (decision, held_micros, expires_at),
            Extension::Gone(gone) => return Ok(Extended::Gone(gone)),
        };
        if decision.verdict == Verdict::Allowed {
            let answer = Answer::Extension { decision: decision.clone(), held_micros, expires_at };
            keep(marks, extend.event, extend.payload, decision.price_micros, answer, now);
        }
        Ok(Extended::Decided { decision, held_micros, expires_at, replayed: false, durable: false })
    }

    async fn end(&self, tenant: &str, policy: &Policy, end: &End<'_>) -> Result<Ended, CountersError> {
        let mut shard = self.shard(tenant);
        let now = self.clock.now();
        let Some((tenant, marks)) = shard.tenant(tenant, now) else { return Ok(Ended::Missing) };
        let is_living =
            tenant.state.reservations.get(end.reservation).is_some_and(|held| held.ended.is_none());
        // An end that was abandoned is nothing any more where its reservation was revived.
        let found = marks.find_abandoned(end.event, now).filter(|found| !found.abandoned || !is_living);
        if let Some(found) = found {
            return Ok(replay_end(tenant, policy, marks, end, found, now));
        }
        match hold::end(&mut tenant.state, policy, end, now) {
            Ending::Done(done) => {
                let done = Box::new(done);
                let price = end.price_micros.unwrap_or(0);
                keep(marks, end.event, end.payload, price, Answer::End(done.clone()), now);
                Ok(Ended::Done { end: done, replayed: false, durable: false })
            }
            Ending::AboveHold { held_micros } => Ok(Ended::AboveHold { held_micros }),
            Ending::Gone(gone) => Ok(Ended::Gone(gone)),
        }
    }

    async fn expired(
        &self,
        tenant: &str,
        reservations: &[Over],
        grants: &[Arc<str>],
    ) -> Result<(), CountersError> {
        let mut shard = self.shard(tenant);
        let now = self.clock.now();
        if let Some((tenant, _)) = shard.tenant(tenant, now) {
            tenant.state.advance();
            for over in reservations {
                hold::expire(&mut tenant.state, over, now);
            }
            tenant.state.grants.retain(|grant| !grants.contains(&grant.id));
        }
        Ok(())
    }

    async fn complete(
        &self,
        tenant: &str,
        event: EventKey,
        outcome: PayloadHash,
    ) -> Result<Completed, CountersError> {
        let mut shard = self.shard(tenant);
        let now = self.clock.now();
        let Some((_, marks)) = shard.tenant(tenant, now) else { return Ok(Completed::Unknown) };
        if marks.find(event, now).is_none() {
            return Ok(Completed::Unknown);
        }
        Ok(match marks.find(event.completion(), now) {
            Some(found) if found.payload == outcome => Completed::Replayed { durable: found.durable },
            Some(_) => Completed::Conflict,
            None => {
                keep(marks, event.completion(), outcome, 0, Answer::Plain, now);
                Completed::Fresh
            }
        })
    }

    async fn read(&self, tenant: &str) -> Result<Option<State>, CountersError> {
        let mut shard = self.shard(tenant);
        Ok(shard.tenant(tenant, self.clock.now()).map(|(tenant, _)| tenant.state.clone()))
    }

    async fn correct(&self, tenant: &str, correction: &Correction) -> Result<bool, CountersError> {
        let mut shard = self.shard(tenant);
        Ok(shard.tenant(tenant, self.clock.now()).is_some_and(|(tenant, _)| tenant.correct(correction)))
    }
}

fn keep(
    marks: &mut Marks,
    event: EventKey,
    payload: PayloadHash,
    price_micros: i64,
    answer: Answer,
    now: Timestamp,
) {
    marks.keep(NewMark { event, payload, at: now, price_micros, answer, durable: false }, now);
}

/// The first answer again, with the limits of this moment.
fn replay(
    tenant: &mut Tenant,
    policy: &Policy,
    demand: &Demand<'_>,
    found: Found,
    now: Timestamp,
) -> Charged {
    if found.payload != demand.payload {
        return Charged::Conflict;
    }
    let mut decision = match found.answer {
        Answer::Charge(decision) => decision,
        Answer::Plain | Answer::Extension { .. } | Answer::End(_) => {
            let mut decision =
                Box::new(remembered::decision(&tenant.state, policy, found.at, found.price_micros));
            if let Effect::Hold { reservation, .. } = demand.effect {
                decision.expires_at = tenant.state.reservations.get(reservation).map(|hold| hold.expires_at);
            }
            decision
        }
    };
    (decision.limits, decision.balance_micros) =
        decide::standing(&mut tenant.state, policy, &demand.call, now);
    Charged::Replayed { decision, durable: found.durable }
}

fn replay_extension(
    tenant: &Tenant,
    policy: &Policy,
    extend: &Extend<'_>,
    found: Found,
    now: Timestamp,
) -> Extended {
    if found.payload != extend.payload {
        return Extended::Conflict;
    }
    let durable = found.durable;
    if let Answer::Extension { mut decision, held_micros, expires_at } = found.answer {
        decision.balance_micros = tenant.state.balance(policy, now);
        return Extended::Decided { decision, held_micros, expires_at, replayed: true, durable };
    }
    let Some(reservation) = tenant.state.reservations.get(extend.reservation) else {
        return Extended::Gone(Gone::Unknown);
    };
    let mut decision = Box::new(remembered::decision(&tenant.state, policy, found.at, found.price_micros));
    decision.balance_micros = tenant.state.balance(policy, now);
    decision.expires_at = Some(reservation.expires_at);
    let (held_micros, expires_at) = (credit::total(&reservation.held), reservation.expires_at);
    Extended::Decided { decision, held_micros, expires_at, replayed: true, durable }
}

/// The first end again. One that was abandoned has changed the counters, but the journal does not have it: it is said
/// anew, under a new time and number, as long as the reservation would still live.
fn replay_end(
    tenant: &mut Tenant,
    policy: &Policy,
    marks: &mut Marks,
    end: &End<'_>,
    found: Found,
    now: Timestamp,
) -> Ended {
    let reservation = tenant.state.reservations.get(end.reservation);
    if found.payload != end.payload {
        return Ended::Gone(gone(reservation));
    }
    let expired = reservation.is_none_or(|reservation| reservation.expires_at <= now);
    if found.abandoned && expired {
        return Ended::Gone(Gone::Expired);
    }
    let balance_micros = credit::balance(&tenant.state.grants, now);
    let mut done = match found.answer {
        Answer::End(done) => done,
        Answer::Plain | Answer::Charge(_) | Answer::Extension { .. } => {
            let held = reservation.map_or(&[][..], |reservation| &reservation.held);
            let period = tenant.state.period_at(policy, found.at);
            Box::new(remembered::end(held, found.at, found.price_micros, period))
        }
    };
    done.balance_micros = balance_micros;
    if found.abandoned {
        done.at = now;
        done.epoch = tenant.state.epoch;
        done.number = tenant.state.advance();
        let known = tenant.state.reservations.get_mut(end.reservation);
        if let Some(ended) = known.and_then(|known| known.ended.as_mut()) {
            ended.at = now;
        }
        keep(marks, end.event, end.payload, found.price_micros, Answer::End(done.clone()), now);
    }
    Ended::Done { end: done, replayed: true, durable: found.durable }
}

fn gone(reservation: Option<&Reservation>) -> Gone {
    match reservation.map(|reservation| reservation.ended.as_ref().map(|end| end.kind)) {
        None => Gone::Unknown,
        Some(Some(EndKind::Settled)) => Gone::Settled,
        Some(Some(EndKind::Released)) => Gone::Released,
        Some(Some(EndKind::Expired) | None) => Gone::Expired,
    }
}
