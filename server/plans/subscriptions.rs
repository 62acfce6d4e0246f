//! The subscriptions of all tenants.

use std::sync::Arc;

use crate::ledger::notices::{NoticeKind, Notices};
use crate::plans::PlansError;
use crate::plans::catalogue::Catalogue;
use crate::plans::subscription::{PeriodAnchor, Subscription};
use crate::store::records::{Change, Records};
use crate::store::{Documents, StoreError};
use crate::time::Clock;

/// The subscriptions of all tenants.
#[derive(Debug)]
pub struct Subscriptions {
    subscriptions: Records<Subscription>,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    notices: Arc<Notices>,
}

impl Subscriptions {
    /// The subscriptions in a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Self {
        let subscriptions = Records::new(Arc::clone(documents));
        Self { subscriptions, catalogue, clock, notices: Arc::new(Notices::dropped()) }
    }

    /// The same, and each change is told of.
    #[must_use]
    pub fn telling(self, notices: Arc<Notices>) -> Self {
        Self { notices, ..self }
    }

    /// The tenant's subscription, or `first` where it has none: then that is kept. The first one wins for ever.
    pub async fn open(&self, first: Subscription) -> Result<Subscription, StoreError> {
        if let Some(there) = self.get(&first.tenant).await? {
            return Ok(there);
        }
        self.subscriptions.insert(&first).await?;
        Ok(self.get(&first.tenant).await?.unwrap_or(first))
    }

    /// The tenant's subscription.
    pub async fn get(&self, tenant: &str) -> Result<Option<Subscription>, StoreError> {
        Ok(self.subscriptions.get(tenant).await?.map(|kept| kept.record))
    }

    /// The subscriptions of those tenants, in that order.
    pub async fn get_many(&self, tenants: &[String]) -> Result<Vec<Option<Subscription>>, StoreError> {
        let found = self.subscriptions.get_many(tenants).await?;
        Ok(found.into_iter().map(|kept| kept.map(|kept| kept.record)).collect())
    }

    /// Moves a tenant to the published version of a plan, at once; another anchor holds from the next period. `None`: the
    /// tenant has no subscription.
    pub async fn change(
        &self,
        tenant: &str,
        plan: &str,
        anchor: Option<PeriodAnchor>,
    ) -> Result<Option<Subscription>, PlansError> {
        let (plan, number) = self.catalogue.offered(plan).await?;
        let now = self.clock.now();
        let changed = self.subscriptions.update(tenant, |subscription: &mut Subscription| {
            let before = subscription.clone();
            if (&subscription.plan_id, subscription.version) != (&plan.id, number) {
                subscription.plan_id.clone_from(&plan.id);
                subscription.plan.clone_from(&plan.slug);
                subscription.version = number;
                subscription.started_at = now;
            }
            if let Some(anchor) = anchor {
                subscription.set_anchor(anchor, now)?;
            }
            Ok::<_, PlansError>(if *subscription == before { Change::None } else { Change::Keep })
        });
        let changed = changed.await?;
        if let Some(subscription) = &changed {
            // Also where nothing was changed now: a try before this one may have died between the change and its notice.
            self.notices.post(NoticeKind::SubscriptionChanged, tenant, now, subscription).await?;
        }
        Ok(changed)
    }

    /// Sets the zone of a tenant's billing periods, from the next one on. `None`: the tenant has no subscription.
    pub async fn change_zone(&self, tenant: &str, zone: &str) -> Result<Option<Subscription>, StoreError> {
        let now = self.clock.now();
        let changed = self.subscriptions.update(tenant, |subscription: &mut Subscription| {
            if subscription.zone == zone {
                return Ok(Change::None);
            }
            subscription.set_zone(zone, now)?;
            Ok::<_, StoreError>(Change::Keep)
        });
        changed.await
    }
}
