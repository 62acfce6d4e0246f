//! `AuthService`: people and their accounts.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::auth::AuthApi;
use crate::api::convert::time::to_message;
use crate::api::layers::auth::{authenticate, caller};
use crate::api::once::{Call, once, whole};
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::accounts::invitation::{Invitation, InvitationState};
use crate::identity::accounts::{AccountsError, Guest, Inviting, SigningUp};
use crate::identity::keyring::CredentialError;

impl AuthApi {
    pub(super) async fn account(
        &self,
        request: Request<v1::SignUpRequest>,
    ) -> Result<Response<v1::SignUpResponse>, Status> {
        let asked = request.into_inner();
        let signing_up = SigningUp {
            address: &asked.address,
            password: SecretString::from(asked.password),
            name: &asked.name,
            tenant_name: &asked.tenant_name,
            plan: &asked.plan,
            request_id: &asked.request_id,
        };
        let pending_plan = self.accounts.sign_up(signing_up).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::SignUpResponse { pending_plan }))
    }

    pub(super) async fn confirmed_address(
        &self,
        request: Request<v1::ConfirmAddressRequest>,
    ) -> Result<Response<v1::ConfirmAddressResponse>, Status> {
        let v1::ConfirmAddressRequest { code, password } = request.into_inner();
        let confirmed = self.accounts.confirm(&code, &SecretString::from(password)).await;
        confirmed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ConfirmAddressResponse {}))
    }

    pub(super) async fn another_confirmation(
        &self,
        request: Request<v1::ResendConfirmationRequest>,
    ) -> Result<Response<v1::ResendConfirmationResponse>, Status> {
        let asked = self.accounts.resend_confirmation(&request.get_ref().address).await;
        asked.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ResendConfirmationResponse {}))
    }

    pub(super) async fn reset_code(
        &self,
        request: Request<v1::RequestPasswordResetRequest>,
    ) -> Result<Response<v1::RequestPasswordResetResponse>, Status> {
        let asked = self.accounts.request_reset(&request.get_ref().address).await;
        asked.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RequestPasswordResetResponse {}))
    }

    pub(super) async fn other_password(
        &self,
        request: Request<v1::ResetPasswordRequest>,
    ) -> Result<Response<v1::ResetPasswordResponse>, Status> {
        let asked = request.into_inner();
        let password = SecretString::from(asked.password);
        let user = self.accounts.reset(&asked.code, &password).await.map_err(|error| from_fault(&error))?;
        // Sessions under the old password are over by themselves; this tells those who remember them.
        self.people.sessions.end_all_of(&user.id, None).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ResetPasswordResponse {}))
    }

    pub(super) async fn address_code(
        &self,
        request: Request<v1::RequestAddressChangeRequest>,
    ) -> Result<Response<v1::RequestAddressChangeResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let asked = request.into_inner();
        let password = SecretString::from(asked.password);
        let asked = self.accounts.request_address(&caller, &password, &asked.address).await;
        asked.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RequestAddressChangeResponse {}))
    }

    pub(super) async fn other_address(
        &self,
        request: Request<v1::ConfirmAddressChangeRequest>,
    ) -> Result<Response<v1::ConfirmAddressChangeResponse>, Status> {
        let changed = self.accounts.confirm_change(&request.get_ref().code).await;
        changed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ConfirmAddressChangeResponse {}))
    }

    pub(super) async fn new_invitation(
        &self,
        request: Request<v1::InviteMemberRequest>,
    ) -> Result<Response<v1::InviteMemberResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let request = &request.into_inner();
        let tenant = &self.tenant_of(&caller, &request.tenant_id).await?;
        let (request_id, method) = (request.request_id.as_str(), "InviteMember");
        let call = Call { caller: &caller, method, request_id, request };
        let answer = once(&self.requests, call, whole, |seed| {
            let caller = Arc::clone(&caller);
            async move {
                let new = Inviting { seed, tenant, address: &request.address, role: &request.role };
                let invitation = self.accounts.invite(&caller, new).await?;
                Ok::<_, AccountsError>(v1::InviteMemberResponse { invitation: Some(message(invitation)) })
            }
        });
        answer.await.map(Response::new)
    }

    pub(super) async fn invitations_page(
        &self,
        request: Request<v1::ListInvitationsRequest>,
    ) -> Result<Response<v1::ListInvitationsResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        let list = List { method: "ListInvitations", tenant: &tenant, filter: &[] };
        let size = page_size(asked.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(list, &asked.page_token).map_err(|error| from_fault(&error))?;
        let page = self.accounts.list_invitations(&tenant, after.as_ref(), size).await;
        let page = page.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ListInvitationsResponse {
            invitations: page.records.into_iter().map(message).collect(),
            next_page_token: self.pages.seal_place(list, page.next.as_ref()),
        }))
    }

    pub(super) async fn end_invitation(
        &self,
        request: Request<v1::RevokeInvitationRequest>,
    ) -> Result<Response<v1::RevokeInvitationResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        if asked.id.is_empty() {
            return Err(from_fault(&Invalid::field("id", "is required")));
        }
        let revoked = self.accounts.revoke_invitation(&tenant, &asked.id).await;
        let invitation = revoked.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RevokeInvitationResponse { invitation: Some(message(invitation)) }))
    }

    pub(super) async fn accepted_invitation(
        &self,
        request: Request<v1::AcceptInvitationRequest>,
    ) -> Result<Response<v1::AcceptInvitationResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let caller = match authenticate(&self.keyring, &headers, request.extensions()).await {
            Ok(caller) => Some(caller),
            Err(CredentialError::Store(error)) => return Err(from_fault(&error)),
            // The method takes none: one that is not good is as none.
            Err(_) => None,
        };
        let asked = request.into_inner();
        let password = Some(asked.password).filter(|given| !given.is_empty()).map(SecretString::from);
        let user = caller.as_ref().and_then(|caller| caller.user()).map(AsRef::as_ref);
        let guest = Guest { code: &asked.code, user, name: &asked.name, password };
        let member = self.accounts.accept(guest).await.map_err(|error| from_fault(&error))?;
        let (tenant_id, user_id, role) = (member.tenant, member.user, member.role);
        Ok(Response::new(v1::AcceptInvitationResponse { tenant_id, user_id, role }))
    }

    pub(super) async fn new_second_factor(
        &self,
        request: Request<v1::BeginSecondFactorRequest>,
    ) -> Result<Response<v1::BeginSecondFactorResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let password = SecretString::from(request.into_inner().password);
        let setup = self.accounts.begin_second_factor(&caller, &password).await;
        let setup = setup.map_err(|error| from_fault(&error))?;
        let shown = |secret: &SecretString| secret.expose_secret().to_owned();
        Ok(Response::new(v1::BeginSecondFactorResponse {
            secret: shown(&setup.secret),
            uri: shown(&setup.uri),
        }))
    }

    pub(super) async fn confirmed_second_factor(
        &self,
        request: Request<v1::ConfirmSecondFactorRequest>,
    ) -> Result<Response<v1::ConfirmSecondFactorResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let codes = self.accounts.confirm_second_factor(caller, &request.get_ref().code).await;
        let codes = codes.map_err(|error| from_fault(&error))?;
        let recovery_codes = codes.iter().map(|code| code.expose_secret().to_owned()).collect();
        Ok(Response::new(v1::ConfirmSecondFactorResponse { recovery_codes }))
    }

    pub(super) async fn end_second_factor(
        &self,
        request: Request<v1::RemoveSecondFactorRequest>,
    ) -> Result<Response<v1::RemoveSecondFactorResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let asked = request.into_inner();
        let password = SecretString::from(asked.password);
        let removed = self.accounts.remove_second_factor(&caller, &password, &asked.code).await;
        removed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RemoveSecondFactorResponse {}))
    }
}

fn message(invitation: Invitation) -> v1::Invitation {
    let state = match invitation.state {
        InvitationState::Open => v1::InvitationState::Open,
        InvitationState::Accepted => v1::InvitationState::Accepted,
        InvitationState::Revoked => v1::InvitationState::Revoked,
    };
    v1::Invitation {
        id: invitation.id,
        tenant_id: invitation.tenant,
        address: invitation.address.into(),
        role: invitation.role,
        user_id: invitation.by,
        state: state.into(),
        create_time: Some(to_message(invitation.created_at)),
        expire_time: Some(to_message(invitation.expires_at)),
    }
}
