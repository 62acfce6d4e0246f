//! The servers that the suite runs on beside this process's memory, and a part of one for each case.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use test_servers::Redis;
use tollgate::adapters::redis::counters::{RedisCounters, Settings};
use tollgate::gate::call::{Demand, EventKey, PayloadHash};
use tollgate::gate::counters::{
    Charged, Completed, Correction, Counters, CountersError, End, Ended, Extend, Extended, Over,
};
use tollgate::gate::policy::Policy;
use tollgate::gate::state::{Grant, State};
use tollgate::secrets::current::Current;
use tollgate::tasks::Tasks;
use tollgate::time::{ManualClock, Timestamp};

/// Longer than in service: a busy machine is no fault here.
const PATIENCE: Duration = Duration::from_secs(20);

static SERVERS: LazyLock<Vec<(&'static str, Redis)>> = LazyLock::new(|| {
    let servers =
        [("redis", Redis::start()), ("redis cluster", Redis::cluster()), ("valkey", Redis::valkey())];
    servers.into_iter().filter_map(|(name, server)| Some((name, server?))).collect()
});

/// The servers that this machine has; it prints which it has not. They end with the process.
pub(crate) fn servers() -> impl Iterator<Item = (&'static str, String)> {
    SERVERS.iter().map(|(name, server)| (*name, server.url()))
}

/// How a test reaches a server.
pub(crate) fn settings(url: String) -> Settings {
    Settings {
        url: Current::new(SecretString::from(url)),
        ca_file: None,
        timeout: PATIENCE,
        connect_timeout: PATIENCE,
    }
}

/// Counters in a server, by this clock, with tenants of their own.
pub(super) async fn private(url: String, clock: &Arc<ManualClock>) -> Arc<dyn Counters> {
    replicas(url, clock, 1).await.remove(0)
}

/// The same, as so many servers have them that share their tenants.
pub(super) async fn replicas(url: String, clock: &Arc<ManualClock>, count: usize) -> Vec<Arc<dyn Counters>> {
    let run: u64 = rand::random();
    let mut replicas: Vec<Arc<dyn Counters>> = Vec::new();
    for _ in 0..count {
        let connected =
            RedisCounters::connect(&settings(url.clone()), clock.clone(), &Tasks::default()).await;
        let inner = connected.expect("a server that has just answered").by_its_clock();
        replicas.push(Arc::new(Private { inner, run: format!("{{{run:x}}}") }));
    }
    replicas
}

/// Counters whose tenants have other names in the server than in the case. The names try to move the hash tag.
#[derive(Debug)]
struct Private {
    inner: RedisCounters,
    run: String,
}

impl Private {
    fn name(&self, tenant: &str) -> String {
        format!("{}{tenant}", self.run)
    }
}

#[async_trait]
impl Counters for Private {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    async fn charge(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
    ) -> Result<Charged, CountersError> {
        self.inner.charge(&self.name(tenant), policy, demand).await
    }

    async fn committed(&self, events: &[(Arc<str>, EventKey)]) -> Result<(), CountersError> {
        let events: Vec<_> =
            events.iter().map(|(tenant, event)| (Arc::from(self.name(tenant)), *event)).collect();
        self.inner.committed(&events).await
    }

    async fn install(&self, tenant: &str, state: State) -> Result<(), CountersError> {
        self.inner.install(&self.name(tenant), state).await
    }

    async fn grant(&self, tenant: &str, grant: Grant) -> Result<bool, CountersError> {
        self.inner.grant(&self.name(tenant), grant).await
    }

    async fn extend(
        &self,
        tenant: &str,
        policy: &Policy,
        extend: &Extend<'_>,
    ) -> Result<Extended, CountersError> {
        self.inner.extend(&self.name(tenant), policy, extend).await
    }

    async fn end(&self, tenant: &str, policy: &Policy, end: &End<'_>) -> Result<Ended, CountersError> {
        self.inner.end(&self.name(tenant), policy, end).await
    }

    async fn expired(
        &self,
        tenant: &str,
        reservations: &[Over],
        grants: &[Arc<str>],
    ) -> Result<(), CountersError> {
        self.inner.expired(&self.name(tenant), reservations, grants).await
    }

    async fn complete(
        &self,
        tenant: &str,
        event: EventKey,
        outcome: PayloadHash,
    ) -> Result<Completed, CountersError> {
        self.inner.complete(&self.name(tenant), event, outcome).await
    }

    async fn read(&self, tenant: &str) -> Result<Option<State>, CountersError> {
        self.inner.read(&self.name(tenant)).await
    }

    async fn correct(&self, tenant: &str, correction: &Correction) -> Result<bool, CountersError> {
        self.inner.correct(&self.name(tenant), correction).await
    }
}
