//! The one place that puts the steps of a call in order: a place in the queue, the gate, the journal.

use std::sync::Arc;

use tracing::{Instrument as _, debug_span, instrument};
use uuid::Uuid;

use crate::failpoint::{self, Mutant};
use crate::fault::Invalid;
use crate::gate::call::{Call, Demand, Effect, EventKey, PayloadHash, TokenCount};
use crate::gate::counters::{Charged, Counters};
use crate::gate::decision::{Basis, Decision, Refusal, Verdict};
use crate::gate::period::Period;
use crate::gate::policy::Policy;
use crate::ledger::entry::{self, Change, Head};
use crate::ledger::event::{self, Event, KeyKind};
use crate::ledger::events::Events;
use crate::ledger::loader::{LoadError, Loader};
use crate::ledger::queue::{Commit, Kept, Place, Queue, QueueError};
use crate::ledger::record::{Body, Mode};
use crate::time::{DAY, MINUTE, Timestamp};

mod completion;
mod error;
mod remembered;
mod reservation;

pub use completion::{Completed, Completing, Completion};
pub use error::AdmissionError;
pub use reservation::{
    ExtendOrder, Extension, Release, Reservation, ReserveOrder, SettleOrder, Settlement, end_key,
};

/// How far from now a call that asks for a decision may have been made, in microseconds (rule R).
pub const DECIDED_SKEW_MAX: i64 = 5 * MINUTE;
/// How long ago a recorded call may have been made, in microseconds (rule R).
pub const RECORDED_AGE_MAX: i64 = 35 * DAY;
/// How often one call may find its tenant's counters missing before it is given up.
const LOADS_MAX: u32 = 8;

/// Decides about calls and makes the decisions durable.
#[derive(Debug)]
pub struct Admission {
    counters: Arc<dyn Counters>,
    queue: Arc<Queue>,
    events: Arc<dyn Events>,
    loader: Arc<Loader>,
}

/// For whom a call is decided.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The tenant.
    pub tenant: &'a Arc<str>,
    /// The rules of its plan.
    pub policy: &'a Policy,
    /// The tenant's key that makes the call.
    pub api_key: Option<&'a Arc<str>>,
}

/// A call that was decided, and is on its way to the journal.
#[derive(Debug)]
pub struct Admitted {
    tracked: Tracked,
    commit: Option<Commit>,
}

/// The answer to a tracked call.
#[derive(Debug)]
pub struct Tracked {
    /// What was decided; a replay's is the first one.
    pub decision: Decision,
    /// The event's id.
    pub event_id: String,
    /// Whether it was tracked before.
    pub replayed: bool,
    /// How safely it is kept.
    pub kept: Kept,
}

impl Admission {
    /// Admission over its parts.
    #[must_use]
    pub const fn new(
        counters: Arc<dyn Counters>,
        queue: Arc<Queue>,
        events: Arc<dyn Events>,
        loader: Arc<Loader>,
    ) -> Self {
        Self { counters, queue, events, loader }
    }

