//! `AdminService`: the tenants, the jobs, and the keys that tokens are signed with.

mod audit;
mod jobs;
mod signing_keys;
mod staff;
mod tenants;
mod users;

use std::sync::Arc;

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::convert::time::to_message;
use crate::api::layers::auth::caller;
use crate::api::once::{Call, once, whole};
use crate::api::page::Pages;
use crate::api::resolve::Resolver;
use crate::api::rpc::admin_service_server::AdminService;
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::audit::{Audit, note};
use crate::identity::departures::Departures;
use crate::identity::holdings::Holdings;
use crate::identity::lockout::Lockout;
use crate::identity::members::Members;
use crate::identity::requests::Requests;
use crate::identity::sessions::Sessions;
use crate::identity::signing_keys::SigningKeys;
use crate::identity::tenant::TenantState;
use crate::identity::tenants::{NewTenant, Subscriber, Tenants, TenantsError};
use crate::identity::user::User;
use crate::jobs::runner::{JobsError, Runner};
use crate::store::StoreError;
use crate::store::records::Records;

/// `AdminService` over the tenants, the jobs and the signing keys.
#[derive(Clone, Debug)]
pub struct AdminApi {
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// The jobs.
    pub jobs: Arc<Runner>,
    /// The requests that were made before.
    pub requests: Arc<Requests>,
    /// The tokens of pages.
    pub pages: Pages,
    /// Who belongs where.
    pub members: Arc<Members>,
    /// The people.
    pub users: Arc<Records<User>>,
    /// The audit log.
    pub audit: Arc<Audit>,
    /// Finds the tenants that requests are about.
    pub resolver: Arc<Resolver>,
    /// The keys that tokens are signed with.
    pub signing_keys: Arc<SigningKeys>,
    /// What is held on tenants.
    pub holdings: Holdings,
    /// The end of people.
    pub departures: Arc<Departures>,
    /// The sessions of people.
    pub sessions: Arc<Sessions>,
    /// Which tries to log in are looked at.
    pub lockout: Arc<Lockout>,
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn create_tenant(
        &self,
        request: Request<v1::CreateTenantRequest>,
    ) -> Result<Response<v1::CreateTenantResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let request = &request.into_inner();
        let (request_id, method) = (request.request_id.as_str(), "CreateTenant");
        let call = Call { caller: &caller, method, request_id, request };
        let answer = once(&self.requests, call, whole, |seed| async move {
            let new = NewTenant {
                seed,
                id: request.tenant_id.clone(),
                name: request.name.clone(),
                plan: request.plan.clone(),
                time_zone: request.time_zone.clone(),
            };
            let tenant = self.tenants.create(new).await?;
            Ok::<_, TenantsError>(v1::CreateTenantResponse { tenant: Some(message(tenant)) })
        });
        answer.await.map(Response::new)
    }

    async fn get_tenant(
        &self,
        request: Request<v1::GetTenantRequest>,
    ) -> Result<Response<v1::GetTenantResponse>, Status> {
        let id = named(&request.get_ref().tenant_id)?;
        let tenant = self.tenants.get(id).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::GetTenantResponse { tenant: Some(message(tenant)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsResponse>, Status> {
        self.page_of_tenants(request.get_ref()).await.map(Response::new)
    }

    async fn update_tenant(
        &self,
        request: Request<v1::UpdateTenantRequest>,
    ) -> Result<Response<v1::UpdateTenantResponse>, Status> {
        self.change_tenant(request.into_inner()).await.map(Response::new)
    }

    async fn delete_tenant(
        &self,
        request: Request<v1::DeleteTenantRequest>,
    ) -> Result<Response<v1::DeleteTenantResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        self.end_tenant(&caller, request.get_ref()).await.map(Response::new)
    }

    async fn undelete_tenant(
        &self,
        request: Request<v1::UndeleteTenantRequest>,
    ) -> Result<Response<v1::UndeleteTenantResponse>, Status> {
        let back = self.tenants.undelete(named(&request.get_ref().tenant_id)?).await;
        let tenant = back.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::UndeleteTenantResponse { tenant: Some(message(tenant)) }))
    }

    type ExportTenantStream = tenants::Export;

    async fn export_tenant(
        &self,
        request: Request<v1::ExportTenantRequest>,
    ) -> Result<Response<Self::ExportTenantStream>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        self.export(&caller, request.get_ref()).await.map(Response::new)
    }

    async fn suspend_tenant(
        &self,
        request: Request<v1::SuspendTenantRequest>,
    ) -> Result<Response<v1::SuspendTenantResponse>, Status> {
        let request = request.get_ref();
        let suspended = self.tenants.suspend(named(&request.tenant_id)?, &request.reason).await;
        let tenant = suspended.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::SuspendTenantResponse { tenant: Some(message(tenant)) }))
    }

    async fn resume_tenant(
        &self,
        request: Request<v1::ResumeTenantRequest>,
    ) -> Result<Response<v1::ResumeTenantResponse>, Status> {
        let resumed = self.tenants.resume(named(&request.get_ref().tenant_id)?).await;
        let tenant = resumed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ResumeTenantResponse { tenant: Some(message(tenant)) }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        self.users_page(request).await
    }

    async fn get_user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        self.user(request).await
    }

    async fn suspend_user(
        &self,
        request: Request<v1::SuspendUserRequest>,
    ) -> Result<Response<v1::SuspendUserResponse>, Status> {
        self.suspend(request).await
    }

    async fn resume_user(
        &self,
        request: Request<v1::ResumeUserRequest>,
    ) -> Result<Response<v1::ResumeUserResponse>, Status> {
        self.resume(request).await
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        self.delete(request.get_ref()).await.map(Response::new)
    }

    async fn undelete_user(
        &self,
        request: Request<v1::UndeleteUserRequest>,
    ) -> Result<Response<v1::UndeleteUserResponse>, Status> {
        self.undelete(request.get_ref()).await.map(Response::new)
    }

    async fn unlock_user(
        &self,
        request: Request<v1::UnlockUserRequest>,
    ) -> Result<Response<v1::UnlockUserResponse>, Status> {
        self.unlock(request).await
    }

    async fn add_staff(
        &self,
        request: Request<v1::AddStaffRequest>,
    ) -> Result<Response<v1::AddStaffResponse>, Status> {
        self.new_staff(request).await
    }

    async fn list_staff(
        &self,
        request: Request<v1::ListStaffRequest>,
    ) -> Result<Response<v1::ListStaffResponse>, Status> {
        self.staff(request).await
    }

    async fn remove_staff(
        &self,
        request: Request<v1::RemoveStaffRequest>,
    ) -> Result<Response<v1::RemoveStaffResponse>, Status> {
        self.end_staff(request).await
    }

    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        self.audit_entries(request).await
    }

    async fn verify_audit_log(
        &self,
        request: Request<v1::VerifyAuditLogRequest>,
    ) -> Result<Response<v1::VerifyAuditLogResponse>, Status> {
        self.audit_log(request).await
    }

    async fn list_jobs(
        &self,
        _request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let jobs = self.jobs.list().await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ListJobsResponse { jobs: jobs.into_iter().map(jobs::job).collect() }))
    }

    async fn run_job(
        &self,
        request: Request<v1::RunJobRequest>,
    ) -> Result<Response<v1::RunJobResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let request = &request.into_inner();
        if request.name.is_empty() {
            return Err(from_fault(&Invalid::field("name", "is required")));
        }
        let (request_id, method) = (request.request_id.as_str(), "RunJob");
        let call = Call { caller: &caller, method, request_id, request };
        let answer = once(&self.requests, call, whole, |_| async move {
            note::target("job", &request.name);
            let run = self.jobs.start(&request.name).await?;
            Ok::<_, JobsError>(v1::RunJobResponse { run: Some(jobs::run(run)) })
        });
        answer.await.map(Response::new)
    }

    async fn rotate_signing_key(
        &self,
        request: Request<v1::RotateSigningKeyRequest>,
    ) -> Result<Response<v1::RotateSigningKeyResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let request = &request.into_inner();
        let (request_id, method) = (request.request_id.as_str(), "RotateSigningKey");
        let call = Call { caller: &caller, method, request_id, request };
        let answer = once(&self.requests, call, whole, |_| async move {
            self.signing_keys.rotate().await?;
            let keys = self.signing_keys.published().into_iter().map(signing_keys::signing_key);
            Ok::<_, StoreError>(v1::RotateSigningKeyResponse { signing_keys: keys.collect() })
        });
        answer.await.map(Response::new)
    }
}

fn named(tenant_id: &str) -> Result<&str, Status> {
    if tenant_id.is_empty() {
        return Err(from_fault(&Invalid::field("tenant_id", "is required")));
    }
    Ok(tenant_id)
}

fn message(subscriber: Subscriber) -> v1::Tenant {
    let Subscriber { tenant, subscription } = subscriber;
    let state = match tenant.standing() {
        TenantState::Active => v1::TenantState::Active,
        TenantState::Suspended => v1::TenantState::Suspended,
        TenantState::Deleted => v1::TenantState::Deleted,
    };
    v1::Tenant {
        id: tenant.id,
        name: tenant.name,
        state: state.into(),
        plan: subscription.plan,
        time_zone: tenant.time_zone,
        create_time: Some(to_message(tenant.created_at)),
        suspend_reason: tenant.suspend_reason,
        delete_time: tenant.deletion.map(|deletion| to_message(deletion.at)),
        end_time: tenant.deletion.map(|deletion| to_message(deletion.ends_at)),
    }
}
