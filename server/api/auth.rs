//! `AuthService`: each group of methods has a file of its own.

pub(in crate::api) mod jwks;
mod keys;
mod people;
pub(in crate::api) mod roles;
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
use crate::identity::accounts::Accounts;
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::keyring::Keyring;
use crate::identity::keys::Keys;
use crate::identity::members::Members;
use crate::identity::own_roles::OwnRoles;
use crate::identity::requests::Requests;
use crate::identity::signing_keys::SigningKeys;
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
    /// The keys that tokens are signed with.
    pub signing_keys: Arc<SigningKeys>,
    /// People who log in.
    pub people: People,
    /// What people do with their accounts.
    pub accounts: Arc<Accounts>,
    /// Knows a caller where a method takes none.
    pub keyring: Arc<Keyring>,
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
        let role = self.role(&caller).await?;
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
        self.service_token(request)
    }

    async fn sign_up(
        &self,
        request: Request<v1::SignUpRequest>,
    ) -> Result<Response<v1::SignUpResponse>, Status> {
        self.account(request).await
    }

    async fn confirm_address(
        &self,
        request: Request<v1::ConfirmAddressRequest>,
    ) -> Result<Response<v1::ConfirmAddressResponse>, Status> {
        self.confirmed_address(request).await
    }

    async fn resend_confirmation(
        &self,
        request: Request<v1::ResendConfirmationRequest>,
    ) -> Result<Response<v1::ResendConfirmationResponse>, Status> {
        self.another_confirmation(request).await
    }

    async fn request_password_reset(
        &self,
        request: Request<v1::RequestPasswordResetRequest>,
    ) -> Result<Response<v1::RequestPasswordResetResponse>, Status> {
        self.reset_code(request).await
    }

    async fn reset_password(
        &self,
        request: Request<v1::ResetPasswordRequest>,
    ) -> Result<Response<v1::ResetPasswordResponse>, Status> {
        self.other_password(request).await
    }

    async fn unlock_with_code(
        &self,
        request: Request<v1::UnlockWithCodeRequest>,
    ) -> Result<Response<v1::UnlockWithCodeResponse>, Status> {
        self.unlocked(request).await
    }

    async fn request_address_change(
        &self,
        request: Request<v1::RequestAddressChangeRequest>,
    ) -> Result<Response<v1::RequestAddressChangeResponse>, Status> {
        self.address_code(request).await
    }

    async fn confirm_address_change(
        &self,
        request: Request<v1::ConfirmAddressChangeRequest>,
    ) -> Result<Response<v1::ConfirmAddressChangeResponse>, Status> {
        self.other_address(request).await
    }

    async fn invite_member(
        &self,
        request: Request<v1::InviteMemberRequest>,
    ) -> Result<Response<v1::InviteMemberResponse>, Status> {
        self.new_invitation(request).await
    }

    async fn list_invitations(
        &self,
        request: Request<v1::ListInvitationsRequest>,
    ) -> Result<Response<v1::ListInvitationsResponse>, Status> {
        self.invitations_page(request).await
    }

    async fn revoke_invitation(
        &self,
        request: Request<v1::RevokeInvitationRequest>,
    ) -> Result<Response<v1::RevokeInvitationResponse>, Status> {
        self.end_invitation(request).await
    }

    async fn accept_invitation(
        &self,
        request: Request<v1::AcceptInvitationRequest>,
    ) -> Result<Response<v1::AcceptInvitationResponse>, Status> {
        self.accepted_invitation(request).await
    }

    async fn begin_second_factor(
        &self,
        request: Request<v1::BeginSecondFactorRequest>,
    ) -> Result<Response<v1::BeginSecondFactorResponse>, Status> {
        self.new_second_factor(request).await
    }

    async fn confirm_second_factor(
        &self,
        request: Request<v1::ConfirmSecondFactorRequest>,
    ) -> Result<Response<v1::ConfirmSecondFactorResponse>, Status> {
        self.confirmed_second_factor(request).await
    }

    async fn remove_second_factor(
        &self,
        request: Request<v1::RemoveSecondFactorRequest>,
    ) -> Result<Response<v1::RemoveSecondFactorResponse>, Status> {
        self.end_second_factor(request).await
    }
}

/// Who calls, and what it asks for.
fn parts<T>(request: Request<T>) -> Result<(Arc<Caller>, T), Status> {
    let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
    Ok((caller, request.into_inner()))
}
