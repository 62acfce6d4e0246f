//! Inviting people to a tenant, and accepting.

use std::fmt;

use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

use crate::fault::Invalid;
use crate::id;
use crate::identity::accounts::invitation::{EXPIRY, Invitation, InvitationState, OPEN, TENANT, WAITING};
use crate::identity::accounts::{Accounts, AccountsError, address};
use crate::identity::audit::note;
use crate::identity::caller::Caller;
use crate::identity::codes::{Meaning, Purpose};
use crate::identity::member::Member;
use crate::identity::members::{By, MembersError};
use crate::identity::password::Password;
use crate::identity::user::User;
use crate::identity::users::{Making, NewUser};
use crate::mail::address::Address;
use crate::mail::letter::{Letter, Subject};
use crate::plans::bounds::is_name;
use crate::store::records::{Change, Page, Place, Range};
use crate::store::{Inserted, Order, StoreError};
use crate::time::DAY;

/// Invitations of a tenant that can wait at once.
const OPEN_MAX: usize = 200;
/// How often an invitation is tried to take the place of another one.
const ATTEMPTS_MAX: usize = 8;
/// How long an invitation is listed after its end.
const KEPT_FOR: i64 = 30 * DAY;

/// An invitation to be made.
#[derive(Clone, Copy, Debug)]
pub struct Inviting<'a> {
    /// What makes it: the same seed makes one invitation and one letter.
    pub seed: Uuid,
    /// The tenant; it exists.
    pub tenant: &'a str,
    /// Who is invited.
    pub address: &'a str,
    /// As what: the name of a role.
    pub role: &'a str,
}

/// Somebody who accepts.
pub struct Guest<'a> {
    /// The code of the invitation.
    pub code: &'a str,
    /// The person who calls; `None`: nobody has logged in.
    pub user: Option<&'a str>,
    /// The name, where there is no account yet.
    pub name: &'a str,
    /// The password: that of the account, or a new one's; `None`: none was given.
    pub password: Option<SecretString>,
}

#[derive(Serialize)]
struct InvitationNote<'a> {
    role: &'a str,
}

impl Accounts {
    /// Invites somebody, with no more than the caller may. Another invitation of the same address is not good any more.
    pub async fn invite(&self, caller: &Caller, new: Inviting<'_>) -> Result<Invitation, AccountsError> {
        let address = address(new.address)?;
        let id = id::from_seed("ivt", new.seed);
        self.may_grant(caller, new.tenant, new.role).await?;
        let tenant = self.beside.tenants.get(new.tenant).await?.tenant;
        let now = self.clock.now();
        let invitation = Invitation {
            id: id.clone(),
            tenant: tenant.id,
            address,
            role: new.role.to_owned(),
            by: caller.user().map(ToString::to_string).unwrap_or_default(),
            state: InvitationState::Open,
            created_at: now,
            expires_at: now.plus(Purpose::Invitation.lifetime()),
        };
        note::target("invitation", &id);
        note::after(&InvitationNote { role: new.role });
        let invitation = self.take_place(invitation).await?;
        let code = self.codes.make(Purpose::Invitation, new.seed, &id, "").await?;
        let by = match caller.user() {
            Some(user) => self.users.get(user).await?.map(|user| user.name),
            None => None,
        };
        let subject = Subject::Invitation {
            by: by.unwrap_or_else(|| tenant.name.clone()),
            tenant: tenant.name,
            role: invitation.role.clone(),
            code: code.text,
            until: invitation.expires_at,
        };
        let letter = Letter { to: invitation.address.clone(), name: String::new(), subject };
        self.outbox.post(&format!("invitation/{id}"), letter).await?;
        Ok(invitation)
    }

