//! Who calls for whom: whose tenant a request is about, by one rule for every service.

use std::sync::Arc;

use crate::fault::{Fault, Invalid, Reason};
use crate::gate::decision::DenialReason;
use crate::identity::audit::note;
use crate::identity::caller::{Caller, PermissionMissing};
use crate::identity::credential;
use crate::identity::directory::{Directory, TenantEntry};
use crate::identity::keyring::{CredentialError, Customer, Keyring};
use crate::identity::permission::Permission;
use crate::identity::restrictions::Restrictions;
use crate::identity::tenant::TenantState;
use crate::identity::tenants::is_tenant_id;
use crate::store::StoreError;

/// What a refusal is by where a credential is no key of ours.
const API_KEY: &str = "api_key";

/// Finds the tenants that requests are about.
#[derive(Debug)]
pub struct Resolver {
    directory: Arc<Directory>,
    keyring: Arc<Keyring>,
}

/// Whom a call is about.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A tenant. Whether it may call is for the gate: its state is in the entry.
    Tenant {
        /// The tenant.
        entry: Arc<TenantEntry>,
        /// The tenant's key that made the call; `None`: somebody else called for it.
        key_id: Option<Arc<str>>,
        /// Where the customer's key is good that the caller passes; `None`: everywhere, or it passes none.
        restrictions: Option<Arc<Restrictions>>,
    },
    /// Nobody: the customer's credential is not good, which is an answer.
    Refused {
        /// Why.
        reason: DenialReason,
        /// The key's id, or `api_key`.
        denied_by: String,
    },
}

/// A request does not say, or may not say, whom it is about.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It names a tenant that is not the caller's; alike whether it exists or not.
    #[error("tenant `{0}` is not the caller's")]
    Forbidden(String),
    /// A caller who may name any tenant names one that is not there.
    #[error("there is no tenant `{0}`")]
    NotFound(String),
    /// The tenant was deleted. Who looks after tenants sees it all the same.
    #[error("tenant `{0}` was deleted")]
    Deleted(String),
    /// It passes the credential of a customer, and may not.
    #[error(transparent)]
    PermissionMissing(#[from] PermissionMissing),
    /// It does not say whom it is about.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for ResolveError {
    fn reason(&self) -> Reason {
        match self {
            Self::Forbidden(_) => Reason::TenantForbidden,
            Self::NotFound(_) => Reason::TenantNotFound,
            Self::Deleted(_) => Reason::TenantDeleted,
            Self::PermissionMissing(error) => error.reason(),
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::PermissionMissing(error) => Some(error),
            Self::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl Resolver {
    /// A resolver over the directory of tenants and the keyring.
    #[must_use]
    pub const fn new(directory: Arc<Directory>, keyring: Arc<Keyring>) -> Self {
        Self { directory, keyring }
    }

    /// The caller whose credential it is now.
    pub async fn caller(&self, credential: &str) -> Result<Arc<Caller>, CredentialError> {
        self.keyring.authenticate(credential).await
    }

    /// The tenant that a request is about: `tenant_id`, or the caller's own where that is empty.
    pub async fn tenant(&self, caller: &Caller, tenant_id: &str) -> Result<Arc<TenantEntry>, ResolveError> {
        let entry = self.entry(caller, tenant_id).await?;
        if entry.state == TenantState::Deleted && !caller.permissions.has(Permission::TenantsAny) {
            return Err(ResolveError::Deleted(entry.id.as_ref().to_owned()));
        }
        Ok(entry)
    }

    /// The tenant that a call is about: as [`Resolver::tenant`], or that of the customer's `api_key`.
    pub async fn resolve(
        &self,
        caller: &Caller,
        tenant_id: &str,
        api_key: &str,
    ) -> Result<Resolved, ResolveError> {
        if api_key.is_empty() {
            let entry = self.entry(caller, tenant_id).await?;
            if entry.state == TenantState::Deleted {
                return Ok(deleted());
            }
            let key_id = caller.tenant().and(caller.key_id.clone());
            return Ok(Resolved::Tenant { entry, key_id, restrictions: None });
        }
        caller.require(Permission::UsageTrackAny)?;
        let (tenant, key_id, restrictions) = match self.keyring.customer(api_key).await? {
            Customer::Tenant { tenant, key_id, restrictions } => (tenant, key_id, restrictions),
            Customer::Refused(reason) => {
                return Ok(Resolved::Refused { reason, denied_by: name(reason, api_key) });
            }
        };
        if !tenant_id.is_empty() && *tenant_id != *tenant {
            return Err(Invalid::field("tenant_id", "is not the tenant of api_key").into());
        }
        let entry = self.directory.tenant(&tenant).await?;
        let entry = entry.ok_or_else(|| ResolveError::NotFound(tenant.as_ref().to_owned()))?;
        if entry.state == TenantState::Deleted {
            return Ok(deleted());
        }
        Ok(Resolved::Tenant { entry, key_id: Some(key_id), restrictions })
    }

    async fn entry(&self, caller: &Caller, tenant_id: &str) -> Result<Arc<TenantEntry>, ResolveError> {
        let id = Self::named(caller, tenant_id)?;
        let entry = self.directory.tenant(id).await?.ok_or_else(|| ResolveError::NotFound(id.to_owned()))?;
        note::tenant(id);
        Ok(entry)
    }

    fn named<'a>(caller: &'a Caller, tenant_id: &'a str) -> Result<&'a str, ResolveError> {
        match (caller.tenant(), tenant_id) {
            (Some(own), "") => Ok(own),
            (Some(own), named) if **own == *named => Ok(own),
            (None, "") => {
                Err(Invalid::field("tenant_id", "is required of a caller that is no tenant").into())
            }
            (None, named) if caller.names_tenants() && is_tenant_id(named) => Ok(named),
            (None, named) if caller.names_tenants() => Err(ResolveError::NotFound(named.to_owned())),
            (_, named) => Err(ResolveError::Forbidden(named.to_owned())),
        }
    }
}

/// Nothing more is kept of a tenant that was deleted, not even that a call was refused.
fn deleted() -> Resolved {
    Resolved::Refused { reason: DenialReason::TenantDeleted, denied_by: String::new() }
}

/// What refused. The id of a key is not secret, its credential is.
fn name(reason: DenialReason, api_key: &str) -> String {
    let known = reason != DenialReason::ApiKeyInvalid;
    credential::key_id(api_key).filter(|_| known).unwrap_or_else(|| API_KEY.to_owned())
}
