//! Logging in with a password, and changing the password.
//!
//! Whoever may not log in hears one answer, whatever the reason, and it takes the same work: a hash. So nobody learns which
//! addresses have an account.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tracing::{debug, warn};

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::identity::hasher::{Hasher, HasherError, Verified};
use crate::identity::lockout::{self, Admission, Lockout};
use crate::identity::member::{self, Member};
use crate::identity::password::Password;
use crate::identity::second_factor::SecondFactors;
use crate::identity::session::network_of;
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

/// Whoever comes from nowhere shares one network.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Lets people in.
#[derive(Debug)]
pub struct Logins {
    users: Records<User>,
    members: Records<Member>,
    hasher: Hasher,
    sessions: Arc<Sessions>,
    outbox: Arc<Outbox>,
    second_factors: SecondFactors,
    lockout: Arc<Lockout>,
    clock: Arc<dyn Clock>,
}

/// What logins stand on beside a store.
#[derive(Debug)]
pub struct Doorway {
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Where sessions are opened.
    pub sessions: Arc<Sessions>,
    /// Where letters go.
    pub outbox: Arc<Outbox>,
    /// Knows codes of second factors.
    pub second_factors: SecondFactors,
    /// Decides which tries are looked at.
    pub lockout: Arc<Lockout>,
    /// The server's clock.
    pub clock: Arc<dyn Clock>,
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
    /// Where they are; `None`: nobody knows.
    pub from: Option<IpAddr>,
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
    /// Too many tries were wrong: the next one is not looked at before that moment. It is the same for an account that is not there.
    #[error("too many tries were wrong; try again later")]
    Locked {
        /// In how long.
        retry_after: Duration,
    },
    /// The password is good, and the account has a second factor.
    #[error("the account has a second factor: send a code of it")]
    SecondFactorRequired,
    /// The code that should open an account is none.
    #[error("the code is not good: it was used, is too old, or is another one")]
    CodeInvalid,
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
            Self::CodeInvalid => Reason::CodeInvalid,
            Self::Locked { .. } => Reason::LoginLocked,
            Self::SecondFactorRequired => Reason::SecondFactorRequired,
            Self::PasswordWrong => Reason::PasswordWrong,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Hasher(error) => error.reason(),
            Self::Sessions(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Hasher(error) => Some(error),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Locked { retry_after } => Some(*retry_after),
            _ => self.origin().and_then(Fault::retry_after),
        }
    }
}

