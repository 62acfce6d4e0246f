//! `AuthService`: each group of methods has a file of its own.

mod keys;

pub(in crate::api) mod jwks;
pub mod session;

use std::sync::Arc;

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::auth::session::People;
use crate::api::layers::auth::caller;
use crate::api::page::Pages;
use crate::api::resolve::Resolver;
use crate::api::rpc::auth_service_server::AuthService;
use crate::api::status::from_fault;
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::keys::Keys;
use crate::identity::requests::Requests;
use crate::identity::signing_keys::SigningKeys;

/// `AuthService` over the rooms of identity.
#[derive(Clone, Debug)]
pub struct AuthApi {
    /// The keys.
    pub keys: Arc<Keys>,
    /// Finds the tenants that requests are about.
    pub resolver: Arc<Resolver>,
    /// The requests that were made before.
    pub requests: Arc<Requests>,
    /// The tokens of pages.
    pub pages: Pages,
    /// The keys that tokens are signed with.
    pub signing_keys: Arc<SigningKeys>,
    /// People who log in.
    pub people: People,
}

#[tonic::async_trait]
impl AuthService for AuthApi {
    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.new_key(&caller, request).await.map(Response::new)
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.page_of_keys(&caller, &request).await.map(Response::new)
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.end_key(&caller, &request).await.map(Response::new)
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let (caller, _) = parts(request)?;
        let kind = match caller.kind {
            CallerKind::Tenant(_) => v1::CallerKind::Tenant,
            CallerKind::ServiceAccount => v1::CallerKind::ServiceAccount,
            CallerKind::Operator => v1::CallerKind::Operator,
            CallerKind::Member { .. } => v1::CallerKind::Member,
            CallerKind::Staff { .. } => v1::CallerKind::Staff,
        };
        let role = self.role(caller).await?;
        Ok(Response::new(v1::WhoAmIResponse {
            role,
            session_id: caller.session.as_ref().map(ToString::to_string).unwrap_or_default(),
            kind: kind.into(),
            tenant_id: caller.tenant().map(ToString::to_string).unwrap_or_default(),
            api_key_id: caller.key_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            user_id: caller.user().map(ToString::to_string).unwrap_or_default(),
            permissions: caller.permissions.names(),
        }))
    }

    async fn get_jwks(
        &self,
        _request: Request<v1::GetJwksRequest>,
    ) -> Result<Response<v1::GetJwksResponse>, Status> {
        let keys = self.signing_keys.published().into_iter().map(jwks::key).collect();
        Ok(Response::new(v1::GetJwksResponse { keys }))
    }

    async fn login(&self, request: Request<v1::LoginRequest>) -> Result<Response<v1::LoginResponse>, Status> {
        self.let_in(request).await
    }

    async fn refresh_token(
        &self,
        request: Request<v1::RefreshTokenRequest>,
    ) -> Result<Response<v1::RefreshTokenResponse>, Status> {
        self.refreshed(request).await
    }

    async fn logout(
        &self,
        request: Request<v1::LogoutRequest>,
    ) -> Result<Response<v1::LogoutResponse>, Status> {
        self.let_out(request).await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        self.own_sessions(request).await
    }

    async fn end_session(
        &self,
        request: Request<v1::EndSessionRequest>,
    ) -> Result<Response<v1::EndSessionResponse>, Status> {
        self.end_own_session(request).await
    }

    async fn change_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::ChangePasswordResponse>, Status> {
        self.another_password(request).await
    }

    async fn create_service_token(
        &self,
        request: Request<v1::CreateServiceTokenRequest>,
    ) -> Result<Response<v1::CreateServiceTokenResponse>, Status> {
        self.service_token(request).await
    }
}

/// Who calls, and what it asks for.
fn parts<T>(request: Request<T>) -> Result<(Arc<Caller>, T), Status> {
    let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
    Ok((caller, request.into_inner()))
}
