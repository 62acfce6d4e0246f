//! From a credential to its caller: one digest and one look-up in memory for each credential that was good before.

mod people;

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use crate::cache::Cache;
use crate::fault::{Fault, Reason};
use crate::gate::decision::DenialReason;
use crate::identity::api_key::{ApiKey, KeyKind};
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::credential;
use crate::identity::keyring::people::People;
use crate::identity::last_use::{Seen, Uses};
use crate::identity::member::Member;
use crate::identity::permission::Permissions;
use crate::identity::restrictions::Restrictions;
use crate::identity::roles::Roles;
use crate::identity::tenant::Tenant;
use crate::identity::token::Tokens;
use crate::secrets::current::Current;
use crate::secrets::seal::{Digest, Seal, equal, from_hex};
use crate::store::changes::Confirmed;
use crate::store::records::Records;
use crate::store::{Documents, StoreError};
use crate::time::{Clock, Timestamp};

/// Credentials that are remembered; others take a look into the store.
const VERIFIED_MAX: usize = 200_000;
/// What every signed token begins with: its header is the JSON of an object. No key does.
const TOKEN_PREFIX: &str = "eyJ";

/// Knows the callers by their credentials.
pub struct Keyring {
    seal: Seal,
    operator_digest: Current<Digest>,
    operator: Arc<Caller>,
    keys: Records<ApiKey>,
    tenants: Records<Tenant>,
    verified: Cache<Digest, Arc<Verified>>,
    people: People,
    confirmed: Confirmed,
    uses: Option<Uses>,
    clock: Arc<dyn Clock>,
}

struct Verified {
    caller: Arc<Caller>,
    expires_at: Option<Timestamp>,
    seen: Seen,
}

/// What a customer's credential in a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customer {
    /// That of a tenant.
    Tenant {
        /// The tenant.
        tenant: Arc<str>,
        /// Its key.
        key_id: Arc<str>,
        /// Where that is good; `None`: everywhere.
        restrictions: Option<Arc<Restrictions>>,
    },
    /// Not good, which is an answer: the call is refused.
    Refused(DenialReason),
}

/// A credential was not good.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There was none.
    #[error("no credential was sent")]
    Missing,
    /// There was more than one.
    #[error("more than one credential was sent")]
    Ambiguous,
    /// Nobody has it.
    #[error("the credential is not known")]
    Invalid,
    /// It was revoked.
    #[error("the credential was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// Its tenant was deleted.
    #[error("the tenant was deleted")]
    TenantDeleted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for CredentialError {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::CredentialMissing,
            Self::Ambiguous => Reason::CredentialAmbiguous,
            Self::Invalid => Reason::CredentialInvalid,
            Self::Revoked => Reason::CredentialRevoked,
            Self::Expired => Reason::CredentialExpired,
            Self::TenantDeleted => Reason::TenantDeleted,
            Self::Store(error) => error.reason(),
        }
    }
}