    /// The counters' clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.counters.now()
    }

    /// What [`Admission::admit`] would decide. Takes and keeps nothing.
    #[instrument(level = "debug", skip_all, name = "check", target = "tollgate::admission")]
    pub async fn check(&self, subject: Subject<'_>, event: &Event) -> Result<Decision, AdmissionError> {
        let now = self.counters.now();
        check_time(event, Mode::Decide, now)?;
        let call = call(subject, event);
        let price_micros = subject.policy.prices.price(&call)?;
        self.dry(subject, call, price_micros).await
    }

    /// The state of all limits that apply to a call that uses nothing.
    pub async fn limits(&self, subject: Subject<'_>, event: &Event) -> Result<Decision, AdmissionError> {
        self.dry(subject, Call { weight: 0, ..call(subject, event) }, 0).await
    }

    /// Decides about an event, and sends it to the journal. Between the charge and the queue nothing can come between: a caller
    /// that goes away half-way leaves nothing half-done.
    #[instrument(level = "debug", skip_all, name = "admit", target = "tollgate::admission")]
    pub async fn admit(
        &self,
        subject: Subject<'_>,
        mode: Mode,
        mut event: Event,
    ) -> Result<Admitted, AdmissionError> {
        let is_named = !event.id.is_empty();
        let payload = identify(&mut event, mode);
        let key = event::key(subject.tenant, KeyKind::Event, &event.id);
        if let Err(invalid) = check_time(&event, mode, self.counters.now()) {
            // Only what has a name can have been decided before, when its time was good.
            let known =
                if is_named { self.decided_before(subject, &event.id, key, payload).await? } else { None };
            return known.ok_or_else(|| invalid.into());
        }
        if mode == Mode::Import {
            return self.import(subject, event, key, payload).await;
        }
        let call = call(subject, &event);
        let effect = match (mode, event.occurred_at_micros) {
            (Mode::Record, Some(micros)) => Effect::Record { occurred_at: Timestamp::from_micros(micros) },
            (Mode::Record, None) => Effect::Record { occurred_at: self.counters.now() },
            _ => Effect::Charge,
        };
        let price_micros = subject.policy.prices.price(&call)?;
        if !subject.policy.tracks(&event.endpoint) {
            return Ok(Admitted::unkept(self.dry(subject, call, price_micros).await?, event.id));
        }
        let demand = Demand { event: key, payload, call, price_micros, effect };
        let (place, charged) = self.charge(subject, &demand).await?;
        match charged {
            Charged::Decided(decision) => Ok(enter(place, subject, mode, event, (key, payload), *decision)),
            Charged::Replayed { decision, durable } => {
                if durable || failpoint::is(Mutant::AnswerFromPendingMark) {
                    let tracked = Tracked {
                        decision: *decision,
                        event_id: event.id,
                        replayed: true,
                        kept: Kept::Committed,
                    };
                    return Ok(Admitted { tracked, commit: None });
                }
                let mut admitted = enter(place, subject, mode, event, (key, payload), *decision);
                admitted.tracked.replayed = true;
                Ok(admitted)
            }
            Charged::Conflict => Err(AdmissionError::Conflict(event.id)),
            Charged::Missing | Charged::AllowanceDue { .. } => Err(QueueError::Unavailable.into()),
        }
    }

    /// Keeps a refusal that was decided before the gate was asked (rule D). Nobody waits for it.
    pub fn turn_away(
        &self,
        subject: Subject<'_>,
        mut event: Event,
        refusal: &Refusal,
    ) -> Result<(), AdmissionError> {
        let payload = identify(&mut event, Mode::Decide);
        let key = event::key(subject.tenant, KeyKind::Event, &event.id);
        let now = self.counters.now();
        event.occurred_at_micros.get_or_insert(now.micros());
        let api_key = subject.api_key.map_or("", |id| id.as_ref());
        let body = Body::Refusal(entry::refusal(event, api_key, subject.policy, refusal, Basis::Counters));
        self.queue.place()?.note(head(subject, key, payload).record(now, Change::NONE, body));
        Ok(())
    }

    /// Takes a place, then charges; loads what is missing, and asks again.
    async fn charge(
        &self,
        subject: Subject<'_>,
        demand: &Demand<'_>,
    ) -> Result<(Place<'_>, Charged), AdmissionError> {
        for _ in 0..LOADS_MAX {
            let place =
                debug_span!(target: "tollgate::admission", "place").in_scope(|| self.queue.place())?;
            let gate = debug_span!(target: "tollgate::admission", "gate");
            let asking = self.queue.asking(subject.tenant);
            let charged = self.counters.charge(subject.tenant, subject.policy, demand).instrument(gate).await;
            match asking.answered(charged)? {
                // The place is given back first: what is loaded may need one of its own.
                Charged::Missing => {
                    drop(place);
                    self.loader.load(subject.tenant).await?;
                }
                Charged::AllowanceDue { period_start, period_end } => {
                    drop(place);
                    self.loader.allow(subject.tenant, subject.policy, period_start, period_end).await?;
                }
                decided => {
                    self.queue.met(subject.tenant);
                    if matches!(&decided, Charged::Decided(decision) if decision.basis == Basis::Local) {
                        // The counters did not answer: they may have been charged all the same.
                        self.queue.suspect(subject.tenant);
                    }
                    return Ok((place, decided));
                }
            }
        }
        Err(LoadError::Unsettled.into())
    }

    async fn dry(
        &self,
        subject: Subject<'_>,
        call: Call<'_>,
        price_micros: i64,
    ) -> Result<Decision, AdmissionError> {
        let demand =
            Demand { event: EventKey(0), payload: PayloadHash(0), call, price_micros, effect: Effect::Dry };
        for _ in 0..LOADS_MAX {
            match self.counters.charge(subject.tenant, subject.policy, &demand).await? {
                Charged::Missing => self.loader.load(subject.tenant).await?,
                Charged::AllowanceDue { period_start, period_end } => {
                    self.loader.allow(subject.tenant, subject.policy, period_start, period_end).await?;
                }
                Charged::Decided(decision) | Charged::Replayed { decision, .. } => return Ok(*decision),
                Charged::Conflict => return Err(LoadError::Unsettled.into()),
            }
        }
        Err(LoadError::Unsettled.into())
    }

    /// History is kept and summed, and touches neither counters nor credits. The ledger itself knows what it has.
    async fn import(
        &self,
        subject: Subject<'_>,
        mut event: Event,
        key: EventKey,
        payload: PayloadHash,
    ) -> Result<Admitted, AdmissionError> {
        let now = self.counters.now();
        event.occurred_at_micros.get_or_insert(now.micros());
        let decision = recorded_only(now);
        let event_id = event.id.clone();
        if let Some(known) = self.events.get(&[key]).await?.into_iter().next().flatten() {
            if known.row.payload != payload {
                return Err(AdmissionError::Conflict(event_id));
            }
            return Ok(Admitted {
                tracked: Tracked { decision, event_id, replayed: true, kept: Kept::Committed },
                commit: None,
            });
        }
        let body = Body::Usage(entry::history(event, subject.api_key.map_or("", |id| id.as_ref())));
        let commit =
            self.queue.place()?.commit(head(subject, key, payload).record(now, Change::NONE, body), None);
        Ok(Admitted {
            tracked: Tracked { decision, event_id, replayed: false, kept: Kept::Committed },
            commit: Some(commit),
        })
    }
}

