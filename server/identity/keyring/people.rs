//! From a signed token to its caller: the signature is checked once, the session or key that it speaks for is looked up once,
//! and both are then remembered.

use std::fmt;
use std::sync::Arc;

use crate::cache::Cache;
use crate::identity::api_key::ApiKey;
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::keyring::CredentialError;
use crate::identity::permission::Permissions;
use crate::identity::roles::Roles;
use crate::identity::session::Session;
use crate::identity::signing_keys::LEEWAY;
use crate::identity::standing::Standing;
use crate::identity::token::{Token, TokenInvalid, Tokens, TokensError};
use crate::secrets::seal::{Digest, from_hex};
use crate::store::records::Records;
use crate::store::{Documents, StoreError};
use crate::time::Timestamp;

/// Tokens whose signature is remembered; that of others is checked.
const TOKENS_MAX: usize = 200_000;
/// Sessions and keys that tokens speak for and that are remembered; others take a look into the store.
const PARENTS_MAX: usize = 200_000;

/// Knows the callers who show signed tokens.
pub(super) struct People {
    tokens: Tokens,
    sessions: Records<Session>,
    keys: Records<ApiKey>,
    standing: Standing,
    checked: Cache<Digest, Checked>,
    parents: Cache<Arc<str>, Parent>,
}

/// A token whose signature was good.
#[derive(Clone)]
struct Checked {
    /// The session or the key that it speaks for.
    parent: Arc<str>,
    /// What it may do of that; `None`: all.
    permissions: Option<Permissions>,
    expires_at: Timestamp,
}

/// A session or a key that tokens speak for.
#[derive(Clone)]
struct Parent {
    caller: Arc<Caller>,
    expires_at: Option<Timestamp>,
    /// The digest of a key.
    key: Option<Digest>,
}

impl People {
    /// Over the people of a store, tokens and roles.
    pub(super) fn new(documents: &Arc<dyn Documents>, tokens: Tokens, roles: Arc<Roles>) -> Self {
        Self {
            tokens,
            sessions: Records::new(Arc::clone(documents)),
            keys: Records::new(Arc::clone(documents)),
            standing: Standing::new(documents, roles),
            checked: Cache::new(TOKENS_MAX),
            parents: Cache::new(PARENTS_MAX),
        }
    }

    /// The caller, if token and parent are remembered.
    pub(super) fn recall(
        &self,
        digest: &Digest,
        now: Timestamp,
    ) -> Option<Result<Arc<Caller>, CredentialError>> {
        let checked = self.checked.get(digest)?;
        if now >= checked.expires_at {
            return Some(Err(CredentialError::Expired));
        }
        let parent = self.parents.get(&checked.parent)?;
        Some(parent.speak(&checked, now))
    }

    /// The caller whose token it is.
    pub(super) async fn authenticate(
        &self,
        token: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Arc<Caller>, CredentialError> {
        let ticket = self.checked.ticket(&digest);
        let checked = match self.checked.get(&digest).filter(|checked| now < checked.expires_at) {
            Some(checked) => checked,
            None => self.check(token, now).await?,
        };
        self.checked.keep(digest, checked.clone(), ticket);
        let ticket = self.parents.ticket(&checked.parent);
        let parent = self.parent(&checked.parent).await?;
        self.parents.keep(Arc::clone(&checked.parent), parent.clone(), ticket);
        parent.speak(&checked, now)
    }

    /// Tells of a change of the session with that id.
    pub(super) fn forget_session(&self, id: &str) {
        self.parents.forget(id);
    }

    /// Tells of a change of the key whose credential has that digest.
    pub(super) fn forget_key(&self, digest: &Digest) {
        self.parents.forget_where(|parent| parent.key.as_ref() == Some(digest));
    }

    /// Tells of a change of a person.
    pub(super) fn forget_user(&self, id: &str) {
        self.parents.forget_where(|parent| parent.caller.user().is_some_and(|user| **user == *id));
    }

    /// Tells of a change of the membership of a person in a tenant, which is empty for the staff.
    pub(super) fn forget_member(&self, tenant: &str, user: &str) {
        self.parents.forget_where(|parent| match &parent.caller.kind {
            CallerKind::Member { tenant: of, user: who } => **of == *tenant && **who == *user,
            CallerKind::Staff { user: who } => tenant.is_empty() && **who == *user,
            CallerKind::Tenant(_) | CallerKind::ServiceAccount | CallerKind::Operator => false,
        });
    }

    /// Tells of a change of the roles of a tenant.
    pub(super) fn forget_role(&self, tenant: &str) {
        self.parents.forget_where(|parent| match &parent.caller.kind {
            CallerKind::Member { tenant: of, .. } => **of == *tenant,
            _ => false,
        });
    }

    /// Tells that anything may have changed.
    pub(super) fn forget_all(&self) {
        self.checked.forget_all();
        self.parents.forget_all();
    }

    async fn check(&self, token: &str, now: Timestamp) -> Result<Checked, CredentialError> {
        match self.tokens.check(token, now).await {
            Ok(token) => Ok(Checked::from(token)),
            Err(TokensError::Invalid(TokenInvalid::Expired)) => Err(CredentialError::Expired),
            Err(TokensError::Store(error)) => Err(error.into()),
            Err(TokensError::Invalid(_)) => Err(CredentialError::Invalid),
            Err(error) => Err(StoreError::corrupt("what tokens are signed with", error).into()),
        }
    }

    async fn parent(&self, id: &str) -> Result<Parent, CredentialError> {
        if id.starts_with("key_") { self.key(id).await } else { self.session(id).await }
    }

    async fn session(&self, id: &str) -> Result<Parent, CredentialError> {
        let session = self.sessions.get(id).await?.ok_or(CredentialError::Revoked)?.record;
        let caller = self.standing.caller(&session).await?.ok_or(CredentialError::Revoked)?;
        Ok(Parent { caller: Arc::new(caller), expires_at: Some(session.expires_at), key: None })
    }

    async fn key(&self, id: &str) -> Result<Parent, CredentialError> {
        let key = self.keys.get(id).await?.ok_or(CredentialError::Revoked)?.record;
        if key.revoked_at.is_some() {
            return Err(CredentialError::Revoked);
        }
        if let Some(tenant) = &key.tenant
            && self.standing.is_deleted(tenant).await?
        {
            return Err(CredentialError::TenantDeleted);
        }
        let digest = from_hex(&key.digest).and_then(|bytes| Digest::try_from(bytes).ok());
        Ok(Parent { caller: Arc::new(super::caller(&key)?), expires_at: key.expires_at, key: digest })
    }
}

impl From<Token> for Checked {
    /// A token that is remembered is good as long as one that is read: to the end of the leeway.
    fn from(token: Token) -> Self {
        let (parent, permissions, expires_at) = match token {
            Token::Access(claims) => (claims.session, None, claims.expires_at),
            Token::Service(claims) => (claims.parent, Some(claims.permissions), claims.expires_at),
        };
        Self { parent: parent.into(), permissions, expires_at: expires_at.plus(LEEWAY) }
    }
}

impl Parent {
    fn speak(&self, checked: &Checked, now: Timestamp) -> Result<Arc<Caller>, CredentialError> {
        if self.expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Err(CredentialError::Expired);
        }
        Ok(match checked.permissions {
            None => Arc::clone(&self.caller),
            Some(permissions) => Arc::new(self.caller.lent(permissions)),
        })
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People").field("parents", &self.parents).finish_non_exhaustive()
    }
}