impl Keyring {
    /// A keyring over a store. `secret` is the installation's own, `operator_key` its operator's credential; by `tokens` and
    /// `roles` it knows those who log in.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        clock: Arc<dyn Clock>,
        secret: &SecretBox<[u8; 32]>,
        operator_key: &SecretString,
        tokens: Tokens,
        roles: Arc<Roles>,
    ) -> Self {
        let seal = Seal::new(secret, "credential");
        let operator = Caller {
            kind: CallerKind::Operator,
            key_id: None,
            session: None,
            permissions: Permissions::operator(),
            restrictions: None,
            is_outside: false,
        };
        Self {
            operator_digest: Current::new(digest_of(&seal, operator_key)),
            seal,
            operator: Arc::new(operator),
            keys: Records::new(Arc::clone(documents)),
            tenants: Records::new(Arc::clone(documents)),
            verified: Cache::new(VERIFIED_MAX),
            people: People::new(documents, tokens, roles),
            confirmed: Confirmed::at(clock.now()),
            uses: None,
            clock,
        }
    }

    /// The same, and the use of each key is noted.
    #[must_use]
    pub fn noting(self, uses: Uses) -> Self {
        Self { uses: Some(uses), ..self }
    }

    /// The operator has another credential from now on, and the old one is nobody's.
    pub fn set_operator_key(&self, key: &SecretString) {
        self.operator_digest.set(digest_of(&self.seal, key));
    }

    /// The caller, if it is known without the store. `None`: ask [`Keyring::authenticate`].
    pub fn recall(&self, credential: &str) -> Option<Result<Arc<Caller>, CredentialError>> {
        let digest = self.digest(credential);
        // The digests are compared, not the credentials: what their first difference tells is worthless without the secret.
        if equal(&digest, &self.operator_digest.get()) {
            return Some(Ok(Arc::clone(&self.operator)));
        }
        let now = self.clock.now();
        if credential.starts_with(TOKEN_PREFIX) {
            return self.people.recall(&digest, now).filter(|_| self.confirmed.holds(now));
        }
        let verified = self.verified.get(&digest).filter(|_| self.confirmed.holds(now))?;
        Some(self.admit(&verified, now))
    }

    /// The caller whose credential it is.
    pub async fn authenticate(&self, credential: &str) -> Result<Arc<Caller>, CredentialError> {
        if let Some(known) = self.recall(credential) {
            return known;
        }
        let digest = self.digest(credential);
        if credential.starts_with(TOKEN_PREFIX) {
            return self.people.authenticate(credential, digest, self.clock.now()).await;
        }
        let id = credential::key_id(credential).ok_or(CredentialError::Invalid)?;
        let ticket = self.verified.ticket(&digest);
        let found = self.keys.get(&id).await?.map(|kept| kept.record);
        // Also of a key that is not there something is compared, so that both take the same work.
        let kept =
            found.as_ref().and_then(|key| from_hex(&key.digest)).unwrap_or_else(|| vec![0; digest.len()]);
        let is_equal = equal(&kept, &digest);
        let key = found.filter(|_| is_equal).ok_or(CredentialError::Invalid)?;
        if key.revoked_at.is_some() {
            return Err(CredentialError::Revoked);
        }
        if let Some(tenant) = &key.tenant {
            self.require_tenant(tenant).await?;
        }
        let (caller, seen) = (Arc::new(caller(&key)?), Seen::at(key.used_at));
        let verified = Arc::new(Verified { caller, expires_at: key.expires_at, seen });
        self.verified.keep(digest, Arc::clone(&verified), ticket);
        self.admit(&verified, self.clock.now())
    }

    /// Whether a tenant was not deleted. Whoever remembers a caller of it asks once: a deletion makes all callers forgotten.
    pub async fn require_tenant(&self, tenant: &str) -> Result<(), CredentialError> {
        let found = self.tenants.get(tenant).await?;
        let is_deleted = found.is_some_and(|kept| kept.record.deletion.is_some());
        if is_deleted { Err(CredentialError::TenantDeleted) } else { Ok(()) }
    }

    /// Whose the credential is that a caller received from its own customer.
    pub async fn customer(&self, credential: &str) -> Result<Customer, StoreError> {
        // A person's token is no customer's, and one that was lent may do less than its key.
        if credential.starts_with(TOKEN_PREFIX) {
            return Ok(Customer::Refused(DenialReason::ApiKeyInvalid));
        }
        let caller = match self.authenticate(credential).await {
            Ok(caller) => caller,
            Err(CredentialError::Revoked) => return Ok(Customer::Refused(DenialReason::ApiKeyRevoked)),
            Err(CredentialError::Expired) => return Ok(Customer::Refused(DenialReason::ApiKeyExpired)),
            Err(CredentialError::TenantDeleted) => {
                return Ok(Customer::Refused(DenialReason::TenantDeleted));
            }
            Err(CredentialError::Store(error)) => return Err(error),
            Err(CredentialError::Missing | CredentialError::Ambiguous | CredentialError::Invalid) => {
                return Ok(Customer::Refused(DenialReason::ApiKeyInvalid));
            }
        };
        Ok(match (&caller.kind, &caller.key_id) {
            (CallerKind::Tenant(tenant), Some(key_id)) => {
                let (tenant, key_id) = (Arc::clone(tenant), Arc::clone(key_id));
                Customer::Tenant { tenant, key_id, restrictions: caller.restrictions.clone() }
            }
            _ => Customer::Refused(DenialReason::ApiKeyInvalid),
        })
    }

    /// What is kept of a credential.
    #[must_use]
    pub fn digest(&self, credential: &str) -> Digest {
        self.seal.digest(&[credential.as_bytes()])
    }

    /// Tells of a change of a key: it holds for every call from now on.
    pub fn forget(&self, key: &ApiKey) {
        self.forget_digest(&key.digest);
    }

    /// Tells of a change of the key whose credential has that digest, in hexadecimal digits.
    pub fn forget_digest(&self, digest: &str) {
        if let Some(digest) = from_hex(digest).and_then(|bytes| Digest::try_from(bytes).ok()) {
            self.verified.forget(&digest);
            self.people.forget_key(&digest);
        }
    }

    /// Tells that the session with that id has ended.
    pub fn forget_session(&self, id: &str) {
        self.people.forget_session(id);
    }

    /// Tells of a change of the person with that id.
    pub fn forget_user(&self, id: &str) {
        self.people.forget_user(id);
    }

    /// Tells of a change of the membership with that id.
    pub fn forget_member(&self, id: &str) {
        if let Some((tenant, user)) = Member::parts_of(id) {
            self.people.forget_member(tenant, user);
        }
    }

    /// Tells of a change of the roles that a tenant made.
    pub fn forget_role(&self, tenant: &str) {
        self.people.forget_role(tenant);
    }

    /// Tells that anything may have changed.
    pub fn forget_all(&self) {
        self.verified.forget_all();
        self.people.forget_all();
    }

    fn admit(&self, verified: &Verified, now: Timestamp) -> Result<Arc<Caller>, CredentialError> {
        if verified.expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Err(CredentialError::Expired);
        }
        if let Some(uses) = &self.uses {
            uses.note(&verified.seen, verified.caller.key_id.as_ref(), now);
        }
        Ok(Arc::clone(&verified.caller))
    }

    /// Until when what it remembers may be used.
    pub(super) const fn confirmed(&self) -> &Confirmed {
        &self.confirmed
    }
}

fn digest_of(seal: &Seal, key: &SecretString) -> Digest {
    seal.digest(&[key.expose_secret().as_bytes()])
}

fn caller(key: &ApiKey) -> Result<Caller, StoreError> {
    let kind = match (key.kind, &key.tenant) {
        (KeyKind::Tenant, Some(tenant)) => CallerKind::Tenant(tenant.as_str().into()),
        (KeyKind::ServiceAccount, None) => CallerKind::ServiceAccount,
        _ => {
            return Err(StoreError::corrupt(
                format!("key `{}`", key.id),
                "its kind and its tenant do not agree",
            ));
        }
    };
    let permissions = key.permissions.and(key.kind.permissions());
    let restrictions = (!key.restrictions.is_empty()).then(|| Arc::new(key.restrictions.clone()));
    Ok(Caller {
        kind,
        key_id: Some(key.id.as_str().into()),
        session: None,
        permissions,
        restrictions,
        is_outside: false,
    })
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("verified", &self.verified).finish_non_exhaustive()
    }
}
