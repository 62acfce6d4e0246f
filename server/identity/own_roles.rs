//! The roles that tenants make for themselves: listing, making, changing and deleting them.

use std::sync::Arc;

use uuid::Uuid;

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::identity::audit::note;
use crate::identity::caller::Caller;
use crate::identity::keyring::Keyring;
use crate::identity::permission::{Permission, Permissions};
use crate::identity::roles::roster::{CustomRole, Roster};
use crate::identity::roles::{Roles, grantable, is_built_in, is_custom_name};
use crate::identity::turns::Turns;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Kept, Records};
use crate::store::{Documents, StoreError};
use crate::time::Clock;

/// How often a change is tried against those of other servers.
const ATTEMPTS_MAX: usize = 32;
/// The roles that one tenant may make.
const ROLES_MAX: usize = 32;
const DESCRIPTION_CHARACTERS_MAX: usize = 256;

/// The roles that tenants make.
#[derive(Debug)]
pub struct OwnRoles {
    rosters: Records<Roster>,
    roles: Arc<Roles>,
    keyring: Arc<Keyring>,
    teller: Teller,
    turns: Turns,
    clock: Arc<dyn Clock>,
}

/// A role as a tenant asks for it.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for, for people.
    pub description: &'a str,
    /// The names of what it allows.
    pub permissions: &'a [String],
}

/// A role as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub permissions: Permissions,
    /// The record of a role that the tenant made; `None`: one of ours.
    pub own: Option<CustomRole>,
}

/// Why a role cannot be made, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// The tenant made no such role.
    #[error("there is no role `{0}` that the tenant made")]
    NotFound(String),
    /// The tenant has a role of that name.
    #[error("there is a role `{0}` already")]
    Exists(String),
    /// Members have it.
    #[error("{members} members have the role `{name}`")]
    InUse {
        /// The role.
        name: String,
        /// How many have it, or are about to.
        members: u64,
    },
    /// The caller would grant or take what it does not have.
    #[error("the role `{0}` allows more than the caller may")]
    ExceedsOwn(String),
    /// The tenant has as many roles as it can have.
    #[error("a tenant has at most {ROLES_MAX} roles of its own")]
    Full,
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for RolesError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::RoleNotFound,
            Self::Exists(_) => Reason::RoleExists,
            Self::InUse { .. } => Reason::RoleInUse,
            Self::ExceedsOwn(_) => Reason::GrantExceedsOwn,
            Self::Full => Reason::RosterFull,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl OwnRoles {
    /// The roles in a store.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        roles: Arc<Roles>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (rosters, teller) =
            (Records::new(Arc::clone(documents)), Teller::new(documents, Arc::clone(&clock)));
        Self { rosters, roles, keyring, teller, turns: Turns::new(), clock }
    }

    /// All roles of a tenant: ours, least first, then its own by name.
    pub async fn list(&self, tenant: &str) -> Result<Vec<Seen>, StoreError> {
        let ours = self.roles.built_in(tenant).into_iter();
        let mut seen: Vec<_> =
            ours.map(|(name, permissions)| Seen { name, permissions, own: None }).collect();
        let roster = self.rosters.get(&Roster::id_of(tenant)).await?;
        let own = roster.into_iter().flat_map(|kept| kept.record.roles);
        seen.extend(own.map(|(name, role)| Seen { name, permissions: role.permissions, own: Some(role) }));
        Ok(seen)
    }

    /// Makes a role of the tenant's own. The same seed makes one role.
    pub async fn create(
        &self,
        caller: &Caller,
        tenant: &str,
        seed: Uuid,
        wanted: Wanted<'_>,
    ) -> Result<CustomRole, RolesError> {
        note::target("role", wanted.name);
        let permissions = check(&wanted)?;
        covers(caller, permissions, wanted.name)?;
        let origin = seed.simple().to_string();
        let made = self.change(tenant, |roster| {
            if let Some(there) = roster.roles.get(wanted.name) {
                let is_same = there.origin == origin;
                return if is_same {
                    Ok(Change::None)
                } else {
                    Err(RolesError::Exists(wanted.name.to_owned()))
                };
            }
            if roster.roles.len() >= ROLES_MAX {
                return Err(RolesError::Full);
            }
            let role = CustomRole {
                description: wanted.description.to_owned(),
                permissions,
                members: 0,
                created_at: self.clock.now(),
                origin: origin.clone(),
            };
            roster.roles.insert(wanted.name.to_owned(), role);
            Ok(Change::Keep)
        });
        let role = own(&made.await?, wanted.name)?;
        note::after(&role);
        Ok(role)
    }

    /// Gives a role another description and other permissions. From the answer on they hold, on other servers too within 5 s.
    pub async fn update(
        &self,
        caller: &Caller,
        tenant: &str,
        wanted: Wanted<'_>,
    ) -> Result<(CustomRole, CustomRole), RolesError> {
        note::target("role", wanted.name);
        let permissions = check(&wanted)?;
        covers(caller, permissions, wanted.name)?;
        let mut before = None;
        let changed = self.change(tenant, |roster| {
            let role = roster.roles.get_mut(wanted.name);
            let role = role.ok_or_else(|| RolesError::NotFound(wanted.name.to_owned()))?;
            covers(caller, role.permissions, wanted.name)?;
            before = Some(role.clone());
            wanted.description.clone_into(&mut role.description);
            role.permissions = permissions;
            Ok(Change::Keep)
        });
        let after = own(&changed.await?, wanted.name)?;
        let before = before.unwrap_or_else(|| after.clone());
        note::before(&before);
        note::after(&after);
        Ok((before, after))
    }

    /// Deletes a role that no member has.
    pub async fn delete(&self, caller: &Caller, tenant: &str, name: &str) -> Result<CustomRole, RolesError> {
        note::target("role", name);
        let mut before = None;
        let deleted = self.change(tenant, |roster| {
            let role = roster.roles.get(name).ok_or_else(|| RolesError::NotFound(name.to_owned()))?;
            covers(caller, role.permissions, name)?;
            let comes = roster.moving.as_ref().is_some_and(|moving| moving.to.as_deref() == Some(name));
            let members = role.members.saturating_add(comes.into());
            if members > 0 {
                return Err(RolesError::InUse { name: name.to_owned(), members });
            }
            before = roster.roles.remove(name);
            Ok(Change::Keep)
        });
        deleted.await?;
        let before = before.ok_or_else(|| RolesError::NotFound(name.to_owned()))?;
        note::before(&before);
        Ok(before)
    }

    /// Changes a roster, and tells of it.
    async fn change(
        &self,
        tenant: &str,
        change: impl FnMut(&mut Roster) -> Result<Change, RolesError>,
    ) -> Result<Roster, RolesError> {
        let _turn = self.turns.take(tenant).await;
        let changed = self.teller.tell(Subject::Role(tenant.to_owned()), self.replace(tenant, change)).await;
        // Also after a failure: the change may have been kept all the same.
        self.roles.forget(tenant);
        self.keyring.forget_role(tenant);
        changed
    }

    async fn replace(
        &self,
        tenant: &str,
        mut change: impl FnMut(&mut Roster) -> Result<Change, RolesError>,
    ) -> Result<Roster, RolesError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = self.rosters.get(&Roster::id_of(tenant)).await?;
            let mut roster = found.unwrap_or_else(|| Kept { record: Roster::new(tenant), revision: 0 });
            if change(&mut roster.record)? == Change::None || self.rosters.replace(&roster).await? {
                return Ok(roster.record);
            }
        }
        Err(StoreError::unavailable(format!("the roster of `{tenant}` is changed by others all the time"))
            .into())
    }
}

