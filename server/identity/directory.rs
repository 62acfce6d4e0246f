//! What every call needs to know about its tenant, from memory where the tenant called lately.

use std::sync::Arc;

use crate::cache::Cache;
use crate::gate::policy::Policy;
use crate::identity::tenant::{Tenant, TenantState};
use crate::plans::PlansError;
use crate::plans::policies::Policies;
use crate::plans::subscriptions::Subscriptions;
use crate::store::changes::Confirmed;
use crate::store::records::Records;
use crate::store::{Documents, StoreError};
use crate::time::{Clock, Timestamp};

/// Tenants that are remembered; others take a look into the store.
const ENTRIES_MAX: usize = 250_000;

/// A tenant as calls meet it.
#[derive(Clone, Debug)]
pub struct TenantEntry {
    /// Its id.
    pub id: Arc<str>,
    /// Whether it may call.
    pub state: TenantState,
    /// The rules that its calls are decided by.
    pub policy: Arc<Policy>,
    /// When its billing periods begin to be cut otherwise; `None`: no change is known.
    holds_until: Option<Timestamp>,
}

/// All tenants, as calls meet them. A change that was told holds for each call that begins after it.
#[derive(Debug)]
pub struct Directory {
    tenants: Records<Tenant>,
    subscriptions: Arc<Subscriptions>,
    policies: Policies,
    clock: Arc<dyn Clock>,
    entries: Cache<Arc<str>, Arc<TenantEntry>>,
    confirmed: Confirmed,
}

impl Directory {
    /// The directory of a store.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        subscriptions: Arc<Subscriptions>,
        policies: Policies,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tenants = Records::new(Arc::clone(documents));
        let confirmed = Confirmed::at(clock.now());
        Self { tenants, subscriptions, policies, clock, entries: Cache::new(ENTRIES_MAX), confirmed }
    }

    /// The tenant with that id.
    pub async fn tenant(&self, id: &str) -> Result<Option<Arc<TenantEntry>>, StoreError> {
        match self.recall(id) {
            Some(entry) => Ok(Some(entry)),
            None => self.load(id).await,
        }
    }

    /// The tenant with that id, if it is known without the store.
    pub fn recall(&self, id: &str) -> Option<Arc<TenantEntry>> {
        let entry = self.entries.get(id)?;
        let now = self.clock.now();
        let holds = self.confirmed.holds(now) && entry.holds_until.is_none_or(|until| now < until);
        holds.then_some(entry)
    }

    /// Tells of a change of a tenant or its subscription, after the store has it.
    pub fn forget(&self, id: &str) {
        self.entries.forget(id);
    }

    /// Tells of a change of the catalogue, after the store has it.
    pub fn forget_all(&self) {
        self.policies.forget_all();
        self.entries.forget_all();
    }

    /// Until when what it remembers may be used.
    pub(super) const fn confirmed(&self) -> &Confirmed {
        &self.confirmed
    }

    async fn load(&self, id: &str) -> Result<Option<Arc<TenantEntry>>, StoreError> {
        let ticket = self.entries.ticket(id);
        let Some(kept) = self.tenants.get(id).await? else { return Ok(None) };
        let tenant = kept.record;
        let subscription = self.subscriptions.open(tenant.first_subscription()).await?;
        let now = self.clock.now();
        let policy = self.policies.of(&subscription, now).await.map_err(|error| match error {
            PlansError::Store(error) => error,
            // A subscription names a version that was published, and those are never deleted.
            other => StoreError::corrupt(format!("the subscription of tenant `{id}`"), other),
        })?;
        let entry = Arc::new(TenantEntry {
            id: id.into(),
            state: tenant.standing(),
            policy,
            holds_until: subscription.rule_changes_at(now),
        });
        self.entries.keep(Arc::clone(&entry.id), Arc::clone(&entry), ticket);
        Ok(Some(entry))
    }
}
