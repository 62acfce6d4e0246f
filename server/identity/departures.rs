//! The end of a person: deleted, taken back within the grace, and ended for good after it.
//!
//! The person's own record is the intent: it says so before anything else changes, and goes when nothing else is left. So a
//! server may end anywhere, and whoever finds the record goes on.

use std::sync::Arc;

use serde::Serialize;

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::identity::accounts::invitation::{self, Invitation};
use crate::identity::audit::note;
use crate::identity::codes::Codes;
use crate::identity::member::{self, Member};
use crate::identity::members::{By, Members, MembersError};
use crate::identity::sessions::Sessions;
use crate::identity::user::{Deletion, END, User};
use crate::mail::outbox::Outbox;
use crate::store::records::{Change, Page, Place, Range, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, DAY, Timestamp};

/// The longest grace, in days.
const GRACE_DAYS_MAX: u32 = 365;
/// Memberships that are read at once.
const PIECE: usize = 100;
/// Tenants that a refusal names.
const NAMED_MAX: usize = 10;

/// Ends people.
#[derive(Debug)]
pub struct Departures {
    users: Records<User>,
    memberships: Records<Member>,
    invitations: Records<Invitation>,
    members: Arc<Members>,
    sessions: Arc<Sessions>,
    codes: Arc<Codes>,
    outbox: Arc<Outbox>,
    clock: Arc<dyn Clock>,
}

/// What departures stand on beside a store.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Who belongs where.
    pub members: Arc<Members>,
    /// The sessions of people.
    pub sessions: Arc<Sessions>,
    /// Codes that went by mail.
    pub codes: Arc<Codes>,
    /// Letters that are not sent yet.
    pub outbox: Arc<Outbox>,
    /// The server's clock.
    pub clock: Arc<dyn Clock>,
}

/// Why a person cannot be deleted or taken back.
#[derive(Debug, thiserror::Error)]
pub enum DeparturesError {
    /// There is no such person.
    #[error("there is no user `{0}`")]
    NotFound(String),
    /// The grace is over.
    #[error("user `{0}` has ended")]
    Ended(String),
    /// Tenants would be without an owner.
    #[error("user `{user}` is the last owner of {}: give it another one, or delete it first", list(.tenants))]
    LastOwner {
        /// The person.
        user: String,
        /// The tenants, at most ten.
        tenants: Vec<String>,
    },
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The members of a tenant cannot be looked at.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for DeparturesError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::UserNotFound,
            Self::Ended(_) => Reason::UserEnded,
            Self::LastOwner { .. } => Reason::LastOwner,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Members(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(invalid) => invalid.violations(),
            _ => &[],
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::LastOwner { tenants, .. } => vec![("tenant_ids", tenants.join(","))],
            _ => Vec::new(),
        }
    }
}

/// How far the end of a person has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is held on the person any more.
    Ended,
    /// The person was taken back, or another server was faster.
    Otherwise,
    /// The person still owns that tenant, and nobody else does: it waits for another owner.
    Owns(String),
}

