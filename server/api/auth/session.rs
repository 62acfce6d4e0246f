//! `AuthService`: logging in and out, sessions and the tokens that are made with them.

use std::sync::Arc;

use prost_types::Duration;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::auth::AuthApi;
use crate::api::convert::time::to_message;
use crate::api::layers::auth::caller;
use crate::api::serve::peer;
use crate::api::status::from_fault;
use crate::fault::{Fault, Invalid, Reason};
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::lending::{LIFETIME, Lender};
use crate::identity::lockout::Lockout;
use crate::identity::login::{Attempt, Logins};
use crate::identity::member::Member;
use crate::identity::session::{Session, network_of};
use crate::identity::sessions::{Opened, Sessions};
use crate::store::records::Records;
use crate::time::{MINUTE, SECOND};

const NANOS_IN_MICRO: i64 = 1_000;
/// More seconds than any lifetime has, so that no sum overflows.
const SECONDS_MAX: i64 = 365 * 24 * 60 * (MINUTE / SECOND);

/// What the methods of people who log in stand on.
#[derive(Clone, Debug)]
pub struct People {
    /// Lets them in.
    pub logins: Arc<Logins>,
    /// Their sessions.
    pub sessions: Arc<Sessions>,
    /// Makes service tokens.
    pub lender: Arc<Lender>,
    /// Which tries to log in are looked at.
    pub lockout: Arc<Lockout>,
    /// Where they belong.
    pub members: Arc<Records<Member>>,
}

/// The method is for people who have logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this takes the access token of somebody who has logged in")]
pub(in crate::api) struct SessionRequired;

impl Fault for SessionRequired {
    fn reason(&self) -> Reason {
        Reason::SessionRequired
    }
}

/// Who logged in, and the session.
pub(in crate::api) fn person(caller: &Caller) -> Result<(&str, &str), SessionRequired> {
    match (caller.user(), &caller.session) {
        (Some(user), Some(session)) => Ok((user, session)),
        _ => Err(SessionRequired),
    }
}

impl AuthApi {
    pub(super) async fn let_in(
        &self,
        request: Request<v1::LoginRequest>,
    ) -> Result<Response<v1::LoginResponse>, Status> {
        let from = peer(request.extensions());
        let v1::LoginRequest { address, password, tenant_id, code } = request.into_inner();
        let password = SecretString::from(password);
        required("address", &address)?;
        required("password", password.expose_secret())?;
        let attempt = Attempt {
            address: &address,
            password: &password,
            tenant: tenant_id.as_deref(),
            code: &code,
            from,
        };
        let entered = self.people.logins.log_in(attempt).await.map_err(|error| from_fault(&error))?;
        let session = entered.opened.session.clone();
        Ok(Response::new(v1::LoginResponse {
            tokens: Some(tokens(&entered.opened)),
            session_id: session.id,
            user_id: session.user,
            membership: Some(membership(entered.member)),
            other_memberships: entered.others.into_iter().map(membership).collect(),
        }))
    }