impl Admitted {
    /// Waits until it is durable, and answers.
    pub async fn finish(mut self) -> Result<Tracked, AdmissionError> {
        if let Some(commit) = self.commit {
            let wait = debug_span!(target: "tollgate::journal", "wait");
            self.tracked.kept = commit.wait().instrument(wait).await?;
        }
        Ok(self.tracked)
    }

    const fn unkept(decision: Decision, event_id: String) -> Self {
        Self { tracked: Tracked { decision, event_id, replayed: false, kept: Kept::Nothing }, commit: None }
    }
}

/// Queues the record of a decision.
fn enter(
    place: Place<'_>,
    subject: Subject<'_>,
    mode: Mode,
    mut event: Event,
    (key, payload): (EventKey, PayloadHash),
    decision: Decision,
) -> Admitted {
    let event_id = event.id.clone();
    let api_key = subject.api_key.map_or("", |id| id.as_ref());
    event.occurred_at_micros.get_or_insert(decision.at.micros());
    let head = head(subject, key, payload);
    let (commit, kept) = match &decision.verdict {
        Verdict::Denied(denial) => {
            let refusal = entry::refusal(event, api_key, subject.policy, denial, decision.basis);
            let body = Body::Refusal(refusal);
            place.note(head.record(decision.at, Change::NONE, body));
            (None, Kept::Nothing)
        }
        Verdict::Allowed => {
            let body = Body::Usage(entry::usage(mode, event, api_key, subject.policy, &decision));
            let record = head.record(decision.at, Change::of(&decision), body);
            (Some(place.commit(record, Some((Arc::clone(subject.tenant), key)))), Kept::Committed)
        }
    };
    Admitted { tracked: Tracked { decision, event_id, replayed: false, kept }, commit }
}

/// What all records of one call share.
fn head<'a>(subject: Subject<'a>, key: EventKey, payload: PayloadHash) -> Head<'a> {
    Head { tenant: subject.tenant, key, payload }
}

/// The call as the gate sees it.
fn call<'a>(subject: Subject<'a>, event: &'a Event) -> Call<'a> {
    let tokens = event.tokens.unwrap_or_default();
    Call {
        service: &event.service,
        endpoint: &event.endpoint,
        method: &event.method,
        feature: &event.feature,
        model: &event.model,
        region: &event.region,
        premium: event.premium,
        status_code: event.status_code,
        weight: event.weight,
        caller_price_micros: event.caller_price_micros,
        tokens: TokenCount {
            input: tokens.input,
            output: tokens.output,
            cached_input: tokens.cached_input,
            cache_write_input: tokens.cache_write_input,
        },
        api_key: subject.api_key,
        consumers: &event.consumers,
    }
}

/// Hashes the client's own fields, and gives the event an id if it has none.
fn identify(event: &mut Event, mode: Mode) -> PayloadHash {
    if event.id.is_empty() {
        event.id = format!("evt_{}", Uuid::now_v7().simple());
    }
    event::payload(mode as u8, &prost::Message::encode_to_vec(event))
}

/// Rule R: how far from now each kind of call may have been made.
fn check_time(event: &Event, mode: Mode, now: Timestamp) -> Result<(), Invalid> {
    let Some(micros) = event.occurred_at_micros else { return Ok(()) };
    let occurred_at = Timestamp::from_micros(micros);
    let age_max = match mode {
        Mode::Decide => DECIDED_SKEW_MAX,
        Mode::Record => RECORDED_AGE_MAX,
        Mode::Import => i64::MAX,
    };
    if occurred_at.since(now) > DECIDED_SKEW_MAX {
        return Err(Invalid::field(
            "event.occurred_at",
            format!("{occurred_at} is more than 5 minutes ahead"),
        ));
    }
    if now.since(occurred_at) > age_max || occurred_at < Timestamp::EPOCH {
        let bound = match mode {
            Mode::Decide => "5 minutes ago; record what happened before with mode RECORD",
            Mode::Record => "35 days ago",
            Mode::Import => "before 1970",
        };
        return Err(Invalid::field("event.occurred_at", format!("{occurred_at} is more than {bound}")));
    }
    Ok(())
}

/// A decision that decided nothing.
fn recorded_only(at: Timestamp) -> Decision {
    Decision {
        verdict: Verdict::Allowed,
        at,
        epoch: 0,
        number: 0,
        limits: Vec::new(),
        charges: Vec::new(),
        burns: Vec::new(),
        overage_micros: 0,
        price_micros: 0,
        balance_micros: None,
        period: Period { start: Timestamp::EPOCH, end: Timestamp::EPOCH },
        expires_at: None,
        basis: Basis::Counters,
    }
}
