//! Somebody whose credential was good.

use std::net::IpAddr;
use std::sync::Arc;

use crate::fault::{Fault, Reason};
use crate::identity::permission::{Permission, Permissions, Required};
use crate::identity::restrictions::{KeyRestricted, Restrictions};

/// Somebody whose credential was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it is.
    pub kind: CallerKind,
    /// The key that it showed; `None`: it has logged in, or is the operator.
    pub key_id: Option<Arc<str>>,
    /// What it may do.
    pub permissions: Permissions,
    /// Where its key is good; `None`: everywhere.
    pub restrictions: Option<Arc<Restrictions>>,
    /// Whether its key was sent from a network that it is not allowed.
    pub is_outside: bool,
}

/// What a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// A tenant, by its own key.
    Tenant(Arc<str>),
    /// A service that tracks for every tenant.
    ServiceAccount,
    /// Who runs this installation.
    Operator,
    /// Somebody who belongs to a tenant and has logged in.
    Member {
        /// The tenant.
        tenant: Arc<str>,
        /// Who.
        user: Arc<str>,
    },
    /// Somebody who works for this installation and has logged in.
    Staff {
        /// Who.
        user: Arc<str>,
    },
}

impl Caller {
    /// Whether it may do that.
    pub fn require(&self, permission: Permission) -> Result<(), PermissionMissing> {
        if self.permissions.has(permission) { Ok(()) } else { Err(PermissionMissing(permission)) }
    }

    /// Whether it may call a method that takes that.
    pub fn meets(&self, required: Required) -> Result<(), PermissionMissing> {
        match required {
            Required::Nothing | Required::Authenticated => Ok(()),
            Required::Permission(permission) => self.require(permission),
        }
    }

    /// The same caller at that address; `None`: nobody knows from where it calls.
    #[must_use]
    pub fn at(self: Arc<Self>, peer: Option<IpAddr>) -> Arc<Self> {
        match &self.restrictions {
            Some(restrictions) if !restrictions.allows_peer(peer) => {
                Arc::new(Self { is_outside: true, ..Self::clone(&self) })
            }
            _ => self,
        }
    }

    /// Whether its key is allowed the network that it was sent from.
    pub const fn require_network(&self) -> Result<(), KeyRestricted> {
        if self.is_outside { Err(KeyRestricted::Network) } else { Ok(()) }
    }

    /// The tenant that it is.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Arc<str>> {
        match &self.kind {
            CallerKind::Tenant(tenant) | CallerKind::Member { tenant, .. } => Some(tenant),
            CallerKind::ServiceAccount | CallerKind::Operator | CallerKind::Staff { .. } => None,
        }
    }

    /// Who it is, where it is a person.
    #[must_use]
    pub const fn user(&self) -> Option<&Arc<str>> {
        match &self.kind {
            CallerKind::Member { user, .. } | CallerKind::Staff { user } => Some(user),
            CallerKind::Tenant(_) | CallerKind::ServiceAccount | CallerKind::Operator => None,
        }
    }

    /// Whether it may say which tenant it calls for.
    #[must_use]
    pub const fn names_tenants(&self) -> bool {
        self.permissions.has(Permission::UsageTrackAny) || self.permissions.has(Permission::TenantsAny)
    }

    /// Whose requests its requests are, so that no caller meets the request ids of another.
    #[must_use]
    pub fn scope(&self) -> String {
        match (&self.kind, &self.key_id) {
            (CallerKind::Tenant(tenant), _) => format!("tenant/{tenant}"),
            (CallerKind::ServiceAccount, Some(key)) => format!("service/{key}"),
            (CallerKind::ServiceAccount, None) => String::from("service"),
            (CallerKind::Operator, _) => String::from("operator"),
            (CallerKind::Member { tenant, user }, _) => format!("member/{tenant}/{user}"),
            (CallerKind::Staff { user }, _) => format!("staff/{user}"),
        }
    }
}

/// The caller may not do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller lacks the permission `{0}`")]
pub struct PermissionMissing(pub Permission);

impl Fault for PermissionMissing {
    fn reason(&self) -> Reason {
        Reason::PermissionMissing
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("permission", self.0.to_string())]
    }
}