impl Logins {
    /// Lets the people of a store in.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, doorway: Doorway) -> Self {
        let Doorway { hasher, sessions, outbox, second_factors, lockout, clock } = doorway;
        let (users, members) = (Records::new(Arc::clone(documents)), Records::new(Arc::clone(documents)));
        Self { users, members, hasher, sessions, outbox, second_factors, lockout, clock }
    }

    /// Lets somebody in, and opens a session for them.
    pub async fn log_in(&self, attempt: Attempt<'_>) -> Result<LoggedIn, LoginError> {
        let address = Address::parse(attempt.address);
        // What is no address is counted as it stands.
        let account = address.as_ref().map_or_else(|_| attempt.address.to_ascii_lowercase(), Address::key);
        let charged = self.admit(&account, attempt.from).await?;
        let found = match self.find(address.ok().as_ref()).await {
            Ok(found) => found,
            Err(error) => return self.counted(charged, None, Err(error)).await,
        };
        let entered = self.enter(&attempt, found.as_ref()).await;
        self.counted(charged, found.as_ref(), entered).await
    }

    /// Gives a person another password. All other sessions than that one end, and a letter says so.
    pub async fn change_password(
        &self,
        (user, session, from): (&str, &str, Option<IpAddr>),
        old: &SecretString,
        new: &SecretString,
    ) -> Result<(), LoginError> {
        let found = self.users.get(user).await?.ok_or(LoginError::PasswordWrong)?.record;
        let old = Password::given(old).ok_or(LoginError::PasswordWrong)?;
        let new = Password::choose(new, &[found.address.as_str(), &found.name]).map_err(of_new_password)?;
        let charged = self.admit(&found.address.key(), from).await?;
        let proven = self.prove(old, &found.password).await;
        self.counted(charged, Some(&found), proven).await?;
        let (hash, at) = (self.hasher.hash(new).await?, self.clock.now());
        self.replace_password(&found, &hash, at).await?;
        // First the sessions, and the letter at last: whatever fails, nobody is left in with the old password.
        self.sessions.keep_one(user, session, at).await?;
        let letter = Letter { to: found.address, name: found.name, subject: Subject::PasswordChanged { at } };
        Ok(self.outbox.post(&format!("password/{user}/{}", at.micros()), letter).await?)
    }

    /// Opens the account that a code was sent for.
    pub async fn unlock(&self, code: &str, from: Option<IpAddr>) -> Result<(), LoginError> {
        let is_good = self.lockout.unlock_with_code(code, from.unwrap_or(NOWHERE)).await?;
        if is_good { Ok(()) } else { Err(LoginError::CodeInvalid) }
    }

    /// Charges a try, if it is to be looked at.
    async fn admit(&self, account: &str, from: Option<IpAddr>) -> Result<lockout::Attempt, LoginError> {
        match self.lockout.admit(account, from.unwrap_or(NOWHERE)).await? {
            Admission::Admitted(charged) => Ok(charged),
            Admission::Locked { until } => {
                let micros = u64::try_from(until.since(self.clock.now())).unwrap_or_default();
                Err(LoginError::Locked { retry_after: Duration::from_micros(micros) })
            }
        }
    }

    /// Counts how a try went, and passes it on. What was not found out counts for nothing; and neither does a good password
    /// whose code is still to come.
    async fn counted<T>(
        &self,
        charged: lockout::Attempt,
        owner: Option<&User>,
        outcome: Result<T, LoginError>,
    ) -> Result<T, LoginError> {
        match &outcome {
            Ok(_) => self.lockout.succeeded(charged).await?,
            Err(LoginError::Failed | LoginError::PasswordWrong) => self.lockout.failed(charged, owner),
            Err(_) => self.lockout.withdrawn(charged).await?,
        }
        outcome
    }

    /// Who has an address. A person who was deleted is nobody.
    async fn find(&self, address: Option<&Address>) -> Result<Option<User>, LoginError> {
        let Some(address) = address else { return Ok(None) };
        let found = self.users.get_by(ADDRESS, &address.key()).await?.map(|kept| kept.record);
        Ok(found.filter(|user| user.deletion.is_none()))
    }

    async fn enter(&self, attempt: &Attempt<'_>, found: Option<&User>) -> Result<LoggedIn, LoginError> {
        let user = self.recognise(attempt, found).await?;
        let (member, others) = self.membership(&user.id, attempt.tenant).await?;
        self.check_code(user, attempt.code).await?;
        let network = attempt.from.map(network_of).unwrap_or_default();
        let opened = self.sessions.open(user, &member.tenant, &network).await?;
        Ok(LoggedIn { opened, member, others })
    }

    async fn prove(&self, password: Password, hash: &str) -> Result<(), LoginError> {
        match self.hasher.verify(password, hash).await? {
            Verified::No => Err(LoginError::PasswordWrong),
            Verified::Yes | Verified::Outdated => Ok(()),
        }
    }

    /// Who gave their own address and password, and may log in.
    async fn recognise<'a>(
        &self,
        attempt: &Attempt<'_>,
        found: Option<&'a User>,
    ) -> Result<&'a User, LoginError> {
        // What is longer than any password costs nobody a hash.
        let password = Password::given(attempt.password).ok_or(LoginError::Failed)?;
        let Some(user) = found.filter(|user| !user.password.is_empty()) else {
            self.hasher.verify_nobody(password).await?;
            return Err(LoginError::Failed);
        };
        let verified = self.hasher.verify(password.clone(), &user.password).await?;
        if verified == Verified::No || user.confirmed_at.is_none() || user.is_suspended {
            return Err(LoginError::Failed);
        }
        if verified == Verified::Outdated {
            self.renew(user, password).await;
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

    /// Uses up a code where the account takes one. A factor that was set up and not confirmed asks for nothing.
    async fn check_code(&self, user: &User, code: &str) -> Result<(), LoginError> {
        if user.second_factor.as_ref().is_none_or(|factor| factor.confirmed_at.is_none()) {
            return Ok(());
        }
        if code.is_empty() {
            return Err(LoginError::SecondFactorRequired);
        }
        let now = self.clock.now();
        // Of two who show one code at once, one finds it used.
        let spent = self.users.update(&user.id, |user: &mut User| {
            let factor = user.second_factor.as_mut().filter(|factor| factor.confirmed_at.is_some());
            let is_good = factor.is_some_and(|factor| self.second_factors.spend(factor, code, now));
            if is_good { Ok(Change::Keep) } else { Err(LoginError::Failed) }
        });
        spent.await?.map(|_| ()).ok_or(LoginError::Failed)
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

/// The same under the name that the field has where a password is changed.
fn of_new_password(invalid: Invalid) -> Invalid {
    let renamed = |wrong: Violation| Violation { field: String::from("new_password"), ..wrong };
    Invalid(invalid.0.into_iter().map(renamed).collect())
}
