//! `AuthService`: the keys, and people who log in.

pub(in crate::api) mod jwks;
pub mod session;

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::auth::session::People;
use crate::api::convert::time::{from_message, to_message};
use crate::api::layers::auth::caller;
use crate::api::once::{Call, once};
use crate::api::page::{List, Pages, page_size};
use crate::api::resolve::Resolver;
use crate::api::rpc::auth_service_server::AuthService;
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::api_key::{ApiKey, KeyKind};
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::keys::{Keys, KeysError, NewKey};
use crate::identity::permission::Permission;
use crate::identity::requests::Requests;
use crate::identity::signing_keys::SigningKeys;

/// `AuthService` over the keys.
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
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let request = request.into_inner();
        let (kind, tenant) = self.owner(&caller, &request).await?;
        let expires_at = request.expire_time.map(|moment| from_message("expire_time", moment)).transpose();
        let expires_at = expires_at.map_err(|error| from_fault(&error))?;
        let (request_id, method) = (request.request_id.as_str(), "CreateApiKey");
        let call = Call { caller: &caller, method, request_id, request: &request };
        let answer = once(&self.requests, call, without_secret, |seed| {
            let (name, permissions) = (request.name.clone(), request.permissions.clone());
            let new = NewKey { seed, kind, tenant, name, expires_at, permissions };
            async {
                let (key, secret) = self.keys.create(&caller, new).await?;
                let secret = secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default();
                Ok::<_, KeysError>(v1::CreateApiKeyResponse { api_key: Some(message(key)), secret })
            }
        });
        answer.await.map(Response::new)
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = if asked.tenant_id.is_empty()
            && matches!(caller.kind, CallerKind::Operator | CallerKind::Staff { .. })
        {
            None
        } else {
            let tenant = self.resolver.tenant(caller, &asked.tenant_id).await;
            Some(tenant.map_err(|error| from_fault(&error))?.id.to_string())
        };
        let list = List { method: "ListApiKeys", tenant: tenant.as_deref().unwrap_or_default(), filter: &[] };
        let size = page_size(asked.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(list, &asked.page_token).map_err(|error| from_fault(&error))?;
        let page = self.keys.list(tenant.as_deref(), after.as_ref(), size).await;
        let page = page.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ListApiKeysResponse {
            api_keys: page.records.into_iter().map(message).collect(),
            next_page_token: self.pages.seal_place(list, page.next.as_ref()),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let id = &request.get_ref().id;
        if id.is_empty() {
            return Err(from_fault(&Invalid::field("id", "is required")));
        }
        let key = self.keys.revoke(caller, id).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RevokeApiKeyResponse { api_key: Some(message(key)) }))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
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

impl AuthApi {
    /// For whom a new key shall speak.
    async fn owner(
        &self,
        caller: &Caller,
        request: &v1::CreateApiKeyRequest,
    ) -> Result<(KeyKind, Option<String>), Status> {
        match v1::ApiKeyKind::try_from(request.kind) {
            Ok(v1::ApiKeyKind::Unspecified | v1::ApiKeyKind::Tenant) => {
                let tenant = self.resolver.tenant(caller, &request.tenant_id).await;
                let tenant = tenant.map_err(|error| from_fault(&error))?;
                Ok((KeyKind::Tenant, Some(tenant.id.to_string())))
            }
            Ok(v1::ApiKeyKind::ServiceAccount) => {
                caller.require(Permission::UsageTrackAny).map_err(|error| from_fault(&error))?;
                if !request.tenant_id.is_empty() {
                    let description = "must be empty for a service account";
                    return Err(from_fault(&Invalid::field("tenant_id", description)));
                }
                Ok((KeyKind::ServiceAccount, None))
            }
            Err(_) => {
                let description = format!("{} is none that can be chosen", request.kind);
                Err(from_fault(&Invalid::field("kind", description)))
            }
        }
    }
}

fn without_secret(answer: &mut v1::CreateApiKeyResponse) {
    answer.secret.clear();
}

fn message(key: ApiKey) -> v1::ApiKey {
    let kind = match key.kind {
        KeyKind::Tenant => v1::ApiKeyKind::Tenant,
        KeyKind::ServiceAccount => v1::ApiKeyKind::ServiceAccount,
    };
    v1::ApiKey {
        id: key.id,
        kind: kind.into(),
        tenant_id: key.tenant.unwrap_or_default(),
        name: key.name,
        permissions: key.permissions.names(),
        create_time: Some(to_message(key.created_at)),
        expire_time: key.expires_at.map(to_message),
        revoke_time: key.revoked_at.map(to_message),
    }
}
