//! `Counters` on Redis.
//!
//! A script whose reply was lost was run or not; what heals it: a charge, a hold, an extension, an end and an outcome leave
//! marks, so that a retry is answered by them (rule Q), and what nobody retries is given back by the reconciler (rule M). A
//! grant is there once by its id. An installation is made where none is. An expiry frees what was not freed. A correction is
//! posted once under its number. That an event is durable may be said twice; where it was not said, its mark counts for
//! nothing after ten seconds, and rule H settles a retry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_redis::redis::Value;
use tracing::instrument;

use crate::adapters::redis::RedisError;
use crate::adapters::redis::ask::{self, Asked};
use crate::adapters::redis::link::{LinkError, Order, Work};
use crate::adapters::redis::look;
use crate::adapters::redis::nodes::Nodes;
use crate::adapters::redis::scripts::Kind;
use crate::adapters::redis::told::{self, Marked};
use crate::adapters::redis::upkeep;
use crate::adapters::redis::wire::{Cut, Reader};
use crate::gate::call::{Demand, Effect, EventKey, PayloadHash};
use crate::gate::counters::{
    Charged, Completed, Correction, Counters, CountersError, End, Ended, Extend, Extended, Gone, Over,
};
use crate::gate::credit;
use crate::gate::decide::{self, Outcome};
use crate::gate::decision::{Decision, Verdict};
use crate::gate::hold::{self, Extension};
use crate::gate::policy::Policy;
use crate::gate::state::{Grant, Reservation, State};
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

pub use crate::adapters::redis::access::Settings;

/// How often a call may find its period over before it is given up.
const MOVES_MAX: u32 = 4;
/// How long anything but a decision may take.
const UPKEEP_PATIENCE: Duration = Duration::from_secs(5);

/// Counters of all tenants in Redis.
pub struct RedisCounters {
    nodes: Arc<Nodes>,
    patience: Duration,
    clock: Arc<dyn Clock>,
    time: TimeSource,
    /// From here on time is counted between two answers: our own clock may step.
    started: Instant,
    /// What Redis's clock said at `started`, by its last answer, in microseconds: off by no more than that answer took.
    told: AtomicI64,
}

/// Whose time the scripts go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeSource {
    /// Redis's own (rule O).
    Redis,
    /// Ours.
    Clock,
}

impl TimeSource {
    fn is_redis(self) -> bool {
        self == Self::Redis
    }
}

impl fmt::Debug for RedisCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCounters").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

