//! A tenant's own roles, who owns it, and the change of a member that goes on: one record, so that what depends on all of
//! them changes whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::member::Member;
use crate::identity::permission::Permissions;
use crate::identity::roles::OWNER;
use crate::store::records::Record;
use crate::time::Timestamp;

/// The roster of a tenant, or of the staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    id: String,
    /// The tenant; empty: the installation.
    pub tenant: String,
    /// The tenant's own roles, by name.
    pub roles: BTreeMap<String, CustomRole>,
    /// The people who own the tenant.
    pub owners: Vec<String>,
    /// The change of a member that goes on; whoever finds one finishes it before it begins its own.
    pub moving: Option<Move>,
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

/// A change of one member, as it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The person.
    pub user: String,
    /// The revision at which the membership stood; 0: there was none. At another one the change was made.
    pub revision: u64,
    /// The role before.
    pub from: Option<String>,
    /// The role after; `None`: the membership ends.
    pub to: Option<String>,
    /// When the membership began, or begins.
    pub since: Timestamp,
}

impl Roster {
    /// An empty roster; `tenant` is empty for that of the staff.
    #[must_use]
    pub fn new(tenant: &str) -> Self {
        let (id, tenant) = (Self::id_of(tenant), tenant.to_owned());
        Self { id, tenant, roles: BTreeMap::new(), owners: Vec::new(), moving: None }
    }

    /// The id of a tenant's roster. An id is never empty, and the tenant of the staff is.
    #[must_use]
    pub fn id_of(tenant: &str) -> String {
        format!("of/{tenant}")
    }

    /// Counts the change that goes on, after the membership has it.
    pub fn settle(&mut self) {
        let Some(Move { user, from, to, .. }) = self.moving.take() else { return };
        if let Some(role) = from.and_then(|from| self.roles.get_mut(&from)) {
            role.members = role.members.saturating_sub(1);
        }
        if let Some(role) = to.as_ref().and_then(|to| self.roles.get_mut(to)) {
            role.members = role.members.saturating_add(1);
        }
        self.owners.retain(|owner| *owner != user);
        if to.as_deref() == Some(OWNER) {
            self.owners.push(user);
        }
    }
}

impl Move {
    /// Whether an owner is none any more after the change.
    #[must_use]
    pub fn loses_owner(&self) -> bool {
        self.from.as_deref() == Some(OWNER) && self.to.as_deref() != Some(OWNER)
    }

    /// The membership after the change; `None`: it has ended.
    #[must_use]
    pub fn member(&self, tenant: &str) -> Option<Member> {
        self.to.as_ref().map(|role| Member::new(tenant, &self.user, role, self.since))
    }
}

impl Record for Roster {
    const KIND: &'static str = "roster";

    fn id(&self) -> &str {
        &self.id
    }
}
