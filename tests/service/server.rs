//! A server of a test's own: in this process, on a real socket and a stopped clock, with one tenant to begin with.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use secrecy::SecretString;
use tollgate::cli::running::Running;
use tollgate::config::Config;
use tollgate::data_directory::DataDirectory;
use tollgate::time::{ManualClock, SECOND, Timestamp};
use tollgate_client::{Client, v1};

use crate::program::OPERATOR_KEY;

/// Where the clock stands at first: 2026-01-15 12:00 UTC, in seconds since the epoch.
pub(crate) const NOW: i64 = 1_768_478_400;

/// The first tenant.
pub(crate) const TENANT: &str = "acme";

/// A server, its clock and its data.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    clock: Arc<ManualClock>,
    directory: tempfile::TempDir,
}

/// What a tenant has used and what it may spend: equal where nothing was changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) usage: v1::UsageTotals,
    pub(crate) balance_micros: i64,
    pub(crate) limits: Vec<v1::LimitState>,
}

impl Server {
    /// A server with the tenant `acme` on the plan `free`.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(NOW * SECOND)));
        let running = start(&directory, &clock, Config::default()).await;
        let server = Self { running, clock, directory };
        server.with_tenant(TENANT, "free").await
    }

    /// Ends the server and starts it again on its data, with a change of its settings.
    pub(crate) async fn restarted(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { running, clock, directory } = self;
        running.stop().await.unwrap();
        let mut config = Config::default();
        change(&mut config);
        let running = start(&directory, &clock, config).await;
        Self { running, clock, directory }
    }

    /// With another plan, published.
    pub(crate) async fn with_plan(self, slug: &str, spec: v1::PlanSpec) -> Self {
        let request = v1::CreatePlanRequest {
            slug: slug.to_owned(),
            name: slug.to_owned(),
            spec: Some(spec),
            request_id: format!("plan-{slug}"),
        };
        let mut plans = self.operator().plans();
        plans.create_plan(request).await.unwrap();
        plans
            .publish_plan_version(v1::PublishPlanVersionRequest { plan: slug.to_owned(), version: 1 })
            .await
            .unwrap();
        self
    }

    /// With another tenant, on that plan.
    pub(crate) async fn with_tenant(self, tenant: &str, plan: &str) -> Self {
        let request = v1::CreateTenantRequest {
            tenant_id: tenant.to_owned(),
            name: tenant.to_owned(),
            plan: plan.to_owned(),
            ..Default::default()
        };
        self.operator().admin().create_tenant(request).await.unwrap();
        self
    }

    /// With the first tenant on a plan that trusts callers' prices and allows whatever has a number.
    pub(crate) async fn with_trusting_plan(self) -> Self {
        let spec = v1::PlanSpec {
            credits_per_period_micros: 1_000_000_000_000,
            caller_prices: v1::CallerPrices::Trusted.into(),
            quotas: vec![v1::Quota { name: "month".into(), ..Default::default() }],
            features: vec!["*".into()],
            premium: true,
            ..Default::default()
        };
        self.with_plan("trusting", spec).await.with_plan_of(TENANT, "trusting").await
    }

    /// With that tenant on another plan.
    pub(crate) async fn with_plan_of(self, tenant: &str, plan: &str) -> Self {
        let request = v1::ChangeSubscriptionRequest {
            tenant_id: tenant.to_owned(),
            plan: plan.to_owned(),
            request_id: format!("{tenant}-to-{plan}"),
            ..Default::default()
        };
        self.operator().plans().change_subscription(request).await.unwrap();
        self
    }

    /// A new key of the first tenant.
    pub(crate) async fn key(&self) -> String {
        self.key_of(TENANT).await
    }

    /// A new key of that tenant.
    pub(crate) async fn key_of(&self, tenant: &str) -> String {
        let request = v1::CreateApiKeyRequest {
            kind: v1::ApiKeyKind::Tenant.into(),
            tenant_id: tenant.to_owned(),
            name: "test".into(),
            ..Default::default()
        };
        self.operator().auth().create_api_key(request).await.unwrap().into_inner().secret
    }

    /// A client with that credential.
    pub(crate) fn client(&self, key: &str) -> Client {
        Client::builder()
            .endpoint(format!("http://{}", self.address()))
            .api_key(key)
            .tenant("")
            .build()
            .unwrap()
    }

    /// The operator's client.
    pub(crate) fn operator(&self) -> Client {
        self.client(OPERATOR_KEY)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Where the clock stands, in seconds.
    pub(crate) fn now(&self) -> i64 {
        tollgate::time::Clock::now(self.clock.as_ref()).seconds()
    }

    pub(crate) fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The state of the first tenant, after all that was acknowledged.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let operator = self.operator();
        let tenant_id = TENANT.to_owned();
        let query = v1::QueryUsageRequest {
            tenant_id: tenant_id.clone(),
            freshness: v1::Freshness::Fresh.into(),
            ..Default::default()
        };
        let usage =
            operator.track().query_usage(query).await.unwrap().into_inner().totals.unwrap_or_default();
        let wallet = v1::GetWalletRequest { tenant_id: tenant_id.clone() };
        let wallet =
            operator.plans().get_wallet(wallet).await.unwrap().into_inner().wallet.unwrap_or_default();
        let limits = v1::GetLimitsRequest { tenant_id, ..Default::default() };
        let limits = operator.track().get_limits(limits).await.unwrap().into_inner().limits;
        Snapshot { usage, balance_micros: wallet.balance_micros, limits }
    }
}

async fn start(directory: &tempfile::TempDir, clock: &Arc<ManualClock>, mut config: Config) -> Running {
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.server.drain_seconds = NonZeroU64::MIN;
    config.data.directory = directory.path().join("data");
    let data = DataDirectory::open(&config.data.directory).unwrap();
    Running::start(config, data, SecretString::from(OPERATOR_KEY), Arc::clone(clock) as _).await.unwrap()
}
