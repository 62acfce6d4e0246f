//! A tenant as it is kept.

use serde::{Deserialize, Serialize};

use crate::plans::subscription::{PeriodAnchor, Subscription};
use crate::store::records::Record;
use crate::time::Timestamp;

/// One customer whose usage is kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id: `ten_…`, or the one it was made with.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whether it may call.
    pub state: TenantState,
    /// Why it is suspended; empty where it is not.
    pub suspend_reason: String,
    /// The IANA zone of its billing periods.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What made it: the same origin makes one tenant.
    pub origin: String,
    /// The plan it was made with. Whoever first needs its subscription opens it from this, so that a tenant and its
    /// subscription need not be made at once.
    pub opening: Opening,
    /// The slug of the plan that it asked for and that is not paid for yet; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pending_plan: String,
}

/// The plan a tenant was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The plan's id.
    pub plan_id: String,
    /// The plan's slug.
    pub plan: String,
    /// The version that was offered then.
    pub version: u32,
}

/// Whether a tenant may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// Its calls are decided by its plan.
    Active,
    /// Its calls are refused.
    Suspended,
}

/// The index of tenants by age.
pub const AGE: &str = "age";

impl Tenant {
    /// Its first subscription: always the same.
    #[must_use]
    pub fn first_subscription(&self) -> Subscription {
        Subscription {
            tenant: self.id.clone(),
            plan_id: self.opening.plan_id.clone(),
            plan: self.opening.plan.clone(),
            version: self.opening.version,
            zone: self.time_zone.clone(),
            anchor: PeriodAnchor::default(),
            before: None,
            opened_at: self.created_at,
            started_at: self.created_at,
        }
    }
}

impl Record for Tenant {
    const KIND: &'static str = "tenant";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, format!("{:020}", self.created_at.micros().max(0)))]
    }
}
