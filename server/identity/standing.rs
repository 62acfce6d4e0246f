//! Whether somebody who logged in still belongs where it did, and what it may do there.

use std::sync::Arc;

use crate::identity::caller::{Caller, CallerKind};
use crate::identity::member::Member;
use crate::identity::permission::Permissions;
use crate::identity::roles::Roles;
use crate::identity::session::Session;
use crate::identity::tenant::Tenant;
use crate::identity::user::User;
use crate::store::records::Records;
use crate::store::{Documents, StoreError};

/// Knows people, their memberships and their roles as they are now.
#[derive(Debug)]
pub struct Standing {
    users: Records<User>,
    members: Records<Member>,
    tenants: Records<Tenant>,
    roles: Arc<Roles>,
}

impl Standing {
    /// Over the people of a store, and those roles.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, roles: Arc<Roles>) -> Self {
        Self {
            users: Records::new(Arc::clone(documents)),
            members: Records::new(Arc::clone(documents)),
            tenants: Records::new(Arc::clone(documents)),
            roles,
        }
    }

    /// The caller that a session is. `None`: the person is gone, deleted, suspended or has another password now, or does not belong to
    /// the tenant any more; or the tenant was deleted. A role that is gone allows nothing.
    pub async fn caller(&self, session: &Session) -> Result<Option<Caller>, StoreError> {
        let membership = Member::id_of(&session.tenant, &session.user);
        let (user, member, is_deleted) = tokio::try_join!(
            self.users.get(&session.user),
            self.members.get(&membership),
            self.is_deleted(&session.tenant)
        )?;
        let (Some(user), Some(member)) = (user, member) else { return Ok(None) };
        let is_out = user.record.is_suspended || user.record.deletion.is_some();
        if is_deleted || is_out || user.record.password_at != session.password_at {
            return Ok(None);
        }
        let permissions = self.roles.permissions(&session.tenant, &member.record.role).await?;
        Ok(Some(Caller {
            kind: kind(session),
            key_id: None,
            session: Some(session.id.as_str().into()),
            permissions: permissions.unwrap_or(Permissions::NONE),
            restrictions: None,
            is_outside: false,
        }))
    }

    /// Whether a tenant was deleted; the staff's is none.
    pub async fn is_deleted(&self, tenant: &str) -> Result<bool, StoreError> {
        if tenant.is_empty() {
            return Ok(false);
        }
        let found = self.tenants.get(tenant).await?;
        Ok(found.is_some_and(|kept| kept.record.deletion.is_some()))
    }
}

fn kind(session: &Session) -> CallerKind {
    let user = session.user.as_str().into();
    match session.tenant.as_str() {
        "" => CallerKind::Staff { user },
        tenant => CallerKind::Member { tenant: tenant.into(), user },
    }
}
