//! Who belongs where, and as what.

use serde::{Deserialize, Serialize};

use crate::store::records::Record;
use crate::time::Timestamp;

/// A person in a tenant, or in the installation itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    id: String,
    /// The tenant; empty: the installation, whose members are its staff.
    pub tenant: String,
    /// The person.
    pub user: String,
    /// The name of the role: one of ours, or one that the tenant made.
    pub role: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// The index of members by tenant, then by age.
pub const TENANT: &str = "tenant";
/// The index of members by person, then by age.
pub const USER: &str = "user";

impl Member {
    /// A member.
    #[must_use]
    pub fn new(tenant: &str, user: &str, role: &str, created_at: Timestamp) -> Self {
        let (id, role) = (Self::id_of(tenant, user), role.to_owned());
        Self { id, tenant: tenant.to_owned(), user: user.to_owned(), role, created_at }
    }

    /// The id of a person's membership: a person is in a tenant once.
    #[must_use]
    pub fn id_of(tenant: &str, user: &str) -> String {
        format!("{tenant}/{user}")
    }

    /// Tenant and person of a membership's id.
    #[must_use]
    pub fn parts_of(id: &str) -> Option<(&str, &str)> {
        id.split_once('/')
    }

    /// What the values of a tenant's or a person's members in the indexes start with. No id has a `/`.
    #[must_use]
    pub fn prefix(owner: &str) -> String {
        format!("{owner}/")
    }
}

impl Record for Member {
    const KIND: &'static str = "member";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let age = format!("{:020}", self.created_at.micros().max(0));
        vec![
            (TENANT, format!("{}{age}", Self::prefix(&self.tenant))),
            (USER, format!("{}{age}", Self::prefix(&self.user))),
        ]
    }
}
