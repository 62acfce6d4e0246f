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
    /// Its end; `None`: it was not deleted.
    #[serde(default)]
    pub deletion: Option<Deletion>,
    /// The IANA zone of its billing periods.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What made it: the same origin makes one tenant.
    pub origin: String,
    /// The plan it was made with. Whoever first needs its subscription opens it from this, so that a tenant and its
    /// subscription need not be made at once.
    pub opening: Opening,
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

/// The end of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was deleted.
    pub at: Timestamp,
    /// When what is held on it ends.
    pub ends_at: Timestamp,
    /// Whether that has ended.
    pub is_done: bool,
}

/// Whether a tenant may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// Its calls are decided by its plan.
    Active,
    /// Its calls are refused.
    Suspended,
    /// It was deleted. A tenant is not kept so: what it was before comes back with it.
    Deleted,
}

/// The index of tenants by age.
pub const AGE: &str = "age";
/// The index of tenants by id, in small letters.
pub const ID: &str = "id";
/// The index of tenants by name, in small letters.
pub const NAME: &str = "name";
/// The index of deleted tenants by the moment at which what is held on them ends.
pub const END: &str = "end";

impl Tenant {
    /// Whether it may call.
    #[must_use]
    pub const fn standing(&self) -> TenantState {
        if self.deletion.is_some() { TenantState::Deleted } else { self.state }
    }

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
        let moment = |at: Timestamp| format!("{:020}", at.micros().max(0));
        let mut ranges = vec![(AGE, moment(self.created_at)), (ID, self.id.to_lowercase())];
        if !self.name.is_empty() {
            ranges.push((NAME, self.name.to_lowercase()));
        }
        if let Some(deletion) = self.deletion.filter(|deletion| !deletion.is_done) {
            ranges.push((END, moment(deletion.ends_at)));
        }
        ranges
    }
}
