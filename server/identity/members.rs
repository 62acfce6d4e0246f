//! Who belongs to a tenant or to the staff, and as what.
//!
//! A change of a member is an intent in the tenant's roster first, which checks it against owners and roles; then the
//! membership itself changes; then the roster counts it. Whoever finds an intent finishes it, so a server may end anywhere,
//! and of two owners who leave at once one stays.

use std::sync::Arc;

use serde::Serialize;

use crate::fault::{Fault, Reason};
use crate::identity::audit::note;
use crate::identity::caller::Caller;
use crate::identity::keyring::Keyring;
use crate::identity::member::{Member, TENANT};
use crate::identity::permission::Permissions;
use crate::identity::roles::roster::{Move, Roster};
use crate::identity::roles::{OWNER, Roles};
use crate::identity::turns::Turns;
use crate::identity::user::User;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Kept, Page, Place, Range, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, Timestamp};

/// How often a change is tried against those of other servers.
const ATTEMPTS_MAX: usize = 32;
/// The people who may own one tenant.
const OWNERS_MAX: usize = 64;

/// All members.
#[derive(Debug)]
pub struct Members {
    members: Records<Member>,
    rosters: Records<Roster>,
    users: Records<User>,
    roles: Arc<Roles>,
    keyring: Arc<Keyring>,
    teller: Teller,
    turns: Turns,
    clock: Arc<dyn Clock>,
}

/// On whose behalf a member is changed.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// A caller, who grants and takes no more than it has.
    Caller(&'a Caller),
    /// The server itself, as it was decided before: by an invitation, at a sign-up, at the end of a user.
    Decided,
}

/// Why a member cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// The person is no member of the tenant, whether there is such a person or not.
    #[error("there is no member `{0}`")]
    NotFound(String),
    /// The tenant has no such role.
    #[error("there is no role `{0}`")]
    RoleNotFound(String),
    /// The caller would grant or take what it does not have.
    #[error("the role `{0}` allows more than the caller may")]
    ExceedsOwn(String),
    /// The tenant would be without an owner.
    #[error("the last owner of a tenant stays its owner")]
    LastOwner,
    /// The tenant has as many owners as it can have.
    #[error("a tenant has at most {OWNERS_MAX} owners")]
    OwnersFull,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for MembersError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::MemberNotFound,
            Self::RoleNotFound(_) => Reason::RoleNotFound,
            Self::ExceedsOwn(_) => Reason::GrantExceedsOwn,
            Self::LastOwner => Reason::LastOwner,
            Self::OwnersFull => Reason::RosterFull,
            Self::Store(error) => error.reason(),
        }
    }
}

/// How a member was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The role before; `None`: there was no membership.
    pub from: Option<String>,
    /// The membership now; `None`: it has ended.
    pub member: Option<Member>,
}

