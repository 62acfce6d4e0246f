//! Making, listing and revoking keys.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::id;
use crate::identity::api_key::{ApiKey, KeyKind, OWNER};
use crate::identity::audit::note;
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::credential;
use crate::identity::keyring::Keyring;
use crate::identity::permission::{Permission, Permissions};
use crate::identity::seal::to_hex;
use crate::plans::bounds::is_name;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Page, Place, Range, Records};
use crate::store::{Documents, Inserted, Order, StoreError};
use crate::time::{Clock, Timestamp};

/// All keys.
#[derive(Debug)]
pub struct Keys {
    keys: Records<ApiKey>,
    keyring: Arc<Keyring>,
    teller: Teller,
    clock: Arc<dyn Clock>,
}

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
}

/// Why a key cannot be made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No key of the caller's has that id.
    #[error("there is no API key `{0}`")]
    NotFound(String),
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
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(invalid) => invalid.violations(),
            _ => &[],
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
        let permissions = check(&new, caller, now)?;
        let secret = credential::fresh(new.kind, new.seed);
        let key = ApiKey {
            id: id::from_seed("key", new.seed),
            kind: new.kind,
            tenant: new.tenant,
            name: new.name,
            permissions,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            digest: to_hex(&self.keyring.digest(secret.expose_secret())),
        };
        if self.keys.insert(&key).await? == Inserted::Yes {
            note_key(&key);
            note::after(&KeyNote::of(&key));
            return Ok((key, Some(secret)));
        }
        let made_before = self.keys.get(&key.id).await?;
        made_before.map(|kept| (kept.record, None)).ok_or(KeysError::NotFound(key.id))
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
        let missing = || KeysError::NotFound(id.to_owned());
        let found = self.keys.get(id).await?.filter(|kept| is_callers(&kept.record, caller));
        let found = found.ok_or_else(missing)?.record;
        note_key(&found);
        note::before(&KeyNote::of(&found));
        let now = self.clock.now();
        let revocation = self.keys.update(id, |key: &mut ApiKey| {
            let was_good = key.revoked_at.is_none();
            key.revoked_at.get_or_insert(now);
            Ok::<_, KeysError>(if was_good { Change::Keep } else { Change::None })
        });
        let revoked = self.teller.tell(Subject::Credential(found.digest.clone()), revocation).await;
        // Also after a failure: the change may have been kept all the same.
        self.keyring.forget(&found);
        let revoked = revoked?.ok_or_else(missing)?;
        note::after(&KeyNote::of(&revoked));
        Ok(revoked)
    }
}

/// What the audit log says of a key: all but what is kept of its secret.
#[derive(Serialize)]
struct KeyNote<'a> {
    name: &'a str,
    kind: KeyKind,
    permissions: Permissions,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl<'a> KeyNote<'a> {
    fn of(key: &'a ApiKey) -> Self {
        let ApiKey { name, kind, permissions, expires_at, revoked_at, .. } = key;
        let (kind, permissions) = (*kind, *permissions);
        Self { name, kind, permissions, expires_at: *expires_at, revoked_at: *revoked_at }
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

fn check(new: &NewKey, caller: &Caller, now: Timestamp) -> Result<Permissions, Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: String, description: String| found.push(Violation { field, description });
    if !is_name(&new.name) {
        wrong(
            String::from("name"),
            String::from("must have 1 to 128 characters, none of them a control character"),
        );
    }
    if let Some(expires_at) = new.expires_at.filter(|expires_at| *expires_at <= now) {
        wrong(String::from("expire_time"), format!("{expires_at} is not in the future"));
    }
    let grantable = new.kind.permissions().and(caller.permissions);
    let mut permissions = Permissions::NONE;
    for (place, name) in new.permissions.iter().enumerate() {
        match Permission::named(name) {
            Some(permission) if grantable.has(permission) => permissions = permissions.with(permission),
            Some(_) => {
                wrong(
                    format!("permissions[{place}]"),
                    format!("`{name}` is more than the key's kind or the caller may"),
                );
            }
            None => wrong(format!("permissions[{place}]"), format!("there is no permission `{name}`")),
        }
    }
    if !found.is_empty() {
        return Err(Invalid(found));
    }
    Ok(if new.permissions.is_empty() { grantable } else { permissions })
}
