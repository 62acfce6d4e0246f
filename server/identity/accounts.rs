//! People and their accounts: signing up, confirming and changing addresses, choosing a new password, invitations, and second
//! factors.
//!
//! Nothing here tells whether an address is known. What depends on that is an errand: one record, kept in the same time
//! whatever the address, and done behind the answer. An errand is also what makes a sign-up whole: its steps make the same
//! things each time, and whoever finds it open does them.

mod address;
mod errand;
mod errands;
pub mod invitation;
mod invitations;
mod reset;
mod second_factor;
mod sign_up;

use std::sync::Arc;

use secrecy::{SecretBox, SecretString};
use tokio::sync::Notify;

use crate::fault::{Fault, Invalid, Reason};
use crate::identity::accounts::errand::Errand;
use crate::identity::accounts::invitation::Invitation;
use crate::identity::caller::Caller;
use crate::identity::codes::Codes;
use crate::identity::hasher::{Hasher, HasherError, Verified};
use crate::identity::members::{Members, MembersError};
use crate::identity::password::Password;
use crate::identity::roles::Roles;
use crate::identity::second_factor::SecondFactors;
use crate::identity::tenants::{Tenants, TenantsError};
use crate::identity::user::User;
use crate::identity::users::Users;
use crate::mail::address::Address;
use crate::mail::letter::{Letter, Subject};
use crate::mail::outbox::Outbox;
use crate::plans::PlansError;
use crate::plans::catalogue::Catalogue;
use crate::secrets::seal::{Seal, to_hex};
use crate::store::records::Records;
use crate::store::{Documents, StoreError};
use crate::time::Clock;

pub use crate::identity::accounts::invitations::{Guest, Inviting};
pub use crate::identity::accounts::sign_up::{SignUp, SigningUp};

/// People and their accounts.
#[derive(Debug)]
pub struct Accounts {
    users: Users,
    codes: Arc<Codes>,
    outbox: Arc<Outbox>,
    errands: Records<Errand>,
    arrived: Notify,
    invitations: Records<Invitation>,
    second_factors: SecondFactors,
    seal: Seal,
    beside: Beside,
    clock: Arc<dyn Clock>,
}

/// The rooms that accounts stand beside.
#[derive(Debug)]
pub struct Beside {
    /// The plans that can be signed up for.
    pub catalogue: Arc<Catalogue>,
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// Who belongs where.
    pub members: Arc<Members>,
    /// What each role may do.
    pub roles: Arc<Roles>,
    /// Where letters go.
    pub outbox: Arc<Outbox>,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Whether anybody may sign up.
    pub sign_up: SignUp,
}

/// Why something cannot be done for somebody.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// Only who is invited comes in.
    #[error("nobody can sign up here: accounts are made by invitation")]
    Closed,
    /// The code was used, is too old, or was never made for this.
    #[error("the code is not good: it was used, is too old, or is another one")]
    CodeInvalid,
    /// The caller is no person.
    #[error("only a person who has logged in can do this")]
    PersonRequired,
    /// The password is another one.
    #[error("the password is not the account's")]
    PasswordWrong,
    /// Somebody else has the address.
    #[error("an account has this address already")]
    AddressTaken,
    /// There is a second factor already.
    #[error("the account has a second factor already")]
    SecondFactorSet,
    /// There is no second factor.
    #[error("the account has no second factor")]
    SecondFactorMissing,
    /// The tenant has no such invitation.
    #[error("there is no invitation `{0}`")]
    InvitationNotFound(String),
    /// The tenant waits for enough people.
    #[error("the tenant has as many open invitations as it can have")]
    InvitationsFull,
    /// Who is invited has an account, and did not show that it is theirs.
    #[error("an account has the invited address: log in with it, or give its password")]
    AccountExists,
    /// The request's id was used with another content.
    #[error("request_id `{0}` was used with another content")]
    Conflict(String),
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A password cannot be hashed now.
    #[error(transparent)]
    Hasher(#[from] HasherError),
    /// A member cannot be made.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// A tenant cannot be made or found.
    #[error(transparent)]
    Tenants(#[from] TenantsError),
    /// A plan cannot be had.
    #[error(transparent)]
    Plans(#[from] PlansError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for AccountsError {
    fn reason(&self) -> Reason {
        match self {
            Self::Closed => Reason::SignUpClosed,
            Self::CodeInvalid => Reason::CodeInvalid,
            Self::PersonRequired => Reason::SessionRequired,
            Self::PasswordWrong => Reason::PasswordWrong,
            Self::AddressTaken => Reason::AddressTaken,
            Self::SecondFactorSet => Reason::SecondFactorSet,
            Self::SecondFactorMissing => Reason::SecondFactorMissing,
            Self::InvitationNotFound(_) => Reason::InvitationNotFound,
            Self::InvitationsFull => Reason::InvitationsFull,
            Self::AccountExists => Reason::AccountExists,
            Self::Conflict(_) => Reason::RequestConflict,
            _ => self.origin().map_or(Reason::Internal, Fault::reason),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Hasher(error) => Some(error),
            Self::Members(error) => Some(error),
            Self::Tenants(error) => Some(error),
            Self::Plans(error) => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl Accounts {
    /// The accounts in a store. `secret` is the installation's own.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        secret: &SecretBox<[u8; 32]>,
        codes: Arc<Codes>,
        beside: Beside,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            users: Users::new(documents, Arc::clone(&clock)),
            codes,
            outbox: Arc::clone(&beside.outbox),
            errands: Records::new(Arc::clone(documents)),
            arrived: Notify::new(),
            invitations: Records::new(Arc::clone(documents)),
            second_factors: SecondFactors::new(secret),
            seal: Seal::new(secret, "account"),
            beside,
            clock,
        }
    }

    /// The person that a caller is.
    async fn person(&self, caller: &Caller) -> Result<User, AccountsError> {
        let id = caller.user().ok_or(AccountsError::PersonRequired)?;
        self.users.get(id).await?.ok_or(AccountsError::PersonRequired)
    }

    /// The person that a caller is, who gave the account's password once more: a credential that was left somewhere is not
    /// enough to take an account over.
    async fn proven(&self, caller: &Caller, password: &SecretString) -> Result<User, AccountsError> {
        let user = self.person(caller).await?;
        if self.is_password_of(&user, password).await? { Ok(user) } else { Err(AccountsError::PasswordWrong) }
    }

    async fn is_password_of(&self, user: &User, password: &SecretString) -> Result<bool, HasherError> {
        let Some(password) = Password::given(password) else { return Ok(false) };
        if user.password.is_empty() {
            self.beside.hasher.verify_nobody(password).await?;
            return Ok(false);
        }
        Ok(self.beside.hasher.verify(password, &user.password).await? != Verified::No)
    }

    /// What changes with an account's password and address: a code that was made before is not good after.
    fn stamp(&self, user: &User) -> String {
        let since = user.password_at.micros().to_be_bytes();
        to_hex(&self.seal.digest(&[b"stamp/", &since, user.address.key().as_bytes()]))
    }

    /// What stands for an address where the address itself has no business.
    fn whom(&self, address: &Address) -> String {
        to_hex(&self.seal.digest(&[b"whom/", address.key().as_bytes()]))
    }

    async fn tell(&self, id: &str, user: &User, subject: Subject) -> Result<(), StoreError> {
        let (to, name) = (user.address.clone(), user.name.clone());
        self.outbox.post(id, Letter { to, name, subject }).await
    }
}

fn address(text: &str) -> Result<Address, Invalid> {
    Address::parse(text).map_err(|error| Invalid::field("address", error.to_string()))
}
