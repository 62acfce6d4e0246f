//! A tenant's own roles, who owns it, and the change of a member that goes on: one record, so that each change of these is
//! whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::permission::Permissions;
use crate::store::records::Record;
use crate::time::Timestamp;

/// The roster of a tenant, or of the staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    id: String,
    /// The tenant's own roles, by name.
    pub roles: BTreeMap<String, CustomRole>,
    /// The people who own the tenant.
    pub owners: Vec<String>,
}

/// A role that a tenant made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRole {
    /// What it is for, for people.
    pub description: String,
    /// What it allows.
    pub permissions: Permissions,
    /// How many members have it.
    pub members: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// What made it: the same origin makes one role.
    pub origin: String,
}

impl Roster {
    /// An empty roster; `tenant` is empty for that of the staff.
    #[must_use]
    pub fn new(tenant: &str) -> Self {
        Self { id: Self::id_of(tenant), roles: BTreeMap::new(), owners: Vec::new() }
    }

    /// The id of a tenant's roster. An id is never empty, and that of the staff's tenant is.
    #[must_use]
    pub fn id_of(tenant: &str) -> String {
        format!("of/{tenant}")
    }
}

impl Record for Roster {
    const KIND: &'static str = "roster";

    fn id(&self) -> &str {
        &self.id
    }
}
