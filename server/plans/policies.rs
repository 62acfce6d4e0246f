//! The policy of each subscription, compiled once for all tenants that share it.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::cache::Cache;
use crate::gate::period::{Anchor, PeriodRule};
use crate::gate::policy::Policy;
use crate::plans::PlansError;
use crate::plans::catalogue::Catalogue;
use crate::plans::compile::compile;
use crate::plans::subscription::Subscription;
use crate::plans::upgrade;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Far more than there are plans and zones in use.
const POLICIES_MAX: usize = 100_000;

/// Compiled policies.
#[derive(Debug)]
pub struct Policies {
    catalogue: Arc<Catalogue>,
    /// By plan, version and zone, with periods of calendar months.
    compiled: Cache<String, Arc<Policy>>,
}

impl Policies {
    /// Policies of the plans of a catalogue.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, compiled: Cache::new(POLICIES_MAX) }
    }

    /// The policy of a subscription in the period that contains `now`.
    pub async fn of(&self, subscription: &Subscription, now: Timestamp) -> Result<Arc<Policy>, PlansError> {
        let rule = subscription.rule(now)?;
        let shared = self.of_calendar_months(subscription, rule.zone.clone()).await?;
        Ok(match rule.anchor {
            Anchor::CalendarMonth => shared,
            Anchor::Anniversary { .. } => Arc::new(Policy { period: rule, ..Policy::clone(&shared) }),
        })
    }

    async fn of_calendar_months(
        &self,
        subscription: &Subscription,
        zone: TimeZone,
    ) -> Result<Arc<Policy>, PlansError> {
        let key = format!("{}.{} {}", subscription.plan_id, subscription.version, subscription.zone);
        if let Some(policy) = self.compiled.get(&key) {
            return Ok(policy);
        }
        let ticket = self.compiled.ticket(&key);
        let plan = self.catalogue.plan(&subscription.plan_id).await?;
        let version = self.catalogue.version(&plan, subscription.version).await?;
        let upgrade = upgrade::hint(&plan.id, &version.spec, &self.catalogue.offers().await?);
        let rule = PeriodRule { anchor: Anchor::CalendarMonth, zone };
        let policy = compile(&plan, &version, rule, upgrade)
            .map_err(|error| StoreError::corrupt(format!("plan version `{}`", version.id), error))?;
        let policy = Arc::new(policy);
        self.compiled.keep(key, Arc::clone(&policy), ticket);
        Ok(policy)
    }

    /// Tells of a change of the catalogue: hints may name other plans now.
    pub fn forget_all(&self) {
        self.compiled.forget_all();
    }
}