impl Members {
    /// The members in a store.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        roles: Arc<Roles>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            members: Records::new(Arc::clone(documents)),
            rosters: Records::new(Arc::clone(documents)),
            users: Records::new(Arc::clone(documents)),
            roles,
            keyring,
            teller: Teller::new(documents, Arc::clone(&clock)),
            turns: Turns::new(),
            clock,
        }
    }

    /// The membership of a person; `tenant` is empty for that of the staff.
    pub async fn get(&self, tenant: &str, user: &str) -> Result<Option<Member>, StoreError> {
        Ok(self.members.get(&Member::id_of(tenant, user)).await?.map(|kept| kept.record))
    }

    /// A page of a tenant's members, oldest first.
    pub async fn list(
        &self,
        tenant: &str,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<Member>, StoreError> {
        let prefix = Member::prefix(tenant);
        let range = Range { index: TENANT, prefix: &prefix, order: Order::Ascending, after };
        self.members.page(range, limit).await
    }

    /// Makes a person a member. Whoever is one already stays what it is, and is answered so.
    pub async fn join(
        &self,
        by: By<'_>,
        tenant: &str,
        user: &str,
        role: &str,
    ) -> Result<Member, MembersError> {
        let changed = self.alter(by, tenant, user, &Wish::Join(role)).await?;
        changed.member.ok_or_else(|| MembersError::NotFound(user.to_owned()))
    }

    /// Gives a member another role. From the answer on it holds, on other servers too within 5 s.
    pub async fn change_role(
        &self,
        by: By<'_>,
        tenant: &str,
        user: &str,
        role: &str,
    ) -> Result<Changed, MembersError> {
        self.alter(by, tenant, user, &Wish::Become(role)).await
    }

    /// Ends a membership. From the answer on it holds, on other servers too within 5 s.
    pub async fn remove(&self, by: By<'_>, tenant: &str, user: &str) -> Result<Changed, MembersError> {
        self.alter(by, tenant, user, &Wish::Leave).await
    }

    /// Finishes the change of a tenant's members that goes on, where there is one.
    pub(super) async fn settle(&self, tenant: &str) -> Result<(), StoreError> {
        self.settled(tenant).await.map(|_| ())
    }

    /// Whether a tenant has another owner than that person, and keeps one: whoever wants to leave it at the same time finds
    /// the roster changed, and looks again. A person who does not own it leaves it nothing.
    pub(super) async fn is_owned_without(&self, tenant: &str, user: &str) -> Result<bool, MembersError> {
        let _turn = self.turns.take(tenant).await;
        for _ in 0..ATTEMPTS_MAX {
            let roster = self.settled(tenant).await?;
            if self.get(tenant, user).await?.is_none_or(|member| member.role != OWNER) {
                return Ok(true);
            }
            if !self.has_other_owner(&roster.record, user).await? {
                return Ok(false);
            }
            if self.rosters.replace(&roster).await? {
                return Ok(true);
            }
        }
        Err(roster_changes_all_the_time(tenant).into())
    }

    async fn alter(
        &self,
        by: By<'_>,
        tenant: &str,
        user: &str,
        wish: &Wish<'_>,
    ) -> Result<Changed, MembersError> {
        let _turn = self.turns.take(tenant).await;
        for _ in 0..ATTEMPTS_MAX {
            let mut roster = self.settled(tenant).await?;
            let member = self.members.get(&Member::id_of(tenant, user)).await?;
            let Some(change) = wish.change(user, member.as_ref(), self.clock.now())? else {
                let member = member.map(|kept| kept.record);
                return Ok(Changed { from: member.as_ref().map(|member| member.role.clone()), member });
            };
            note_change(&change);
            self.check(by, &roster.record, &change).await?;
            roster.record.moving = Some(change.clone());
            if self.rosters.replace(&roster).await? {
                self.finish(tenant, &change).await?;
                return Ok(Changed { member: change.member(tenant), from: change.from });
            }
        }
        Err(roster_changes_all_the_time(tenant).into())
    }

    /// The roster of a tenant, without a change that goes on.
    async fn settled(&self, tenant: &str) -> Result<Kept<Roster>, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = self.rosters.get(&Roster::id_of(tenant)).await?;
            let roster = found.unwrap_or_else(|| Kept { record: Roster::new(tenant), revision: 0 });
            let Some(change) = &roster.record.moving else { return Ok(roster) };
            self.finish(tenant, change).await?;
        }
        Err(roster_changes_all_the_time(tenant))
    }

    /// Finishes the change that the roster holds; again where another one did.
    async fn finish(&self, tenant: &str, change: &Move) -> Result<(), StoreError> {
        let id = Member::id_of(tenant, &change.user);
        let finished = async {
            self.apply(tenant, &id, change).await?;
            let roster = Roster::id_of(tenant);
            let settled = self.rosters.update(&roster, |roster: &mut Roster| {
                if roster.moving.as_ref() != Some(change) {
                    return Ok(Change::None);
                }
                roster.settle();
                Ok::<_, StoreError>(Change::Keep)
            });
            settled.await.map(|_| ())
        };
        let finished = self.teller.tell(Subject::Member(id.clone()), finished).await;
        // Also after a failure: the change may have been kept all the same.
        self.keyring.forget_member(&id);
        finished
    }

    /// Changes the membership, if it still stands as it did. Who comes late finds another revision and changes nothing.
    async fn apply(&self, tenant: &str, id: &str, change: &Move) -> Result<(), StoreError> {
        let current = self.rosters.get(&Roster::id_of(tenant)).await?;
        if current.is_none_or(|roster| roster.record.moving.as_ref() != Some(change)) {
            return Ok(());
        }
        match change.member(tenant) {
            Some(record) => self.members.replace(&Kept { record, revision: change.revision }).await?,
            None => self.members.delete(id, change.revision).await?,
        };
        Ok(())
    }

    async fn check(&self, by: By<'_>, roster: &Roster, change: &Move) -> Result<(), MembersError> {
        if let Some(role) = &change.to {
            let gained = self.permissions(roster, role).await?;
            let gained = gained.ok_or_else(|| MembersError::RoleNotFound(role.clone()))?;
            by.may(gained, role)?;
        }
        if let Some(role) = change.from.as_ref().filter(|_| !by.leaves(change)) {
            // A role that is gone allows nothing.
            by.may(self.permissions(roster, role).await?.unwrap_or_default(), role)?;
        }
        if change.loses_owner() && !self.has_other_owner(roster, &change.user).await? {
            return Err(MembersError::LastOwner);
        }
        if change.to.as_deref() == Some(OWNER) && roster.owners.len() >= OWNERS_MAX {
            return Err(MembersError::OwnersFull);
        }
        Ok(())
    }

    /// Whether somebody else owns the tenant who was not deleted. The staff needs no owner.
    async fn has_other_owner(&self, roster: &Roster, user: &str) -> Result<bool, StoreError> {
        if roster.tenant.is_empty() {
            return Ok(true);
        }
        let others: Vec<_> = roster.owners.iter().filter(|owner| *owner != user).cloned().collect();
        let found = self.users.get_many(&others).await?;
        Ok(found.iter().any(|kept| kept.as_ref().is_none_or(|kept| kept.record.deletion.is_none())))
    }

    /// What a role allows by the roster that was just read: what is remembered may be older.
    async fn permissions(&self, roster: &Roster, role: &str) -> Result<Option<Permissions>, StoreError> {
        match roster.roles.get(role) {
            Some(own) => Ok(Some(own.permissions)),
            None => self.roles.permissions(&roster.tenant, role).await,
        }
    }
}