impl RedisCounters {
    /// Connects, and refuses what cannot keep counters. An error that [`RedisError::is_passing`] is worth another attempt.
    pub async fn connect(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, RedisError> {
        let nodes = Nodes::connect(settings, tasks).await?;
        let (patience, time) = (settings.timeout, TimeSource::Redis);
        let (started, told) = (Instant::now(), AtomicI64::new(clock.now().micros()));
        let counters = Self { nodes, patience, clock, time, started, told };
        // Whoever asks for the time before the first decision gets Redis's too.
        let asked = counters.read("").await;
        asked.map_err(|failure| RedisError::Unreachable { reason: failure.to_string() })?;
        Ok(counters)
    }

    /// The same, but by the given clock instead of Redis's: so that tests own the time.
    #[must_use]
    pub fn by_its_clock(self) -> Self {
        Self { time: TimeSource::Clock, ..self }
    }

    /// Microseconds since `started`.
    fn elapsed(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn time(&self) -> Option<Timestamp> {
        (self.time == TimeSource::Clock).then(|| self.clock.now())
    }

    /// Runs a script for a tenant.
    async fn run(&self, kind: Kind, tenant: &str, ask: &[u8]) -> Result<Told, CountersError> {
        let patience = if matches!(kind, Kind::Upkeep) { UPKEEP_PATIENCE } else { self.patience };
        let key = ask::key(tenant);
        let order = Order { key: &key, work: Work::Run(kind, ask), patience };
        let answered = self.nodes.run(order).await.map_err(failure)?;
        let Some(Value::BulkString(answer)) = answered.values.into_iter().next() else {
            return Err(malformed());
        };
        let told = Told::read(answer).ok_or_else(malformed)?;
        self.hear(told.now);
        Ok(told)
    }

    /// Learns what Redis's clock says.
    fn hear(&self, now: Timestamp) {
        self.told.store(now.minus(self.elapsed()).micros(), Ordering::Relaxed);
    }

    /// Decides a question without a script, where no counter needs one: those that stand in the tenant's hash alone, and whose
    /// times are not ahead. `None`: this one takes a script.
    async fn look(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
        limits: &[Asked<'_>],
    ) -> Result<Option<Charged>, CountersError> {
        if !limits.iter().all(|limit| limit.stands_in_hash()) {
            return Ok(None);
        }
        let key = ask::key(tenant);
        let work = Work::Look(&ask::fields(limits));
        let answered = self.nodes.run(Order { key: &key, work, patience: self.patience }).await;
        let answered = answered.map_err(failure)?;
        let seen = look::read(&answered).ok_or_else(malformed)?;
        let now = self.time().unwrap_or(seen.now);
        if self.time.is_redis() {
            self.hear(now);
        }
        let Some(tenant) = seen.tenant else { return Ok(Some(Charged::Missing)) };
        let Some(mut state) = tenant.state(limits, now).map_err(cut)? else { return Ok(None) };
        self::seen(&mut state, policy, demand, now).map(Some)
    }

    async fn upkeep(&self, tenant: &str, ask: &[u8]) -> Result<Told, CountersError> {
        self.run(Kind::Upkeep, tenant, ask).await
    }

    fn charged(
        policy: &Policy,
        demand: &Demand<'_>,
        limits: &[Asked<'_>],
        told: &Told,
    ) -> Result<Option<Charged>, CountersError> {
        let now = told.now;
        let mut reader = told.rest();
        match told.status.as_str() {
            "missing" => return Ok(Some(Charged::Missing)),
            "conflict" => return Ok(Some(Charged::Conflict)),
            "moved" => return Ok(None),
            _ => {}
        }
        let mut state = told::state(&mut reader).ok_or_else(malformed)?;
        told::steps(&mut reader, limits, &mut state, now).ok_or_else(malformed)?;
        Ok(Some(match told.status.as_str() {
            "seen" => seen(&mut state, policy, demand, now)?,
            "taken" => {
                let answer = Some(told::answer(&mut reader).ok_or_else(malformed)?);
                let price_micros = demand.price_micros;
                let marked = Marked { at: now, price_micros, durable: false, answer };
                let mut decision = marked.decision(&state, policy);
                stand(&mut decision, &mut state, policy, demand, now);
                Charged::Decided(decision)
            }
            "replayed" => {
                let marked = told::marked(&mut reader).ok_or_else(malformed)?;
                let durable = marked.durable;
                let mut decision = marked.decision(&state, policy);
                if let Some(expires_at) = reader.maybe().map_err(cut)? {
                    decision.expires_at = decision.expires_at.or(Some(Timestamp::from_micros(expires_at)));
                }
                stand(&mut decision, &mut state, policy, demand, now);
                Charged::Replayed { decision, durable }
            }
            _ => return Err(malformed()),
        }))
    }

    fn extended(
        policy: &Policy,
        extend: &Extend<'_>,
        told: &Told,
    ) -> Result<Option<Extended>, CountersError> {
        let now = told.now;
        let mut reader = told.rest();
        match told.status.as_str() {
            "missing" => return Ok(Some(Extended::Missing)),
            "conflict" => return Ok(Some(Extended::Conflict)),
            "moved" => return Ok(None),
            "gone" => return gone(&mut reader).map(|gone| Some(Extended::Gone(gone))),
            _ => {}
        }
        let mut state = told::state(&mut reader).ok_or_else(malformed)?;
        reader.list().ok_or_else(malformed)?;
        if told.status == "seen" {
            let hold = told::reservation(&mut reader).map_err(cut)?.ok_or_else(malformed)?;
            state.reservations.insert(Arc::clone(extend.reservation), hold);
            return match hold::extend(&mut state, policy, extend, now) {
                Extension::Decided { decision, held_micros, expires_at } if decision.number == 0 => {
                    Ok(Some(Extended::Decided {
                        decision,
                        held_micros,
                        expires_at,
                        replayed: false,
                        durable: false,
                    }))
                }
                Extension::Decided { .. } | Extension::Gone(_) => Err(malformed()),
            };
        }
        let replayed = told.status == "replayed";
        let marked = if replayed {
            told::marked(&mut reader).ok_or_else(malformed)?
        } else {
            let answer = Some(told::answer(&mut reader).ok_or_else(malformed)?);
            Marked { at: now, price_micros: extend.additional_micros, durable: false, answer }
        };
        let durable = marked.durable;
        let (mut decision, held_micros, expires_at) = match marked.extension() {
            Ok(known) => known,
            Err(marked) => {
                let hold = told::reservation(&mut reader).map_err(cut)?;
                let Some(hold) = hold else { return Ok(Some(Extended::Gone(Gone::Unknown))) };
                let marked = Marked { answer: None, ..*marked };
                let mut decision = marked.decision(&state, policy);
                decision.expires_at = Some(hold.expires_at);
                (decision, credit::total(&hold.held), hold.expires_at)
            }
        };
        decision.balance_micros = state.balance(policy, now);
        Ok(Some(Extended::Decided { decision, held_micros, expires_at, replayed, durable }))
    }

    fn ended(policy: &Policy, end: &End<'_>, told: &Told) -> Result<Option<Ended>, CountersError> {
        let now = told.now;
        let mut reader = told.rest();
        match told.status.as_str() {
            "missing" => return Ok(Some(Ended::Missing)),
            "moved" => return Ok(None),
            "gone" => return gone(&mut reader).map(|gone| Some(Ended::Gone(gone))),
            "above" => {
                let held_micros = reader.whole().ok_or_else(malformed)?;
                return Ok(Some(Ended::AboveHold { held_micros }));
            }
            _ => {}
        }
        let state = told::state(&mut reader).ok_or_else(malformed)?;
        reader.list().ok_or_else(malformed)?;
        let replayed = told.status == "replayed";
        let (marked, hold) = if replayed {
            let marked = told::marked(&mut reader).ok_or_else(malformed)?;
            (marked, told::reservation(&mut reader).map_err(cut)?)
        } else {
            let answer = Some(told::answer(&mut reader).ok_or_else(malformed)?);
            let price_micros = end.price_micros.unwrap_or(0);
            (Marked { at: now, price_micros, durable: false, answer }, None)
        };
        let durable = marked.durable;
        let held = hold.as_ref().map_or(&[][..], |hold: &Reservation| &hold.held);
        let mut end = marked.end(&state, policy, held);
        end.balance_micros = credit::balance(&state.grants, now);
        Ok(Some(Ended::Done { end, replayed, durable }))
    }
}

#[async_trait]
impl Counters for RedisCounters {
    fn now(&self) -> Timestamp {
        match self.time {
            TimeSource::Redis => {
                Timestamp::from_micros(self.told.load(Ordering::Relaxed)).plus(self.elapsed())
            }
            TimeSource::Clock => self.clock.now(),
        }
    }

    #[instrument(level = "debug", skip_all, name = "counters.charge", target = "tollgate::store")]
    async fn charge(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
    ) -> Result<Charged, CountersError> {
        let limits = ask::limits(policy, demand);
        if matches!(demand.effect, Effect::Dry)
            && let Some(charged) = self.look(tenant, policy, demand, &limits).await?
        {
            return Ok(charged);
        }
        for _ in 0..MOVES_MAX {
            let takes = !matches!(demand.effect, Effect::Dry);
            let period = takes.then(|| policy.period.containing(self.now()));
            let ask = ask::demand(self.time(), policy, demand, &limits, period);
            let told = self.run(Kind::Decide, tenant, &ask).await?;
            if let Some(charged) = Self::charged(policy, demand, &limits, &told)? {
                return Ok(charged);
            }
        }
        Err(unsettled())
    }

    #[instrument(level = "debug", skip_all, name = "counters.committed", target = "tollgate::store")]
    async fn committed(&self, events: &[(Arc<str>, EventKey)]) -> Result<(), CountersError> {
        let mut tenants: std::collections::HashMap<&Arc<str>, Vec<EventKey>> = Default::default();
        for (tenant, event) in events {
            tenants.entry(tenant).or_default().push(*event);
        }
        // Sent together, and so written together.
        let told = tenants.into_iter().map(|(tenant, events)| async move {
            let ask = upkeep::committed(self.time(), &events);
            self.upkeep(tenant, &ask).await.map(drop)
        });
        futures_util::future::join_all(told).await.into_iter().collect()
    }

    #[instrument(level = "debug", skip_all, name = "counters.install", target = "tollgate::store")]
    async fn install(&self, tenant: &str, state: State) -> Result<(), CountersError> {
        let installation = upkeep::Installation::of(&state);
        for part in installation.parts(self.time()) {
            self.upkeep(tenant, &part).await?;
        }
        Ok(())
    }

    #[instrument(level = "debug", skip_all, name = "counters.grant", target = "tollgate::store")]
    async fn grant(&self, tenant: &str, grant: Grant) -> Result<bool, CountersError> {
        let told = self.upkeep(tenant, &upkeep::grant(self.time(), &grant)).await?;
        Ok(told.status != "missing")
    }

    #[instrument(level = "debug", skip_all, name = "counters.extend", target = "tollgate::store")]
    async fn extend(
        &self,
        tenant: &str,
        policy: &Policy,
        extend: &Extend<'_>,
    ) -> Result<Extended, CountersError> {
        for _ in 0..MOVES_MAX {
            let period = policy.period.containing(self.now());
            let told = self.run(Kind::Extend, tenant, &ask::extend(self.time(), extend, period)).await?;
            if let Some(extended) = Self::extended(policy, extend, &told)? {
                return Ok(extended);
            }
        }
        Err(unsettled())
    }

    #[instrument(level = "debug", skip_all, name = "counters.end", target = "tollgate::store")]
    async fn end(&self, tenant: &str, policy: &Policy, end: &End<'_>) -> Result<Ended, CountersError> {
        for _ in 0..MOVES_MAX {
            let period = policy.period.containing(self.now());
            let told = self.run(Kind::End, tenant, &ask::end(self.time(), end, period)).await?;
            if let Some(ended) = Self::ended(policy, end, &told)? {
                return Ok(ended);
            }
        }
        Err(unsettled())
    }

    #[instrument(level = "debug", skip_all, name = "counters.expired", target = "tollgate::store")]
    async fn expired(
        &self,
        tenant: &str,
        reservations: &[Over],
        grants: &[Arc<str>],
    ) -> Result<(), CountersError> {
        self.upkeep(tenant, &upkeep::expired(self.time(), reservations, grants)).await.map(drop)
    }

    #[instrument(level = "debug", skip_all, name = "counters.complete", target = "tollgate::store")]
    async fn complete(
        &self,
        tenant: &str,
        event: EventKey,
        outcome: PayloadHash,
    ) -> Result<Completed, CountersError> {
        let told = self.upkeep(tenant, &upkeep::complete(self.time(), event, outcome)).await?;
        Ok(match told.status.as_str() {
            "missing" => Completed::Unknown,
            "done" => Completed::Fresh,
            "conflict" => Completed::Conflict,
            "replayed" => Completed::Replayed { durable: told.rest().flag().ok_or_else(malformed)? },
            _ => return Err(malformed()),
        })
    }

    /// Of each sliding log, only its newest entry with the sum of all: a log corrects itself within its window.
    #[instrument(level = "debug", skip_all, name = "counters.read", target = "tollgate::store")]
    async fn read(&self, tenant: &str) -> Result<Option<State>, CountersError> {
        let told = self.upkeep(tenant, &upkeep::read(self.time())).await?;
        if told.status == "missing" {
            return Ok(None);
        }
        upkeep::state(&mut told.rest()).ok_or_else(malformed).map(Some)
    }

    #[instrument(level = "debug", skip_all, name = "counters.correct", target = "tollgate::store")]
    async fn correct(&self, tenant: &str, correction: &Correction) -> Result<bool, CountersError> {
        let told = self.upkeep(tenant, &upkeep::correct(self.time(), correction)).await?;
        Ok(told.status == "done")
    }
}

/// What a script answered: how it went, when, and what else.
struct Told {
    status: String,
    now: Timestamp,
    answer: Vec<u8>,
    rest_at: usize,
}

impl Told {
    fn read(answer: Vec<u8>) -> Option<Self> {
        let mut reader = Reader::new(&answer);
        reader.list()?;
        let (status, now) = (reader.text()?.to_owned(), reader.moment()?);
        let rest_at = answer.len().saturating_sub(reader.left());
        Some(Self { status, now, answer, rest_at })
    }

    fn rest(&self) -> Reader<'_> {
        Reader::new(self.answer.get(self.rest_at..).unwrap_or_default())
    }
}

/// What is decided about what a script saw and did not take.
fn seen(
    state: &mut State,
    policy: &Policy,
    demand: &Demand<'_>,
    now: Timestamp,
) -> Result<Charged, CountersError> {
    let decision = match decide::decide(state, policy, demand, now) {
        Outcome::Decided(decision) => decision,
        Outcome::AllowanceDue(period) => {
            return Ok(Charged::AllowanceDue { period_start: period.start, period_end: period.end });
        }
    };
    let is_dry = matches!(demand.effect, Effect::Dry);
    if decision.verdict == Verdict::Allowed && !is_dry {
        // The script has refused what our own rules allow: one of the two is wrong, and nothing was taken.
        return Err(malformed());
    }
    Ok(Charged::Decided(Box::new(decision)))
}

/// Says how limits and credits stand now.
fn stand(decision: &mut Decision, state: &mut State, policy: &Policy, demand: &Demand<'_>, now: Timestamp) {
    (decision.limits, decision.balance_micros) = decide::standing(state, policy, &demand.call, now);
}

fn gone(reader: &mut Reader<'_>) -> Result<Gone, CountersError> {
    reader.text().and_then(told::gone).ok_or_else(malformed)
}

fn failure(error: LinkError) -> CountersError {
    match error {
        LinkError::Full => CountersError::Full,
        other => CountersError::Unreachable(Box::new(other)),
    }
}

fn malformed() -> CountersError {
    CountersError::Unreachable(Box::new(LinkError::Answer))
}

fn cut(_: Cut) -> CountersError {
    malformed()
}

fn unsettled() -> CountersError {
    CountersError::Unreachable(Box::new(LinkError::Unsettled))
}
