//! What the server says at the end, page by page: events, sums, wallets and limits of each tenant.

use std::collections::BTreeMap;

use tollgate::time::{Clock as _, SystemClock};
use tollgate_client::v1::{
    Dimension, DimensionRef, EventSelection, Freshness, GetLimitsRequest, GetLimitsResponse,
    GetSubscriptionRequest, GetWalletRequest, Granularity, LedgerEvent, ListEventsRequest, PlanSpec,
    QueryUsageRequest, QueryUsageResponse, UsageRow, UsageTotals, Wallet,
};
use tonic::Status;

use crate::connection::Connection;

/// What the ledger has of all tenants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// When it was gathered, in seconds since the epoch.
    pub(crate) gathered_at: i64,
    /// When charges may have vanished that count nowhere.
    pub(crate) gaps: Vec<Gap>,
    pub(crate) tenants: BTreeMap<String, TenantEvidence>,
}

/// A time, in microseconds since the epoch, after which counters may go on without what they had before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Gap {
    /// A moment.
    pub(crate) const fn at(micros: i64) -> Self {
        Self { from: micros, until: micros }
    }

    /// Whether it lies between two moments, in whole or in part.
    pub(crate) const fn divides(self, one: i64, other: i64) -> bool {
        let (first, second) = if one < other { (one, other) } else { (other, one) };
        self.from <= second && first <= self.until
    }
}

/// What the ledger has of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantEvidence {
    /// What the tenant was promised, as the checker published it.
    pub(crate) spec: PlanSpec,
    /// The first moment of the billing period, in seconds since the epoch.
    pub(crate) period_start: i64,
    pub(crate) events: Vec<LedgerEvent>,
    pub(crate) totals: UsageTotals,
    pub(crate) minutes: Vec<UsageRow>,
    pub(crate) hours: Vec<UsageRow>,
    pub(crate) days: Vec<UsageRow>,
    /// Hours, broken down.
    pub(crate) dimensions: Vec<(DimensionRef, Vec<UsageRow>)>,
    pub(crate) wallet: Wallet,
    pub(crate) limits: GetLimitsResponse,
}

/// Every way to break usage down that the workload makes use of.
pub(crate) fn dimensions() -> Vec<DimensionRef> {
    let named = [
        Dimension::Endpoint,
        Dimension::Service,
        Dimension::Method,
        Dimension::StatusCode,
        Dimension::Consumer,
        Dimension::ApiKey,
        Dimension::Model,
        Dimension::Region,
        Dimension::Country,
        Dimension::ApiVersion,
        Dimension::Feature,
    ];
    let named = named.map(|dimension| DimensionRef { dimension: dimension.into(), ..Default::default() });
    let custom = DimensionRef { dimension: Dimension::Custom.into(), custom_name: "team".to_owned() };
    named.into_iter().chain([custom]).collect()
}

/// Asks for everything. The tenants are at rest.
pub(crate) async fn gather(
    connection: &Connection,
    plans: &BTreeMap<String, PlanSpec>,
) -> Result<Evidence, Status> {
    let mut evidence = Evidence { gathered_at: SystemClock.now().seconds(), ..Default::default() };
    for (tenant, spec) in plans {
        evidence.tenants.insert(tenant.clone(), of_tenant(connection, tenant, spec.clone()).await?);
    }
    Ok(evidence)
}

async fn of_tenant(connection: &Connection, tenant: &str, spec: PlanSpec) -> Result<TenantEvidence, Status> {
    let mut evidence = TenantEvidence { spec, ..Default::default() };
    evidence.events = events(connection, tenant).await?;
    let total = usage(connection, tenant, Granularity::Total, None).await?;
    evidence.totals = total.totals.unwrap_or_default();
    evidence.minutes = usage(connection, tenant, Granularity::Minute, None).await?.rows;
    evidence.hours = usage(connection, tenant, Granularity::Hour, None).await?.rows;
    evidence.days = usage(connection, tenant, Granularity::Day, None).await?.rows;
    for dimension in dimensions() {
        let rows = usage(connection, tenant, Granularity::Hour, Some(dimension.clone())).await?.rows;
        evidence.dimensions.push((dimension, rows));
    }
    evidence.wallet = wallet(connection, tenant).await?;
    evidence.limits = limits(connection, tenant).await?;
    let subscription = GetSubscriptionRequest { tenant_id: tenant.to_owned() };
    let subscription =
        connection.plans().get_subscription(connection.ask(subscription)).await?.into_inner().subscription;
    evidence.period_start = subscription.and_then(|it| it.period_start).map_or(0, |start| start.seconds);
    Ok(evidence)
}

/// Every event of usage, with all that was acknowledged.
pub(crate) async fn events(connection: &Connection, tenant: &str) -> Result<Vec<LedgerEvent>, Status> {
    let mut request = ListEventsRequest {
        tenant_id: tenant.to_owned(),
        selection: EventSelection::Usage.into(),
        page_size: 1_000,
        freshness: Freshness::Fresh.into(),
        ..Default::default()
    };
    let mut events = Vec::new();
    loop {
        let page = connection.tracking().list_events(connection.ask(request.clone())).await?.into_inner();
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return Ok(events);
        }
        request.page_token = page.next_page_token;
    }
}

/// Sums of all time.
pub(crate) async fn usage(
    connection: &Connection,
    tenant: &str,
    granularity: Granularity,
    group_by: Option<DimensionRef>,
) -> Result<QueryUsageResponse, Status> {
    let request = QueryUsageRequest {
        tenant_id: tenant.to_owned(),
        granularity: granularity.into(),
        group_by,
        freshness: Freshness::Fresh.into(),
        ..Default::default()
    };
    Ok(connection.tracking().query_usage(connection.ask(request)).await?.into_inner())
}

/// The wallet, with all that was acknowledged.
pub(crate) async fn wallet(connection: &Connection, tenant: &str) -> Result<Wallet, Status> {
    let request = GetWalletRequest { tenant_id: tenant.to_owned() };
    let response = connection.plans().get_wallet(connection.ask(request)).await?.into_inner();
    Ok(response.wallet.unwrap_or_default())
}

/// The limits, as the counters have them.
pub(crate) async fn limits(connection: &Connection, tenant: &str) -> Result<GetLimitsResponse, Status> {
    let request = GetLimitsRequest { tenant_id: tenant.to_owned(), ..Default::default() };
    Ok(connection.tracking().get_limits(connection.ask(request)).await?.into_inner())
}