fn own(roster: &Roster, name: &str) -> Result<CustomRole, RolesError> {
    roster.roles.get(name).cloned().ok_or_else(|| RolesError::NotFound(name.to_owned()))
}

fn covers(caller: &Caller, permissions: Permissions, name: &str) -> Result<(), RolesError> {
    if caller.permissions.covers(permissions) { Ok(()) } else { Err(RolesError::ExceedsOwn(name.to_owned())) }
}

fn check(wanted: &Wanted<'_>) -> Result<Permissions, Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: String, description: String| found.push(Violation { field, description });
    if is_built_in(wanted.name) {
        wrong(String::from("name"), format!("`{}` is a role that every tenant has", wanted.name));
    } else if !is_custom_name(wanted.name) {
        wrong(
            String::from("name"),
            String::from("is not 1 to 32 characters of `a-z 0-9 _ -` after a letter"),
        );
    }
    let described = wanted.description.chars();
    if described.clone().count() > DESCRIPTION_CHARACTERS_MAX || described.clone().any(char::is_control) {
        let description =
            format!("must have at most {DESCRIPTION_CHARACTERS_MAX} characters, none a control character");
        wrong(String::from("description"), description);
    }
    let mut permissions = Permissions::NONE;
    for (place, name) in wanted.permissions.iter().enumerate() {
        match Permission::named(name) {
            Some(permission) if grantable().has(permission) => permissions = permissions.with(permission),
            Some(_) => {
                wrong(
                    format!("permissions[{place}]"),
                    format!("`{name}` is for no role that a tenant makes"),
                );
            }
            None => wrong(format!("permissions[{place}]"), format!("there is no permission `{name}`")),
        }
    }
    if wanted.permissions.is_empty() {
        wrong(String::from("permissions"), String::from("are required"));
    }
    if found.is_empty() { Ok(permissions) } else { Err(Invalid(found)) }
}
