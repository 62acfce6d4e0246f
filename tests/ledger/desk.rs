//! A ledger on a directory of its own, with a clock that stands still.

use std::path::Path;
use std::sync::Arc;

use crate::flaky::Luck;
use crate::places;
use jiff::tz::TimeZone;
use tollgate::adapters::memory::counters::MemoryCounters;
use tollgate::gate::decision::{LimitKind, Verdict};
use tollgate::gate::period::{Anchor, PeriodRule};
use tollgate::gate::policy::{Features, LimitKey, PlanRef, Policy, Quota, RateKind, RateLimit, Scope};
use tollgate::gate::price::{CallerPrices, PriceList};
use tollgate::ledger::account::Account;
use tollgate::ledger::admission::{AdmissionError, Subject, Tracked};
use tollgate::ledger::event::Event;
use tollgate::ledger::record::Mode;
use tollgate::ledger::wallets::NewGrant;
use tollgate::ledger::works::{Followers, Ledger, Stores};
use tollgate::money::CREDIT;
use tollgate::tasks::Tasks;
use tollgate::time::{Clock, HOUR, ManualClock, Timestamp};

/// Noon of a Sunday in the middle of a month.
pub(crate) const NOON: Timestamp = Timestamp::from_micros(1_794_830_400_000_000);

/// A running ledger.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tenant: Arc<str>,
    pub(crate) policy: Policy,
    tasks: Tasks,
}

impl Desk {
    pub(crate) async fn open(directory: &Path, policy: Policy) -> Self {
        Self::at(directory, policy, NOON).await
    }

    /// A ledger that is opened at a moment: it recovers what an earlier one left.
    pub(crate) async fn at(directory: &Path, policy: Policy, now: Timestamp) -> Self {
        let luck = Luck::new(0);
        luck.end();
        Self::on(directory, policy, now, &luck).await
    }

    /// A ledger whose stores fail with that luck.
    pub(crate) async fn flaky(directory: &Path, policy: Policy, luck: &Arc<Luck>) -> Self {
        Self::on(directory, policy, NOON, luck).await
    }

    async fn on(directory: &Path, policy: Policy, now: Timestamp, luck: &Arc<Luck>) -> Self {
        Self::over(places::stores(directory, luck).await, policy, now).await
    }

    /// A ledger over its stores.
    pub(crate) async fn over(stores: Stores, policy: Policy, now: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        let tasks = Tasks::default();
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let counters = Arc::new(MemoryCounters::new(Arc::clone(&shared)));
        let ledger = Ledger::open(stores, counters, shared, Followers::default(), &tasks)
            .await
            .expect("the ledger opens");
        Self { ledger, clock, tenant: Arc::from("acme"), policy, tasks }
    }

    /// Ends it in order, and opens another on the same directory.
    pub(crate) async fn restart(self, directory: &Path) -> Self {
        let now = self.clock.now();
        assert!(self.tasks.stop(std::time::Duration::from_secs(20)).await, "all work ended");
        Self::at(directory, self.policy, now).await
    }

    /// Leaves it in the middle of its work, and opens another on the same directory.
    pub(crate) async fn drop_and_open(self, directory: &Path) -> Self {
        let now = self.clock.now();
        self.tasks.stop(std::time::Duration::ZERO).await;
        self.ledger.failed().cancel();
        Self::at(directory, self.policy, now).await
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { tenant: &self.tenant, policy: &self.policy, api_key: None }
    }

    pub(crate) async fn track(&self, event: Event) -> Result<Tracked, AdmissionError> {
        self.track_as(Mode::Decide, event).await
    }

    pub(crate) async fn track_as(&self, mode: Mode, event: Event) -> Result<Tracked, AdmissionError> {
        self.ledger.admission.admit(self.subject(), mode, event).await?.finish().await
    }

    /// Whether a call with that id passes.
    pub(crate) async fn passes(&self, id: &str) -> bool {
        let tracked = self.track(call(id)).await.expect("a verdict");
        tracked.decision.verdict == Verdict::Allowed
    }

    pub(crate) async fn account(&self) -> Account {
        self.ledger.wallets.account(&self.tenant, &self.policy).await.expect("an account")
    }

    /// The account, where another ledger may have to be taken for dead first, which takes its lease.
    pub(crate) async fn account_at_last(&self) -> Account {
        let patience = std::time::Duration::from_secs(30);
        let found = tokio::time::timeout(patience, async {
            loop {
                // Until then it says that it is late.
                if let Ok(account) = self.ledger.wallets.account(&self.tenant, &self.policy).await {
                    return account;
                }
            }
        });
        found.await.expect("what the other left is folded")
    }

    pub(crate) async fn grant(&self, request_id: &str, credits: i64, expires_at: Option<Timestamp>) {
        let grant = NewGrant {
            request_id: request_id.to_owned(),
            micros: credits * CREDIT,
            priority: 100,
            expires_at,
            name: String::new(),
        };
        self.ledger.wallets.grant(&self.tenant, &self.policy, grant).await.expect("a grant");
    }
}

/// A plan without limits, on which callers set prices.
pub(crate) fn open_plan() -> Policy {
    Policy {
        plan: PlanRef { slug: Arc::from("open"), version: 1 },
        rates: Vec::new(),
        quotas: Vec::new(),
        period: PeriodRule { anchor: Anchor::CalendarMonth, zone: TimeZone::UTC },
        prices: PriceList { rules: Vec::new(), caller_prices: CallerPrices::Trusted },
        premium: false,
        features: Features::All,
        untracked: Vec::new(),
        allowance_micros: 0,
        subscription: Arc::from("sub_1"),
        overage_max_micros: 0,
        credits_fail_policy: None,
        upgrade: None,
    }
}

/// A plan with a limit of each kind, and a quota: of three units each.
pub(crate) fn plan_of_three(kind: RateKind) -> Policy {
    let limit_kind = kind.limit_kind();
    let rate = RateLimit {
        name: Arc::from("hour"),
        key: LimitKey::of("hour", limit_kind, HOUR),
        kind,
        limit: 3,
        window: HOUR,
        scope: Scope::Tenant,
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    };
    Policy { rates: vec![rate], ..open_plan() }
}

/// A plan with a quota of three.
pub(crate) fn quota_of_three() -> Policy {
    let quota = Quota {
        name: Arc::from("month"),
        key: LimitKey::of("month", LimitKind::Quota, 0),
        limit: Some(3),
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    };
    Policy { quotas: vec![quota], ..open_plan() }
}

/// A plain call.
pub(crate) fn call(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        service: "search".to_owned(),
        endpoint: "/v1/search".to_owned(),
        weight: 1,
        ..Event::default()
    }
}

/// A call that costs that many credits.
pub(crate) fn priced(id: &str, credits: i64) -> Event {
    Event { caller_price_micros: Some(credits * CREDIT), ..call(id) }
}
