//! A plan, and its versions, as records.

use serde::{Deserialize, Serialize};

use crate::plans::spec::PlanSpec;
use crate::store::records::Record;
use crate::time::Timestamp;

/// What tenants subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `pln_…`.
    pub id: String,
    /// Its short name, unique; it never changes.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The version that new subscriptions get; `None`: nobody can subscribe yet.
    pub published_version: Option<u32>,
    /// The newest version.
    pub latest_version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its place among plans that were made at the same moment: a set of presets keeps its order, and stands first.
    pub rank: u32,
}

/// One version of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanVersion {
    /// Made of plan and number.
    pub id: String,
    /// The plan's id.
    pub plan_id: String,
    /// 1, 2, 3 …
    pub number: u32,
    /// What made it: the same origin makes one version.
    pub origin: String,
    /// What it promises. It never changes.
    pub spec: PlanSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was published; `None`: it is a draft.
    pub published_at: Option<Timestamp>,
}

impl PlanVersion {
    /// The id of a version.
    #[must_use]
    pub fn id_of(plan_id: &str, number: u32) -> String {
        format!("{plan_id}.{number}")
    }
}

/// The index of slugs.
pub const SLUG: &str = "slug";
/// The index of what made a version.
pub const ORIGIN: &str = "origin";
/// The index of plans by age.
pub const AGE: &str = "age";

impl Record for Plan {
    const KIND: &'static str = "plan";

    fn id(&self) -> &str {
        &self.id
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![(SLUG, self.slug.clone())]
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, format!("{:020}.{:010}", self.created_at.micros().max(0), self.rank))]
    }
}

impl Record for PlanVersion {
    const KIND: &'static str = "plan_version";

    fn id(&self) -> &str {
        &self.id
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![(ORIGIN, self.origin.clone())]
    }
}
