//! Sessions: opened by a login, kept alive by refresh tokens that are good once, ended by their owner or by a thief.
//!
//! A refresh token that comes again after it was used is in two hands, and nobody can say which of them is its owner's. So
//! it ends the session, and the owner hears of it by mail. Of two uses at once one wins and the other counts as the second.

use std::sync::Arc;

use secrecy::{SecretBox, SecretString};

use crate::fault::{Fault, Reason};
use crate::id;
use crate::identity::keyring::Keyring;
use crate::identity::refresh_token::{RefreshToken, RefreshTokens};
use crate::identity::roles::Roles;
use crate::identity::session::{EXPIRY, Session, USER, place};
use crate::identity::standing::Standing;
use crate::identity::token::{Bearer, Tokens, TokensError};
use crate::identity::user::User;
use crate::mail::letter::{Letter, Subject as About};
use crate::mail::outbox::Outbox;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Page, Place, Range, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, DAY, Timestamp};

/// The sessions of a person. Whoever logs in once more ends the oldest.
pub const SESSIONS_MAX: usize = 100;
/// How often a change is tried against those of other servers.
const ATTEMPTS_MAX: usize = 32;
/// The turn of a session's first refresh token.
const FIRST_TURN: u64 = 1;

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    sessions: Records<Session>,
    users: Records<User>,
    standing: Standing,
    tokens: Tokens,
    refresh_tokens: RefreshTokens,
    keyring: Arc<Keyring>,
    outbox: Arc<Outbox>,
    teller: Teller,
    clock: Arc<dyn Clock>,
    lifetimes: Lifetimes,
}

/// How long sessions and their tokens are good.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Days that a refresh token is good from its making, and so a session that nobody uses.
    pub refresh_token_days: u32,
    /// Days that a session is good from its login, however much it is used.
    pub session_days_max: u32,
}

/// What sessions stand on beside a store.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Who makes access tokens.
    pub tokens: Tokens,
    /// What people may do.
    pub roles: Arc<Roles>,
    /// Who remembers sessions.
    pub keyring: Arc<Keyring>,
    /// Where letters go.
    pub outbox: Arc<Outbox>,
    /// The server's clock.
    pub clock: Arc<dyn Clock>,
}

/// A session and the tokens that were made for it just now.
#[derive(Debug)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// What calls are made with.
    pub access: SecretString,
    /// The first moment at which that is not good any more.
    pub access_until: Timestamp,
    /// What new tokens are got with, once; it is good as long as the session.
    pub refresh: SecretString,
}