    pub(super) async fn refreshed(
        &self,
        request: Request<v1::RefreshTokenRequest>,
    ) -> Result<Response<v1::RefreshTokenResponse>, Status> {
        let network = network(&request);
        let token = SecretString::from(request.into_inner().refresh_token);
        required("refresh_token", token.expose_secret())?;
        let opened = self.people.sessions.refresh(&token, &network).await;
        let opened = opened.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RefreshTokenResponse { tokens: Some(tokens(&opened)) }))
    }

    pub(super) async fn let_out(
        &self,
        request: Request<v1::LogoutRequest>,
    ) -> Result<Response<v1::LogoutResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let (user, session) = person(caller).map_err(|error| from_fault(&error))?;
        if request.get_ref().all {
            let ended = self.people.sessions.end_all_of(user, None).await;
            ended.map_err(|error| from_fault(&error))?;
        } else {
            self.people.sessions.end(user, session).await.map_err(|error| from_fault(&error))?;
        }
        Ok(Response::new(v1::LogoutResponse {}))
    }

    pub(super) async fn own_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let (user, current) = person(caller).map_err(|error| from_fault(&error))?;
        let sessions = self.people.sessions.list(user).await.map_err(|error| from_fault(&error))?;
        let sessions = sessions.into_iter().map(|session| message(session, current)).collect();
        Ok(Response::new(v1::ListSessionsResponse { sessions }))
    }

    pub(super) async fn end_own_session(
        &self,
        request: Request<v1::EndSessionRequest>,
    ) -> Result<Response<v1::EndSessionResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let (user, _) = person(caller).map_err(|error| from_fault(&error))?;
        let id = &request.get_ref().id;
        required("id", id)?;
        self.people.sessions.end(user, id).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::EndSessionResponse {}))
    }

    pub(super) async fn another_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::ChangePasswordResponse>, Status> {
        let from = peer(request.extensions());
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let (user, session) = person(&caller).map_err(|error| from_fault(&error))?;
        let v1::ChangePasswordRequest { old_password, new_password } = request.into_inner();
        let (old, new) = (SecretString::from(old_password), SecretString::from(new_password));
        required("old_password", old.expose_secret())?;
        required("new_password", new.expose_secret())?;
        let changed = self.people.logins.change_password((user, session, from), &old, &new).await;
        changed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ChangePasswordResponse {}))
    }

    pub(super) async fn unlocked(
        &self,
        request: Request<v1::UnlockWithCodeRequest>,
    ) -> Result<Response<v1::UnlockWithCodeResponse>, Status> {
        let from = peer(request.extensions());
        let code = &request.get_ref().code;
        required("code", code)?;
        self.people.logins.unlock(code, from).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::UnlockWithCodeResponse {}))
    }

    pub(super) fn service_token(
        &self,
        request: Request<v1::CreateServiceTokenRequest>,
    ) -> Result<Response<v1::CreateServiceTokenResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let v1::CreateServiceTokenRequest { permissions, lifetime } = request.into_inner();
        let lifetime = lifetime.map_or(LIFETIME, |lifetime| micros(&lifetime));
        let lent = self.people.lender.lend(&caller, &permissions, lifetime);
        let lent = lent.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::CreateServiceTokenResponse {
            token: lent.token.expose_secret().to_owned(),
            expire_time: Some(to_message(lent.expires_at)),
        }))
    }

    /// The role of a caller; empty: it is no person.
    pub(super) async fn role(&self, caller: &Caller) -> Result<String, Status> {
        let id = match &caller.kind {
            CallerKind::Member { tenant, user } => Member::id_of(tenant, user),
            CallerKind::Staff { user } => Member::id_of("", user),
            CallerKind::Tenant(_) | CallerKind::ServiceAccount | CallerKind::Operator => {
                return Ok(String::new());
            }
        };
        let member = self.people.members.get(&id).await.map_err(|error| from_fault(&error))?;
        Ok(member.map(|kept| kept.record.role).unwrap_or_default())
    }
}

/// The network that a request comes from; empty: it did not come through the port.
fn network<T>(request: &Request<T>) -> String {
    peer(request.extensions()).map(network_of).unwrap_or_default()
}

fn required(field: &'static str, value: &str) -> Result<(), Status> {
    if value.is_empty() { Err(from_fault(&Invalid::field(field, "is required"))) } else { Ok(()) }
}

/// A lifetime in microseconds; what cannot be one comes out as one that cannot be.
fn micros(lifetime: &Duration) -> i64 {
    let seconds = lifetime.seconds.clamp(-SECONDS_MAX, SECONDS_MAX).saturating_mul(SECOND);
    // What is finer than a microsecond is no whole second either.
    let nanos = i64::from(lifetime.nanos);
    let finer = i64::from(nanos % NANOS_IN_MICRO != 0);
    seconds.saturating_add(nanos / NANOS_IN_MICRO).saturating_add(finer)
}

fn tokens(opened: &Opened) -> v1::SessionTokens {
    v1::SessionTokens {
        access_token: opened.access.expose_secret().to_owned(),
        access_expire_time: Some(to_message(opened.access_until)),
        refresh_token: opened.refresh.expose_secret().to_owned(),
        refresh_expire_time: Some(to_message(opened.session.expires_at)),
    }
}

fn membership(member: Member) -> v1::Membership {
    v1::Membership { tenant_id: member.tenant, role: member.role }
}

fn message(session: Session, current: &str) -> v1::Session {
    v1::Session {
        is_current: session.id == current,
        id: session.id,
        tenant_id: session.tenant,
        create_time: Some(to_message(session.created_at)),
        last_use_time: Some(to_message(session.last_used_at)),
        network: session.network,
        expire_time: Some(to_message(session.expires_at)),
    }
}
