//! What each role may do: ours, and those that tenants made for themselves.
//!
//! A policy engine works out each role's permissions: for the built-in ones at the start, for a tenant's own when somebody
//! with such a role is looked up for the first time. What it worked out is a table, which is replaced whole; calls are
//! decided by that, and never by the engine. What no policy allows is refused.

mod built_in;
mod engine;
pub mod roster;

use std::sync::Arc;

use crate::cache::Cache;
use crate::identity::permission::Permissions;
use crate::identity::roles::built_in::{GRANTABLE, STAFF, TENANT};
use crate::identity::roles::engine::{Policies, Table};
use crate::identity::roles::roster::Roster;
use crate::store::changes::Confirmed;
use crate::store::records::Records;
use crate::store::{Documents, StoreError};
use crate::time::Clock;

pub use crate::identity::roles::built_in::{OPERATOR, OWNER};

/// Tenants whose roles are remembered; others take a look into the store.
const TABLES_MAX: usize = 50_000;
const NAME_LENGTH_MAX: usize = 32;

/// All roles.
#[derive(Debug)]
pub struct Roles {
    staff: Table,
    tenant: Table,
    rosters: Records<Roster>,
    tables: Cache<String, Arc<Table>>,
    confirmed: Confirmed,
    clock: Arc<dyn Clock>,
}

impl Roles {
    /// The roles of a store; works out what the built-in ones may do.
    pub async fn open(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Ok(Self {
            staff: engine::work_out(built_in::staff()).await?,
            tenant: engine::work_out(built_in::tenant()).await?,
            rosters: Records::new(Arc::clone(documents)),
            tables: Cache::new(TABLES_MAX),
            confirmed: Confirmed::at(clock.now()),
            clock,
        })
    }

    /// What whoever has that role in that tenant may do there; `tenant` is empty for the staff of the installation. `None`:
    /// there is no such role, and who has it may do nothing.
    pub async fn permissions(&self, tenant: &str, role: &str) -> Result<Option<Permissions>, StoreError> {
        let built_in = if tenant.is_empty() { &self.staff } else { &self.tenant };
        if let Some(permissions) = built_in.get(role) {
            return Ok(Some(*permissions));
        }
        if tenant.is_empty() || !is_custom_name(role) {
            return Ok(None);
        }
        Ok(self.table(tenant).await?.get(role).copied())
    }

    /// Our roles that members of a tenant can have, least first.
    #[must_use]
    pub fn built_in(&self, tenant: &str) -> Vec<(String, Permissions)> {
        let (roles, table) = if tenant.is_empty() {
            (STAFF.as_slice(), &self.staff)
        } else {
            (TENANT.as_slice(), &self.tenant)
        };
        let names = roles.iter().map(|role| role.name);
        names.filter_map(|name| Some((name.to_owned(), *table.get(name)?))).collect()
    }

    /// Tells of a change of a tenant's own roles, after the store has it.
    pub fn forget(&self, tenant: &str) {
        self.tables.forget(tenant);
    }

    /// Tells that any role may have changed.
    pub fn forget_all(&self) {
        self.tables.forget_all();
    }

    /// Until when what it remembers may be used.
    pub(super) const fn confirmed(&self) -> &Confirmed {
        &self.confirmed
    }

    /// What the roles may do that a tenant made.
    async fn table(&self, tenant: &str) -> Result<Arc<Table>, StoreError> {
        let remembered = self.tables.get(tenant).filter(|_| self.confirmed.holds(self.clock.now()));
        if let Some(table) = remembered {
            return Ok(table);
        }
        let ticket = self.tables.ticket(tenant);
        let roster = self.rosters.get(&Roster::id_of(tenant)).await?;
        let table = match roster {
            Some(kept) => engine::work_out(policies(tenant, &kept.record)).await?,
            None => Table::new(),
        };
        let table = Arc::new(table);
        self.tables.keep(tenant.to_owned(), Arc::clone(&table), ticket);
        Ok(table)
    }
}

/// The policies of a tenant's own roles. What such a role cannot have is left out, whatever the record says.
fn policies(tenant: &str, roster: &Roster) -> Policies {
    let own = roster.roles.iter().filter(|(name, _)| is_custom_name(name));
    Policies {
        domain: format!("tenant:{tenant}"),
        grants: own.map(|(name, role)| (name.clone(), role.permissions.and(GRANTABLE))).collect(),
        inherits: Vec::new(),
    }
}

/// All that a tenant's own role may have.
#[must_use]
pub const fn grantable() -> Permissions {
    GRANTABLE
}

/// Whether a tenant's own role can have that name: 1 to 32 characters of `a-z 0-9 _ -` after a letter, and none of ours.
#[must_use]
pub fn is_custom_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(letter)
        && !is_built_in(name)
}

/// Whether every tenant, or the staff, has a role of that name.
pub(super) fn is_built_in(name: &str) -> bool {
    TENANT.iter().chain(&STAFF).any(|role| role.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_role_is_a_word_that_is_not_ours() {
        for good in ["a", "auditor", "read-only", "on_call", "k9", &"a".repeat(32)] {
            assert!(is_custom_name(good), "{good}");
        }
        let long = "a".repeat(33);
        for wrong in [
            "",
            "*",
            ".*",
            "role:owner",
            "as:owner",
            "Auditor",
            "9k",
            "_x",
            "-",
            "a b",
            "a,b",
            "a\nb",
            "a/b",
            "é",
            "owner",
            "admin",
            "viewer",
            "operator",
            "support",
            &long,
        ] {
            assert!(!is_custom_name(wrong), "{wrong:?}");
        }
    }
}