    /// A page of a tenant's invitations, newest first.
    pub async fn list_invitations(
        &self,
        tenant: &str,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<Invitation>, AccountsError> {
        let prefix = Invitation::prefix(tenant);
        let range = Range { index: TENANT, prefix: &prefix, order: Order::Descending, after };
        Ok(self.invitations.page(range, limit).await?)
    }

    /// Takes an invitation back. One that does not wait stays as it is.
    pub async fn revoke_invitation(&self, tenant: &str, id: &str) -> Result<Invitation, AccountsError> {
        let missing = || AccountsError::InvitationNotFound(id.to_owned());
        let revoked = self.invitations.update(id, |invitation: &mut Invitation| {
            if invitation.tenant != tenant {
                return Err(missing());
            }
            Ok(close(invitation, InvitationState::Revoked))
        });
        let invitation = revoked.await?.ok_or_else(missing)?;
        note::target("invitation", id);
        Ok(invitation)
    }

    /// Joins the tenant that a code invites to. Who has an account with the invited address shows that it is theirs; for
    /// anybody else one is made, whose address is confirmed: the code went there.
    pub async fn accept(&self, guest: Guest<'_>) -> Result<Member, AccountsError> {
        let (meaning, invitation) = self.invited(guest.code).await?;
        note::tenant(&invitation.tenant);
        note::target("invitation", &invitation.id);
        self.still_granted(&invitation).await?;
        let user = match self.users.with_address(&invitation.address).await? {
            Some(user) => self.known(user, &guest).await?,
            None => self.newcomer(&invitation, &guest).await?,
        };
        let accepted = self.invitations.update(&invitation.id, |invitation: &mut Invitation| {
            Ok::<_, StoreError>(close(invitation, InvitationState::Accepted))
        });
        // It may have been taken back meanwhile.
        if accepted.await?.is_none_or(|now| now.state != InvitationState::Accepted) {
            return Err(AccountsError::CodeInvalid);
        }
        let (tenant, role) = (&invitation.tenant, &invitation.role);
        let member = self.beside.members.join(By::Decided, tenant, &user.id, role).await?;
        // Last, so that whoever ended half way can do it again; and of two who accept at once, one has the answer.
        if self.codes.finish(&meaning).await? { Ok(member) } else { Err(AccountsError::CodeInvalid) }
    }

    /// Deletes at most `limit` invitations that ended long ago; answers how many.
    pub(super) async fn purge_invitations(&self, limit: usize) -> Result<usize, StoreError> {
        let before = format!("{:020}", self.clock.now().minus(KEPT_FOR).micros().max(0));
        self.invitations.purge(EXPIRY, &before, limit).await
    }

    async fn may_grant(&self, caller: &Caller, tenant: &str, role: &str) -> Result<(), AccountsError> {
        let granted = self.beside.roles.permissions(tenant, role).await?;
        let granted = granted.ok_or_else(|| MembersError::RoleNotFound(role.to_owned()))?;
        if caller.permissions.covers(granted) {
            Ok(())
        } else {
            Err(MembersError::ExceedsOwn(role.to_owned()).into())
        }
    }

    /// Whoever invited may have lost meanwhile what the invitation gives.
    async fn still_granted(&self, invitation: &Invitation) -> Result<(), AccountsError> {
        if invitation.by.is_empty() {
            return Ok(());
        }
        let by = self.users.get(&invitation.by).await?;
        if by.is_some_and(|user| user.deletion.is_some()) {
            return Err(AccountsError::CodeInvalid);
        }
        let (tenant, roles) = (invitation.tenant.as_str(), &self.beside.roles);
        let granted = roles.permissions(tenant, &invitation.role).await?;
        let granted = granted.ok_or_else(|| MembersError::RoleNotFound(invitation.role.clone()))?;
        for place in [tenant, ""] {
            let Some(member) = self.beside.members.get(place, &invitation.by).await? else { continue };
            if roles.permissions(place, &member.role).await?.is_some_and(|own| own.covers(granted)) {
                return Ok(());
            }
        }
        Err(AccountsError::CodeInvalid)
    }

    /// Keeps an invitation, in the place of another one for the same address.
    async fn take_place(&self, new: Invitation) -> Result<Invitation, AccountsError> {
        let prefix = Invitation::prefix(&new.tenant);
        let range = Range { index: WAITING, prefix: &prefix, order: Order::Ascending, after: None };
        let waiting = self.invitations.page(range, OPEN_MAX).await?.records;
        let is_full = waiting.len() >= OPEN_MAX && waiting.iter().all(|other| other.is_good(new.created_at));
        for _ in 0..ATTEMPTS_MAX {
            if let Some(before) = self.invitations.get(&new.id).await? {
                return Ok(before.record);
            }
            let open = Invitation::open(&new.tenant, &new.address);
            let other = self.invitations.get_by(OPEN, &open).await?;
            if other.is_none() && is_full {
                return Err(AccountsError::InvitationsFull);
            }
            if let Some(mut other) = other {
                close(&mut other.record, InvitationState::Revoked);
                self.invitations.replace(&other).await?;
            }
            if self.invitations.insert(&new).await? == Inserted::Yes {
                return Ok(new);
            }
        }
        Err(StoreError::unavailable(format!("invitations of `{}` change all the time", new.tenant)).into())
    }

    async fn invited(&self, code: &str) -> Result<(Meaning, Invitation), AccountsError> {
        let meaning = self.codes.look(Purpose::Invitation, code).await?;
        let meaning = meaning.ok_or(AccountsError::CodeInvalid)?;
        let found = self.invitations.get(&meaning.subject).await?.map(|kept| kept.record);
        // One that was accepted and whose code is there was not accepted wholly.
        let is_good = |invitation: &Invitation| {
            invitation.state == InvitationState::Accepted || invitation.is_good(self.clock.now())
        };
        let invitation = found.filter(is_good).ok_or(AccountsError::CodeInvalid)?;
        Ok((meaning, invitation))
    }

    /// The owner of the account with the invited address.
    async fn known(&self, user: User, guest: &Guest<'_>) -> Result<User, AccountsError> {
        // The invitation is good again when the account has ended.
        if user.deletion.is_some() {
            return Err(AccountsError::CodeInvalid);
        }
        if guest.user != Some(user.id.as_str()) {
            let password = guest.password.as_ref().ok_or(AccountsError::AccountExists)?;
            if !self.is_password_of(&user, password).await? {
                return Err(AccountsError::PasswordWrong);
            }
        }
        let now = self.clock.now();
        let confirmed = self.users.update(&user.id, |user: &mut User| {
            if user.deletion.is_some() {
                return Err(AccountsError::CodeInvalid);
            }
            let was_confirmed = user.confirmed_at.is_some();
            user.confirmed_at.get_or_insert(now);
            Ok(if was_confirmed { Change::None } else { Change::Keep })
        });
        confirmed.await?.ok_or(AccountsError::CodeInvalid)
    }

    /// A new account for the invited address.
    async fn newcomer(&self, invitation: &Invitation, guest: &Guest<'_>) -> Result<User, AccountsError> {
        if !is_name(guest.name) {
            let description = "must have 1 to 128 characters, none of them a control character";
            return Err(Invalid::field("name", description).into());
        }
        let given = guest.password.as_ref().ok_or_else(|| Invalid::field("password", "is required"))?;
        let password = Password::choose(given, &[invitation.address.as_str(), guest.name])?;
        let password = self.beside.hasher.hash(password).await?;
        let address: Address = invitation.address.clone();
        let (name, confirmed_at) = (guest.name.to_owned(), Some(self.clock.now()));
        let new = NewUser { seed: Uuid::now_v7(), address, name, password, confirmed_at };
        match self.users.create(new).await? {
            Making::Made(user) | Making::MadeBefore(user) => Ok(user),
            // Somebody else was faster, and has to show the password.
            Making::AddressTaken => match self.users.with_address(&invitation.address).await? {
                Some(user) => self.known(user, guest).await,
                None => Err(StoreError::unavailable("an account comes and goes").into()),
            },
        }
    }
}

/// Ends an invitation that waits.
fn close(invitation: &mut Invitation, state: InvitationState) -> Change {
    if invitation.state != InvitationState::Open {
        return Change::None;
    }
    invitation.state = state;
    Change::Keep
}

/// A log has no codes.
impl fmt::Debug for Guest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("user", &self.user).finish_non_exhaustive()
    }
}
