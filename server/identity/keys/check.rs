//! What a key may be, and that nobody gives more than they have.

use uuid::Uuid;

use crate::fault::{Invalid, Violation};
use crate::identity::api_key::{ApiKey, KeyKind};
use crate::identity::caller::Caller;
use crate::identity::keys::KeysError;
use crate::identity::network::Network;
use crate::identity::permission::{Permission, Permissions};
use crate::identity::restrictions::{self, KeyRestricted, Restrictions};
use crate::plans::bounds::is_name;
use crate::time::Timestamp;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key's id is made of it: the same seed makes one key.
    pub seed: Uuid,
    /// For whom it will speak.
    pub kind: KeyKind,
    /// The tenant that it will speak for; it exists. `None`: a service account's.
    pub tenant: Option<String>,
    /// Its name for people.
    pub name: String,
    /// The first moment at which it is not good any more.
    pub expires_at: Option<Timestamp>,
    /// The names of what it may do; empty: all that its kind and its maker may.
    pub permissions: Vec<String>,
    /// The services that calls with it may be about; empty: all that its maker's own key may.
    pub services: Vec<String>,
    /// The networks that it may be sent from; empty: all that its maker's own key may.
    pub networks: Vec<String>,
}

/// What shall be otherwise with a key; `None`: it stays as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// Its name for people.
    pub name: Option<String>,
    /// The services that calls with it may be about; empty: all.
    pub services: Option<Vec<String>>,
    /// The networks that it may be sent from; empty: all.
    pub networks: Option<Vec<String>>,
}

/// A change whose every field can be had.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    name: Option<String>,
    services: Option<Vec<String>>,
    networks: Option<Vec<Network>>,
}

impl KeyChange {
    pub(super) fn checked(self) -> Result<Checked, Invalid> {
        let mut found = Vec::new();
        if let Some(name) = &self.name {
            check_name(name, &mut found);
        }
        let services = self.services.map(|names| restrictions::services(&names, &mut found));
        let networks = self.networks.map(|texts| restrictions::networks(&texts, &mut found));
        if found.is_empty() {
            Ok(Checked { name: self.name, services, networks })
        } else {
            Err(Invalid(found))
        }
    }
}

impl Checked {
    pub(super) fn apply(self, key: &mut ApiKey) {
        if let Some(name) = self.name {
            key.name = name;
        }
        if let Some(services) = self.services {
            key.restrictions.services = services;
        }
        if let Some(networks) = self.networks {
            key.restrictions.networks = networks;
        }
    }
}

/// What a new key may do, and where.
pub(super) fn new_key(
    new: &NewKey,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Permissions, Restrictions), KeysError> {
    let mut found = Vec::new();
    check_name(&new.name, &mut found);
    check_end(new.expires_at, now, &mut found);
    let permissions = check_permissions(new, caller, &mut found);
    let mut restrictions = Restrictions {
        services: restrictions::services(&new.services, &mut found),
        networks: restrictions::networks(&new.networks, &mut found),
    };
    if !found.is_empty() {
        return Err(Invalid(found).into());
    }
    if let Some(own) = &caller.restrictions {
        if restrictions.services.is_empty() {
            restrictions.services.clone_from(&own.services);
        }
        if restrictions.networks.is_empty() {
            restrictions.networks.clone_from(&own.networks);
        }
    }
    is_allowed(&restrictions, caller)?;
    Ok((permissions, restrictions))
}

/// Whether a caller may give that key out of its hands: it may do nothing, and nowhere, that the caller may not.
pub(super) fn is_covered(key: &ApiKey, caller: &Caller) -> Result<(), KeysError> {
    for permission in Permission::ALL {
        if key.permissions.has(permission) {
            caller.require(permission)?;
        }
    }
    Ok(is_allowed(&key.restrictions, caller)?)
}

pub(super) fn check_end(expires_at: Option<Timestamp>, now: Timestamp, found: &mut Vec<Violation>) {
    if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= now) {
        let description = format!("{expires_at} is not in the future");
        found.push(Violation { field: String::from("expire_time"), description });
    }
}

fn is_allowed(restrictions: &Restrictions, caller: &Caller) -> Result<(), KeyRestricted> {
    let Some(own) = caller.restrictions.as_ref().filter(|own| !restrictions.is_within(own)) else {
        return Ok(());
    };
    let services = Restrictions { services: restrictions.services.clone(), networks: own.networks.clone() };
    Err(if services.is_within(own) { KeyRestricted::Network } else { KeyRestricted::Service })
}

fn check_name(name: &str, found: &mut Vec<Violation>) {
    if !is_name(name) {
        let description = "must have 1 to 128 characters, none of them a control character".to_owned();
        found.push(Violation { field: String::from("name"), description });
    }
}

fn check_permissions(new: &NewKey, caller: &Caller, found: &mut Vec<Violation>) -> Permissions {
    let grantable = new.kind.permissions().and(caller.permissions);
    if new.permissions.is_empty() {
        return grantable;
    }
    let mut permissions = Permissions::NONE;
    for (place, name) in new.permissions.iter().enumerate() {
        let description = match Permission::named(name) {
            Some(permission) if grantable.has(permission) => {
                permissions = permissions.with(permission);
                continue;
            }
            Some(_) => format!("`{name}` is more than the key's kind or the caller may"),
            None => format!("there is no permission `{name}`"),
        };
        found.push(Violation { field: format!("permissions[{place}]"), description });
    }
    permissions
}
