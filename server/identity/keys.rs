//! Making, listing, changing, rotating and revoking keys.

mod check;
mod rotation;

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::fault::{Fault, Invalid, Reason};
use crate::id;
use crate::identity::api_key::{ApiKey, KeyKind, OWNER};
use crate::identity::audit::note;
use crate::identity::caller::{Caller, CallerKind, PermissionMissing};
use crate::identity::credential;
use crate::identity::keyring::Keyring;
use crate::identity::permission::Permissions;
use crate::identity::restrictions::{KeyRestricted, Restrictions};
use crate::secrets::seal::to_hex;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Page, Place, Range, Records};
use crate::store::{Documents, Inserted, Order, StoreError};
use crate::time::{Clock, Timestamp};

pub use crate::identity::keys::check::{KeyChange, NewKey};
pub use crate::identity::keys::rotation::{OVERLAP_MAX, Rotation};

/// All keys.
#[derive(Debug)]
pub struct Keys {
    keys: Records<ApiKey>,
    keyring: Arc<Keyring>,
    teller: Teller,
    clock: Arc<dyn Clock>,
}

/// Why a key cannot be made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No key of the caller's has that id.
    #[error("there is no API key `{0}`")]
    NotFound(String),
    /// It cannot be rotated any more.
    #[error("API key `{0}` was rotated or revoked before, or has expired")]
    Ended(String),
    /// It may do what the caller may not, and nobody gives more than they have.
    #[error(transparent)]
    PermissionMissing(#[from] PermissionMissing),
    /// It is good where the caller's own key is not.
    #[error(transparent)]
    Restricted(#[from] KeyRestricted),
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for KeysError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::ApiKeyNotFound,
            Self::Ended(_) => Reason::ApiKeyEnded,
            Self::PermissionMissing(error) => error.reason(),
            Self::Restricted(error) => error.reason(),
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::PermissionMissing(error) => Some(error),
            Self::Restricted(error) => Some(error),
            Self::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl Keys {
    /// The keys in a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        let teller = Teller::new(documents, Arc::clone(&clock));
        Self { keys: Records::new(Arc::clone(documents)), keyring, teller, clock }
    }

    /// Makes a key. The secret is answered this once; `None`: the seed made the key before.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewKey,
    ) -> Result<(ApiKey, Option<SecretString>), KeysError> {
        let now = self.clock.now();
        let (permissions, restrictions) = check::new_key(&new, caller, now)?;
        let secret = credential::fresh(new.kind, new.seed);
        let key = ApiKey {
            id: id::from_seed("key", new.seed),
            kind: new.kind,
            tenant: new.tenant,
            name: new.name,
            permissions,
            restrictions,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            used_at: None,
            rotated_to: None,
            digest: to_hex(&self.keyring.digest(secret.expose_secret())),
        };
        self.keep(key, secret).await
    }

    /// A key that is the caller's.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<ApiKey, KeysError> {
        let found = self.keys.get(id).await?.filter(|kept| is_callers(&kept.record, caller));
        found.map(|kept| kept.record).ok_or_else(|| KeysError::NotFound(id.to_owned()))
    }

    /// Changes a key that is the caller's. It holds from the answer on, on other servers within 5 s.
    pub async fn change(&self, caller: &Caller, id: &str, change: KeyChange) -> Result<ApiKey, KeysError> {
        let found = self.get(caller, id).await?;
        let change = change.checked()?;
        self.replace(&found, |key| {
            change.clone().apply(key);
            check::is_covered(key, caller)
        })
        .await
    }

    /// A page of an owner's keys, newest first; `None`: those of service accounts.
    pub async fn list(
        &self,
        tenant: Option<&str>,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<ApiKey>, KeysError> {
        let prefix = ApiKey::owner_prefix(tenant);
        let range = Range { index: OWNER, prefix: &prefix, order: Order::Descending, after };
        Ok(self.keys.page(range, limit).await?)
    }

    /// Ends a key that is the caller's to end. From the answer on it is refused, by other servers too within 5 s.
    pub async fn revoke(&self, caller: &Caller, id: &str) -> Result<ApiKey, KeysError> {
        let found = self.get(caller, id).await?;
        let now = self.clock.now();
        self.replace(&found, |key| {
            key.revoked_at.get_or_insert(now);
            Ok(())
        })
        .await
    }

    /// Keeps a new key; one that its seed made before has no secret any more.
    async fn keep(
        &self,
        key: ApiKey,
        secret: SecretString,
    ) -> Result<(ApiKey, Option<SecretString>), KeysError> {
        if self.keys.insert(&key).await? == Inserted::Yes {
            note_key(&key);
            note::after(&KeyNote::of(&key));
            return Ok((key, Some(secret)));
        }
        let made_before = self.keys.get(&key.id).await?;
        made_before.map(|kept| (kept.record, None)).ok_or(KeysError::NotFound(key.id))
    }

    /// Changes a key, and tells of it where something was changed.
    async fn replace(
        &self,
        found: &ApiKey,
        mut change: impl FnMut(&mut ApiKey) -> Result<(), KeysError> + Send,
    ) -> Result<ApiKey, KeysError> {
        note_key(found);
        note::before(&KeyNote::of(found));
        let changing = self.keys.update(&found.id, |key: &mut ApiKey| {
            let before = key.clone();
            change(key)?;
            Ok::<_, KeysError>(if *key == before { Change::None } else { Change::Keep })
        });
        let changed = self.teller.tell(Subject::Credential(found.digest.clone()), changing).await;
        // Also after a failure: the change may have been kept all the same.
        self.keyring.forget(found);
        let changed = changed?.ok_or_else(|| KeysError::NotFound(found.id.clone()))?;
        note::after(&KeyNote::of(&changed));
        Ok(changed)
    }
}

/// What the audit log says of a key: all but what is kept of its secret.
#[derive(Serialize)]
struct KeyNote<'a> {
    name: &'a str,
    kind: KeyKind,
    permissions: Permissions,
    restrictions: &'a Restrictions,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    rotated_to: Option<&'a str>,
}

impl<'a> KeyNote<'a> {
    fn of(key: &'a ApiKey) -> Self {
        Self {
            name: &key.name,
            kind: key.kind,
            permissions: key.permissions,
            restrictions: &key.restrictions,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            rotated_to: key.rotated_to.as_deref(),
        }
    }
}

/// Notes for the audit log which key a call is about.
fn note_key(key: &ApiKey) {
    note::target("api_key", &key.id);
    if let Some(tenant) = &key.tenant {
        note::tenant(tenant);
    }
}

fn is_callers(key: &ApiKey, caller: &Caller) -> bool {
    match &caller.kind {
        CallerKind::Operator | CallerKind::Staff { .. } => true,
        CallerKind::Tenant(tenant) | CallerKind::Member { tenant, .. } => {
            key.tenant.as_deref() == Some(tenant)
        }
        CallerKind::ServiceAccount => false,
    }
}