impl Departures {
    /// The people of a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, ground: Ground) -> Self {
        let Ground { members, sessions, codes, outbox, clock } = ground;
        Self {
            users: Records::new(Arc::clone(documents)),
            memberships: Records::new(Arc::clone(documents)),
            invitations: Records::new(Arc::clone(documents)),
            members,
            sessions,
            codes,
            outbox,
            clock,
        }
    }

    /// Deletes a person, unless a tenant would be without an owner. From the answer on its sessions and tokens are refused, by
    /// other servers too within 5 s; what is held on it ends after the grace.
    pub async fn delete(&self, id: &str, grace_days: u32) -> Result<User, DeparturesError> {
        if grace_days > GRACE_DAYS_MAX {
            let description = format!("{grace_days} is not 0 to {GRACE_DAYS_MAX}");
            return Err(Invalid::field("grace_days", description).into());
        }
        let missing = || DeparturesError::NotFound(id.to_owned());
        self.users.get(id).await?.ok_or_else(missing)?;
        note::target("user", id);
        // Before anything changes, so that who is refused has not been out for a moment.
        self.require_other_owners(id).await?;
        let at = self.clock.now();
        let ends_at = at.plus(i64::from(grace_days).saturating_mul(DAY));
        let deleted = self.sessions.change_standing(id, |user: &mut User| {
            // The grace that was given first stays: deleting twice changes nothing.
            let change = if user.deletion.is_some() { Change::None } else { Change::Keep };
            user.deletion.get_or_insert(Deletion { at, ends_at, has_begun: false, leaving: String::new() });
            Ok::<_, StoreError>(change)
        });
        let deleted = deleted.await?.ok_or_else(missing)?;
        // Again: of two owners who go at once the second finds that the first does not count any more.
        if let Err(refused) = self.require_other_owners(id).await {
            if matches!(refused, DeparturesError::LastOwner { .. }) {
                self.take_back(id, |_| true).await?;
            }
            return Err(refused);
        }
        self.sessions.end_all_of(id, None).await?;
        note::after(&DeletionNote { ends_at: deleted.deletion.as_ref().map(|deletion| deletion.ends_at) });
        Ok(deleted)
    }

    /// Takes a deletion back within its grace. The person is as it was before, without its sessions.
    pub async fn undelete(&self, id: &str) -> Result<User, DeparturesError> {
        let now = self.clock.now();
        let back = self.take_back(id, |deletion| now < deletion.ends_at).await?;
        note::target("user", id);
        back.ok_or_else(|| DeparturesError::NotFound(id.to_owned()))
    }

    /// A page of deleted people whose grace is over, the earliest first.
    pub async fn due(&self, after: Option<&Place>, limit: usize) -> Result<Page<User>, StoreError> {
        let now = self.clock.now();
        let range = Range { index: END, prefix: "", order: Order::Ascending, after };
        let mut page = self.users.page(range, limit).await?;
        let all = page.records.len();
        page.records.retain(|user| user.deletion.as_ref().is_some_and(|deletion| deletion.ends_at <= now));
        if page.records.len() < all {
            page.next = None;
        }
        Ok(page)
    }

    /// Deletes all that is held on a deleted person whose grace is over. It may end anywhere, and goes on when it is called
    /// again.
    pub async fn end(&self, id: &str) -> Result<Ending, StoreError> {
        let now = self.clock.now();
        let mut is_due = false;
        let begun = self.users.update(id, |user: &mut User| {
            let deletion = user.deletion.as_mut().filter(|deletion| deletion.ends_at <= now);
            is_due = deletion.is_some();
            let Some(deletion) = deletion.filter(|deletion| !deletion.has_begun) else {
                return Ok(Change::None);
            };
            deletion.has_begun = true;
            Ok::<_, StoreError>(Change::Keep)
        });
        let Some(user) = begun.await?.filter(|_| is_due) else { return Ok(Ending::Otherwise) };
        // Whoever ended half way may have left a tenant without its roster knowing.
        let leaving = user.deletion.as_ref().map(|deletion| deletion.leaving.as_str());
        self.members.settle(leaving.unwrap_or_default()).await?;
        if let Some(tenant) = self.leave(id).await? {
            return Ok(Ending::Owns(tenant));
        }
        self.forget(&user).await?;
        Ok(Ending::Ended)
    }

    /// Deletes all that is held on a person but the memberships: the record of the person last.
    pub(super) async fn forget(&self, user: &User) -> Result<(), StoreError> {
        self.sessions.end_all_of(&user.id, None).await?;
        self.codes.forget(&user.id).await?;
        self.outbox.forget(&user.address).await?;
        let key = user.address.key();
        let now = self.clock.now();
        // One that is good is a tenant's wish, for whoever has the address then. Another address may begin with this one.
        let has_ended = |invitation: &Invitation| invitation.address.key() == key && !invitation.is_good(now);
        self.invitations.clear(invitation::ADDRESS, &key, has_ended).await?;
        self.users.remove(&user.id).await
    }

    /// Ends all memberships of a person; answers the first tenant that the person has to stay in.
    async fn leave(&self, user: &str) -> Result<Option<String>, StoreError> {
        let (mut after, mut owned) = (None, None);
        loop {
            let page = self.memberships_of(user, after.as_ref()).await?;
            for member in page.records {
                self.set_leaving(user, &member.tenant).await?;
                match self.members.remove(By::Decided, &member.tenant, user).await {
                    Ok(_) | Err(MembersError::NotFound(_)) => {}
                    Err(MembersError::LastOwner) => owned = owned.or(Some(member.tenant)),
                    Err(MembersError::Store(error)) => return Err(error),
                    Err(error) => return Err(StoreError::corrupt(format!("memberships of `{user}`"), error)),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(owned);
            }
        }
    }

    async fn set_leaving(&self, user: &str, tenant: &str) -> Result<(), StoreError> {
        let set = self.users.update(user, |user: &mut User| {
            let Some(deletion) = &mut user.deletion else { return Ok(Change::None) };
            tenant.clone_into(&mut deletion.leaving);
            Ok::<_, StoreError>(Change::Keep)
        });
        set.await.map(|_| ())
    }

    /// Refuses where a tenant has no other owner.
    async fn require_other_owners(&self, user: &str) -> Result<(), DeparturesError> {
        let (mut after, mut tenants) = (None, Vec::new());
        loop {
            let page = self.memberships_of(user, after.as_ref()).await?;
            for member in page.records {
                if tenants.len() < NAMED_MAX && !self.members.is_owned_without(&member.tenant, user).await? {
                    tenants.push(member.tenant);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if tenants.is_empty() {
            return Ok(());
        }
        Err(DeparturesError::LastOwner { user: user.to_owned(), tenants })
    }

    async fn take_back(
        &self,
        id: &str,
        may: impl Fn(&Deletion) -> bool + Send + Sync,
    ) -> Result<Option<User>, DeparturesError> {
        let change = |user: &mut User| match &user.deletion {
            None => Ok(Change::None),
            Some(deletion) if deletion.has_begun || !may(deletion) => {
                Err(DeparturesError::Ended(id.to_owned()))
            }
            Some(_) => {
                user.deletion = None;
                Ok(Change::Keep)
            }
        };
        self.sessions.change_standing(id, change).await
    }

    async fn memberships_of(&self, user: &str, after: Option<&Place>) -> Result<Page<Member>, StoreError> {
        let prefix = Member::prefix(user);
        let range = Range { index: member::USER, prefix: &prefix, order: Order::Ascending, after };
        self.memberships.page(range, PIECE).await
    }
}

#[derive(Serialize)]
struct DeletionNote {
    ends_at: Option<Timestamp>,
}

fn list(tenants: &[String]) -> String {
    let named: Vec<_> = tenants.iter().map(|tenant| format!("`{tenant}`")).collect();
    named.join(", ")
}
