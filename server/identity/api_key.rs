//! A key as it is kept: all but its secret.

use serde::{Deserialize, Serialize};

use crate::identity::permission::Permissions;
use crate::identity::restrictions::Restrictions;
use crate::store::records::Record;
use crate::time::Timestamp;

/// A credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// `key_…`. It is not secret.
    pub id: String,
    /// For whom it speaks.
    pub kind: KeyKind,
    /// The tenant that it speaks for; `None`: a service account's.
    pub tenant: Option<String>,
    /// Its name for people.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// Where it is good.
    #[serde(flatten)]
    pub restrictions: Restrictions,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first moment at which it is not good any more; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to about a minute; `None`: never.
    #[serde(default)]
    pub used_at: Option<Timestamp>,
    /// The key that takes its place; `None`: it was not rotated.
    #[serde(default)]
    pub rotated_to: Option<String>,
    /// The secret's digest under the installation's own secret, in hexadecimal digits.
    pub digest: String,
}

/// For whom a key speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// One tenant.
    Tenant,
    /// A service that tracks for every tenant.
    ServiceAccount,
}

impl KeyKind {
    /// All that a key of this kind may do.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Tenant => Permissions::TENANT,
            Self::ServiceAccount => Permissions::SERVICE_ACCOUNT,
        }
    }
}

/// The index of keys by owner, then by age.
pub const OWNER: &str = "owner";

impl ApiKey {
    /// What the values of an owner's keys in [`OWNER`] start with. No id of a tenant has a `/`, and none is empty.
    #[must_use]
    pub fn owner_prefix(tenant: Option<&str>) -> String {
        format!("{}/", tenant.unwrap_or_default())
    }
}

impl Record for ApiKey {
    const KIND: &'static str = "api_key";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let owner = Self::owner_prefix(self.tenant.as_deref());
        vec![(OWNER, format!("{owner}{:020}", self.created_at.micros().max(0)))]
    }
}
