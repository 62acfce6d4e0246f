//! Logging in with a password, and changing the password.
//!
//! Whoever may not log in hears one answer, whatever the reason, and it takes the same work: a hash. So nobody learns which
//! addresses have an account.

use std::sync::Arc;

use secrecy::SecretString;
use tracing::{debug, warn};

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::identity::hasher::{Hasher, HasherError, Verified};
use crate::identity::member::{self, Member};
use crate::identity::password::Password;
use crate::identity::sessions::{Opened, Sessions, SessionsError};
use crate::identity::user::{ADDRESS, User};
use crate::mail::address::Address;
use crate::mail::letter::{Letter, Subject};
use crate::mail::outbox::Outbox;
use crate::store::records::{Change, Range, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, Timestamp};

/// The memberships of a person that a login looks at, oldest first. Any other can be named.
const MEMBERSHIPS_MAX: usize = 100;

/// Lets people in.
#[derive(Debug)]
pub struct Logins {
    users: Records<User>,
    members: Records<Member>,
    hasher: Hasher,
    sessions: Arc<Sessions>,
    outbox: Arc<Outbox>,
    clock: Arc<dyn Clock>,
}

/// Somebody who wants to log in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The address that they give.
    pub address: &'a str,
    /// The password.
    pub password: &'a SecretString,
    /// The tenant; empty: the staff of the installation. `None`: the first that they joined.
    pub tenant: Option<&'a str>,
    /// A code of the second factor; empty: none.
    pub code: &'a str,
    /// The network that they are in; empty: nobody knows.
    pub network: &'a str,
}

/// Somebody who logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// The session, with its tokens.
    pub opened: Opened,
    /// The membership that the session is of.
    pub member: Member,
    /// The other memberships of the person, oldest first.
    pub others: Vec<Member>,
}

