//! Counters that go on without their store: while it is away, this process decides alone, by its share of the limits, and
//! says so in every such decision.
//!
//! The store's own adapter answers within its bound or not at all, and fails at once while it knows that the store is away.
//! What is decided here has no number: the ledger has it, the store's counters do not, and the reconciler posts the
//! difference (rule M). Reservations, grants and corrections need the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use metrics::counter;
use tracing::debug;

use crate::adapters::memory::counters::MemoryCounters;
use crate::gate::call::{Demand, Effect, EventKey, PayloadHash};
use crate::gate::counters::{
    Charged, Completed, Correction, Counters, CountersError, End, Ended, Extend, Extended, Over,
};
use crate::gate::decision::{Basis, Decision};
use crate::gate::fallback::Fallback;
use crate::gate::policy::Policy;
use crate::gate::state::{Grant, State};
use crate::time::{Clock, Timestamp};

/// Counters in a store, and what decides while that is away.
#[derive(Debug)]
pub struct GuardedCounters {
    store: Arc<dyn Counters>,
    alone: MemoryCounters,
    fallback: Fallback,
    /// Whether anything was ever decided here.
    was_alone: AtomicBool,
}

impl GuardedCounters {
    /// Guards `store`; `clock` is what goes on while its clock cannot be read.
    #[must_use]
    pub fn new(store: Arc<dyn Counters>, fallback: Fallback, clock: Arc<dyn Clock>) -> Self {
        Self { store, alone: MemoryCounters::new(clock), fallback, was_alone: AtomicBool::new(false) }
    }

    async fn charge_alone(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
    ) -> Result<Charged, CountersError> {
        self.was_alone.store(true, Ordering::Relaxed);
        counter!("tollgate_decisions_local_total").increment(1);
        let policy = self.fallback.policy(policy);
        let charged = match self.alone.charge(tenant, &policy, demand).await? {
            Charged::Missing => {
                self.alone.install(tenant, State::default()).await?;
                self.alone.charge(tenant, &policy, demand).await?
            }
            charged => charged,
        };
        Ok(match charged {
            Charged::Decided(decision) => Charged::Decided(local(decision)),
            Charged::Replayed { decision, durable } => {
                Charged::Replayed { decision: local(decision), durable }
            }
            other => other,
        })
    }
}

/// A decision that the store's counters know nothing of.
fn local(decision: Box<Decision>) -> Box<Decision> {
    Box::new(Decision { basis: Basis::Local, epoch: 0, number: 0, ..*decision })
}

#[async_trait]
impl Counters for GuardedCounters {
    fn now(&self) -> Timestamp {
        self.store.now()
    }

    async fn charge(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
    ) -> Result<Charged, CountersError> {
        match self.store.charge(tenant, policy, demand).await {
            // A hold without a price holds nothing that could be refused, and would be unknown to whoever ends it.
            Err(error @ CountersError::Unreachable(_))
                if demand.price_micros > 0 || !matches!(demand.effect, Effect::Hold { .. }) =>
            {
                debug!(tenant, error = %error, "a call of tenant `{tenant}` is decided without the counters: {error}");
                self.charge_alone(tenant, policy, demand).await
            }
            charged => charged,
        }
    }

    async fn committed(&self, events: &[(Arc<str>, EventKey)]) -> Result<(), CountersError> {
        if self.was_alone.load(Ordering::Relaxed) {
            self.alone.committed(events).await?;
        }
        self.store.committed(events).await
    }

    async fn install(&self, tenant: &str, state: State) -> Result<(), CountersError> {
        self.store.install(tenant, state).await
    }

    async fn grant(&self, tenant: &str, grant: Grant) -> Result<bool, CountersError> {
        self.store.grant(tenant, grant).await
    }

    async fn extend(
        &self,
        tenant: &str,
        policy: &Policy,
        extend: &Extend<'_>,
    ) -> Result<Extended, CountersError> {
        self.store.extend(tenant, policy, extend).await
    }

    async fn end(&self, tenant: &str, policy: &Policy, end: &End<'_>) -> Result<Ended, CountersError> {
        self.store.end(tenant, policy, end).await
    }

    async fn expired(
        &self,
        tenant: &str,
        reservations: &[Over],
        grants: &[Arc<str>],
    ) -> Result<(), CountersError> {
        self.store.expired(tenant, reservations, grants).await
    }

    async fn complete(
        &self,
        tenant: &str,
        event: EventKey,
        outcome: PayloadHash,
    ) -> Result<Completed, CountersError> {
        self.store.complete(tenant, event, outcome).await
    }

    async fn read(&self, tenant: &str) -> Result<Option<State>, CountersError> {
        self.store.read(tenant).await
    }

    async fn correct(&self, tenant: &str, correction: &Correction) -> Result<bool, CountersError> {
        self.store.correct(tenant, correction).await
    }
}