/// Why a session cannot be opened, used or ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// The refresh token is not known, was used, or has expired, or its session has ended.
    #[error("the refresh token is not good; log in again")]
    RefreshTokenInvalid,
    /// The person has no session with that id.
    #[error("there is no session `{0}`")]
    NotFound(String),
    /// No token could be made.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for SessionsError {
    fn reason(&self) -> Reason {
        match self {
            Self::RefreshTokenInvalid => Reason::RefreshTokenInvalid,
            Self::NotFound(_) => Reason::SessionNotFound,
            Self::Tokens(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }
}

impl Sessions {
    /// The sessions in a store. `secret` is the installation's own.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        secret: &SecretBox<[u8; 32]>,
        ground: Ground,
        lifetimes: Lifetimes,
    ) -> Self {
        Self {
            sessions: Records::new(Arc::clone(documents)),
            users: Records::new(Arc::clone(documents)),
            standing: Standing::new(documents, ground.roles),
            tokens: ground.tokens,
            refresh_tokens: RefreshTokens::new(secret),
            keyring: ground.keyring,
            outbox: ground.outbox,
            teller: Teller::new(documents, Arc::clone(&ground.clock)),
            clock: ground.clock,
            lifetimes,
        }
    }

    /// Opens a session of a person whose password was good just now; `tenant` is empty for the staff.
    pub async fn open(&self, user: &User, tenant: &str, network: &str) -> Result<Opened, SessionsError> {
        self.make_room(&user.id).await?;
        let now = self.clock.now();
        let session = Session {
            id: id::fresh("ses"),
            user: user.id.clone(),
            tenant: tenant.to_owned(),
            created_at: now,
            last_used_at: now,
            network: network.to_owned(),
            turn: FIRST_TURN,
            expires_at: self.expiry(now, now),
            password_at: user.password_at,
        };
        let opened = self.equip(session)?;
        self.sessions.insert(&opened.session).await?;
        Ok(opened)
    }

    /// Makes new tokens for a refresh token, which is good this once.
    pub async fn refresh(&self, token: &SecretString, network: &str) -> Result<Opened, SessionsError> {
        let invalid = || SessionsError::RefreshTokenInvalid;
        let RefreshToken { session, turn } = self.refresh_tokens.read(token).ok_or_else(invalid)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut kept = self.sessions.get(&session).await?.ok_or_else(invalid)?;
            let now = self.clock.now();
            // One from after the session's own comes where a store was restored from a copy: nobody stole it.
            if now >= kept.record.expires_at || turn > kept.record.turn {
                return Err(invalid());
            }
            if turn < kept.record.turn {
                self.stolen(&kept.record, now).await?;
                return Err(invalid());
            }
            if self.standing.caller(&kept.record).await?.is_none() {
                return Err(invalid());
            }
            kept.record.turn = kept.record.turn.saturating_add(1);
            kept.record.last_used_at = now;
            kept.record.expires_at = self.expiry(kept.record.created_at, now);
            network.clone_into(&mut kept.record.network);
            // First the tokens: what cannot be answered uses up nothing.
            let opened = self.equip(kept.record.clone())?;
            if self.sessions.replace(&kept).await? {
                return Ok(opened);
            }
        }
        Err(StoreError::unavailable(format!("session `{session}` is changed by others all the time")).into())
    }

    /// The sessions of a person, newest first.
    pub async fn list(&self, user: &str) -> Result<Vec<Session>, StoreError> {
        let mut sessions = self.page(user, Order::Descending, None, SESSIONS_MAX).await?.records;
        let now = self.clock.now();
        sessions.retain(|session| now < session.expires_at);
        Ok(sessions)
    }

    /// Ends a session of that person. From the answer on its tokens are refused, by other servers too within 5 s.
    pub async fn end(&self, user: &str, id: &str) -> Result<(), SessionsError> {
        let found = self.sessions.get(id).await?.filter(|kept| kept.record.user == user);
        let found = found.ok_or_else(|| SessionsError::NotFound(id.to_owned()))?;
        Ok(self.end_one(&found.record.id).await?)
    }

    /// Ends all sessions of a person, but for one where that is said. From the answer on their tokens are refused, by other
    /// servers too within 5 s.
    pub async fn end_all_of(&self, user: &str, except: Option<&str>) -> Result<(), StoreError> {
        let ended = self.teller.tell(Subject::User(user.to_owned()), self.delete_all_of(user, except)).await;
        // Also after a failure: some may have ended all the same.
        self.keyring.forget_user(user);
        ended
    }

    /// Suspends a person, or lets it log in again; `None`: there is no such person. Who is suspended has no session any more,
    /// on other servers too within 5 s.
    pub async fn set_suspended(&self, user: &str, is_suspended: bool) -> Result<Option<User>, StoreError> {
        let change = |user: &mut User| {
            let is_change = user.is_suspended != is_suspended;
            user.is_suspended = is_suspended;
            Ok::<_, StoreError>(if is_change { Change::Keep } else { Change::None })
        };
        let changed = self.change_standing(user, change).await?;
        if is_suspended && changed.is_some() {
            self.delete_all_of(user, None).await?;
        }
        Ok(changed)
    }

    /// Changes whether a person may log in; `None`: there is no such person. It holds from the answer on, also for sessions
    /// that are open, on other servers too within 5 s.
    pub(super) async fn change_standing<E: From<StoreError>>(
        &self,
        user: &str,
        change: impl FnMut(&mut User) -> Result<Change, E> + Send,
    ) -> Result<Option<User>, E> {
        let change = self.users.update(user, change);
        let changed = self.teller.tell(Subject::User(user.to_owned()), change).await;
        // Also after a failure: the change may have been kept all the same.
        self.keyring.forget_user(user);
        changed
    }

    /// Lets a session of a person live on under another password, which was chosen then, and ends all others.
    pub async fn keep_one(&self, user: &str, id: &str, password_at: Timestamp) -> Result<(), StoreError> {
        let kept = self.sessions.update(id, |session: &mut Session| {
            session.password_at = password_at;
            Ok::<_, StoreError>(Change::Keep)
        });
        kept.await?;
        self.end_all_of(user, Some(id)).await
    }

    /// Deletes at most `limit` sessions that have expired; answers how many.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        // One that expires just now has expired.
        let before = place(self.clock.now().plus(1));
        self.sessions.purge(EXPIRY, &before, limit).await
    }

    /// The session with tokens of its own.
    fn equip(&self, session: Session) -> Result<Opened, SessionsError> {
        let bearer = Bearer { user: &session.user, tenant: &session.tenant, session: &session.id };
        let mut claims = self.tokens.claims(bearer);
        claims.expires_at = claims.expires_at.min(session.expires_at);
        let access = self.tokens.issue(&claims)?;
        let token = RefreshToken { session: session.id.clone(), turn: session.turn };
        Ok(Opened {
            access,
            access_until: claims.expires_at,
            refresh: self.refresh_tokens.write(&token),
            session,
        })
    }

    fn expiry(&self, created_at: Timestamp, now: Timestamp) -> Timestamp {
        let days = |days: u32| i64::from(days).saturating_mul(DAY);
        let last = created_at.plus(days(self.lifetimes.session_days_max));
        now.plus(days(self.lifetimes.refresh_token_days)).min(last)
    }

    /// Ends a session that two have the tokens of, and tells its owner.
    async fn stolen(&self, session: &Session, now: Timestamp) -> Result<(), StoreError> {
        if let Some(user) = self.users.get(&session.user).await? {
            let User { address, name, .. } = user.record;
            let letter = Letter { to: address, name, subject: About::SessionStolen { at: now } };
            // First the letter, which is one however often this is tried: once the session is gone nobody knows of it.
            self.outbox.post(&format!("stolen/{}", session.id), letter).await?;
        }
        self.end_one(&session.id).await
    }

    /// Ends the oldest sessions of whoever has as many as one can have.
    async fn make_room(&self, user: &str) -> Result<(), StoreError> {
        let oldest = self.page(user, Order::Ascending, None, SESSIONS_MAX).await?.records;
        for session in oldest.iter().take((oldest.len() + 1).saturating_sub(SESSIONS_MAX)) {
            self.end_one(&session.id).await?;
        }
        Ok(())
    }

    async fn end_one(&self, id: &str) -> Result<(), StoreError> {
        let ended = self.teller.tell(Subject::Session(id.to_owned()), self.sessions.remove(id)).await;
        // Also after a failure: it may have ended all the same.
        self.keyring.forget_session(id);
        ended
    }

    async fn delete_all_of(&self, user: &str, except: Option<&str>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.page(user, Order::Ascending, after.as_ref(), SESSIONS_MAX).await?;
            for session in page.records.iter().filter(|session| Some(session.id.as_str()) != except) {
                self.sessions.remove(&session.id).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn page(
        &self,
        user: &str,
        order: Order,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<Session>, StoreError> {
        let prefix = Session::prefix(user);
        self.sessions.page(Range { index: USER, prefix: &prefix, order, after }, limit).await
    }
}