/// Why somebody cannot log in, or cannot change the password.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// There is no such account, the password or the code is another, or the account cannot log in there.
    #[error("the address, the password or the code is wrong, or the account cannot log in there")]
    Failed,
    /// The password is good, and the account has a second factor.
    #[error("the account has a second factor: send a code of it")]
    SecondFactorRequired,
    /// The password that is to be changed is another.
    #[error("the password is wrong")]
    PasswordWrong,
    /// The new password cannot be one.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No password could be hashed.
    #[error(transparent)]
    Hasher(#[from] HasherError),
    /// No session could be opened.
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for LoginError {
    fn reason(&self) -> Reason {
        match self {
            Self::Failed => Reason::LoginFailed,
            Self::SecondFactorRequired => Reason::SecondFactorRequired,
            Self::PasswordWrong => Reason::PasswordWrong,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Hasher(error) => error.reason(),
            Self::Sessions(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(invalid) => invalid.violations(),
            _ => &[],
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Hasher(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl Logins {
    /// Lets the people of a store in.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        hasher: Hasher,
        sessions: Arc<Sessions>,
        outbox: Arc<Outbox>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            users: Records::new(Arc::clone(documents)),
            members: Records::new(Arc::clone(documents)),
            hasher,
            sessions,
            outbox,
            clock,
        }
    }

    /// Lets somebody in, and opens a session for them.
    pub async fn log_in(&self, attempt: Attempt<'_>) -> Result<LoggedIn, LoginError> {
        let user = self.recognise(&attempt).await?;
        let (member, others) = self.membership(&user.id, attempt.tenant).await?;
        check_code(&user, attempt.code)?;
        let opened = self.sessions.open(&user, &member.tenant, attempt.network).await?;
        Ok(LoggedIn { opened, member, others })
    }

    /// Gives a person another password. All other sessions than that one end, and a letter says so.
    pub async fn change_password(
        &self,
        user: &str,
        session: &str,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<(), LoginError> {
        let found = self.users.get(user).await?.ok_or(LoginError::PasswordWrong)?.record;
        let old = Password::given(old).ok_or(LoginError::PasswordWrong)?;
        let new = Password::choose(new, &[found.address.as_str(), &found.name]).map_err(of_new_password)?;
        if self.hasher.verify(old, &found.password).await? == Verified::No {
            return Err(LoginError::PasswordWrong);
        }
        let (hash, at) = (self.hasher.hash(new).await?, self.clock.now());
        self.replace_password(&found, &hash, at).await?;
        let letter = Letter { to: found.address, name: found.name, subject: Subject::PasswordChanged { at } };
        self.outbox.post(&format!("password/{user}/{}", at.micros()), letter).await?;
        Ok(self.sessions.keep_one(user, session, at).await?)
    }

    /// Who gave their own address and password, and may log in.
    async fn recognise(&self, attempt: &Attempt<'_>) -> Result<User, LoginError> {
        // What is longer than any password costs nobody a hash.
        let password = Password::given(attempt.password).ok_or(LoginError::Failed)?;
        let found = match Address::parse(attempt.address) {
            Ok(address) => self.users.get_by(ADDRESS, &address.key()).await?,
            Err(_) => None,
        };
        let Some(user) = found.map(|kept| kept.record).filter(|user| !user.password.is_empty()) else {
            self.hasher.verify_nobody(password).await?;
            return Err(LoginError::Failed);
        };
        let verified = self.hasher.verify(password.clone(), &user.password).await?;
        if verified == Verified::No || user.confirmed_at.is_none() || user.is_suspended {
            return Err(LoginError::Failed);
        }
        if verified == Verified::Outdated {
            self.renew(&user, password).await;
        }
        Ok(user)
    }

    /// The membership to log in to, and the others.
    async fn membership(
        &self,
        user: &str,
        tenant: Option<&str>,
    ) -> Result<(Member, Vec<Member>), LoginError> {
        let prefix = Member::prefix(user);
        let range = Range { index: member::USER, prefix: &prefix, order: Order::Ascending, after: None };
        let mut others = self.members.page(range, MEMBERSHIPS_MAX).await?.records;
        let chosen = match tenant {
            None => others.first().cloned(),
            Some(tenant) => self.members.get(&Member::id_of(tenant, user)).await?.map(|kept| kept.record),
        };
        let chosen = chosen.ok_or(LoginError::Failed)?;
        others.retain(|member| member.tenant != chosen.tenant);
        Ok((chosen, others))
    }

    /// Makes the hash of a password anew at today's cost. The login is good also without.
    async fn renew(&self, user: &User, password: Password) {
        let renewed = async {
            let hash = self.hasher.hash(password).await?;
            self.replace_password(user, &hash, user.password_at).await
        };
        match renewed.await {
            Ok(()) => debug!(user = %user.id, "a password was hashed anew"),
            Err(error) => {
                warn!(user = %user.id, error = %error, "a password could not be hashed anew: {error}");
            }
        }
    }

    /// Keeps another hash, unless the password was changed meanwhile.
    async fn replace_password(&self, user: &User, hash: &str, at: Timestamp) -> Result<(), LoginError> {
        let replaced = self.users.update(&user.id, |kept: &mut User| {
            if kept.password != user.password {
                return Err(LoginError::PasswordWrong);
            }
            hash.clone_into(&mut kept.password);
            kept.password_at = at;
            Ok(Change::Keep)
        });
        replaced.await?.map(|_| ()).ok_or(LoginError::PasswordWrong)
    }
}

/// A factor that was set up and not confirmed asks for nothing.
fn check_code(user: &User, code: &str) -> Result<(), LoginError> {
    let has_factor = user.second_factor.as_ref().is_some_and(|factor| factor.confirmed_at.is_some());
    match (has_factor, code) {
        (false, _) => Ok(()),
        (true, "") => Err(LoginError::SecondFactorRequired),
        (true, _) => Err(LoginError::Failed),
    }
}

/// The same under the name that the field has where a password is changed.
fn of_new_password(invalid: Invalid) -> Invalid {
    let renamed = |wrong: Violation| Violation { field: String::from("new_password"), ..wrong };
    Invalid(invalid.0.into_iter().map(renamed).collect())
}
