//! `AuthService`: each group of methods has a file of its own.

mod keys;
pub(in crate::api) mod roles;

use std::sync::Arc;

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::layers::auth::caller;
use crate::api::page::Pages;
use crate::api::resolve::Resolver;
use crate::api::rpc::auth_service_server::AuthService;
use crate::api::status::from_fault;
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::keys::Keys;
use crate::identity::members::Members;
use crate::identity::own_roles::OwnRoles;
use crate::identity::requests::Requests;
use crate::identity::user::User;
use crate::store::records::Records;

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
    /// Who belongs where.
    pub members: Arc<Members>,
    /// The roles that tenants make.
    pub own_roles: Arc<OwnRoles>,
    /// The people.
    pub users: Arc<Records<User>>,
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

    async fn get_api_key(
        &self,
        request: Request<v1::GetApiKeyRequest>,
    ) -> Result<Response<v1::GetApiKeyResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.one_key(&caller, &request).await.map(Response::new)
    }

    async fn update_api_key(
        &self,
        request: Request<v1::UpdateApiKeyRequest>,
    ) -> Result<Response<v1::UpdateApiKeyResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.change_key(&caller, request).await.map(Response::new)
    }

    async fn rotate_api_key(
        &self,
        request: Request<v1::RotateApiKeyRequest>,
    ) -> Result<Response<v1::RotateApiKeyResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.rotate_key(&caller, &request).await.map(Response::new)
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let (caller, request) = parts(request)?;
        self.end_key(&caller, &request).await.map(Response::new)
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        self.members_page(request).await
    }

    async fn change_member_role(
        &self,
        request: Request<v1::ChangeMemberRoleRequest>,
    ) -> Result<Response<v1::ChangeMemberRoleResponse>, Status> {
        self.member_role(request).await
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        self.end_member(request).await
    }

    async fn list_roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        self.roles(request).await
    }

    async fn create_role(
        &self,
        request: Request<v1::CreateRoleRequest>,
    ) -> Result<Response<v1::CreateRoleResponse>, Status> {
        self.new_role(request).await
    }

    async fn update_role(
        &self,
        request: Request<v1::UpdateRoleRequest>,
    ) -> Result<Response<v1::UpdateRoleResponse>, Status> {
        self.other_role(request).await
    }

    async fn delete_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        self.end_role(request).await
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
        Ok(Response::new(v1::WhoAmIResponse {
            kind: kind.into(),
            tenant_id: caller.tenant().map(ToString::to_string).unwrap_or_default(),
            api_key_id: caller.key_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            user_id: caller.user().map(ToString::to_string).unwrap_or_default(),
            permissions: caller.permissions.names(),
        }))
    }
}

/// Who calls, and what it asks for.
fn parts<T>(request: Request<T>) -> Result<(Arc<Caller>, T), Status> {
    let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
    Ok((caller, request.into_inner()))
}