fn roster_changes_all_the_time(tenant: &str) -> StoreError {
    StoreError::unavailable(format!("the roster of `{tenant}` is changed by others all the time"))
}

/// Notes for the audit log what a membership was and is to be.
fn note_change(change: &Move) {
    note::target("user", &change.user);
    if let Some(role) = &change.from {
        note::before(&RoleNote { role });
    }
    if let Some(role) = &change.to {
        note::after(&RoleNote { role });
    }
}

#[derive(Serialize)]
struct RoleNote<'a> {
    role: &'a str,
}

/// What is to become of a membership.
#[derive(Clone, Copy, Debug)]
enum Wish<'a> {
    Join(&'a str),
    Become(&'a str),
    Leave,
}

impl Wish<'_> {
    /// `None`: it is so already.
    fn change(
        &self,
        user: &str,
        member: Option<&Kept<Member>>,
        now: Timestamp,
    ) -> Result<Option<Move>, MembersError> {
        let to = match (self, member) {
            (Self::Join(_), Some(_)) => return Ok(None),
            (Self::Become(_) | Self::Leave, None) => return Err(MembersError::NotFound(user.to_owned())),
            (Self::Become(role), Some(kept)) if kept.record.role == **role => return Ok(None),
            (Self::Join(role) | Self::Become(role), _) => Some((*role).to_owned()),
            (Self::Leave, Some(_)) => None,
        };
        Ok(Some(Move {
            user: user.to_owned(),
            revision: member.map_or(0, |kept| kept.revision),
            from: member.map(|kept| kept.record.role.clone()),
            to,
            since: member.map_or(now, |kept| kept.record.created_at),
        }))
    }
}

impl By<'_> {
    /// Refuses to grant or take more than the caller has.
    fn may(self, permissions: Permissions, role: &str) -> Result<(), MembersError> {
        match self {
            Self::Caller(caller) if !caller.permissions.covers(permissions) => {
                Err(MembersError::ExceedsOwn(role.to_owned()))
            }
            Self::Caller(_) | Self::Decided => Ok(()),
        }
    }

    /// Whether somebody ends its own membership, which takes nothing from anybody else.
    fn leaves(self, change: &Move) -> bool {
        match self {
            Self::Caller(caller) => {
                change.to.is_none() && caller.user().is_some_and(|user| **user == *change.user)
            }
            Self::Decided => false,
        }
    }
}
