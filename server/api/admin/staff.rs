//! `AdminService`: who works for this installation.

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::admin::AdminApi;
use crate::api::auth::roles::{messages, required};
use crate::api::layers::auth::caller;
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::identity::members::{By, MembersError};

/// The tenant whose members are the staff.
const STAFF: &str = "";
const LIST: List<'static> = List { method: "ListStaff", tenant: STAFF, filter: &[] };

impl AdminApi {
    pub(super) async fn new_staff(
        &self,
        request: Request<v1::AddStaffRequest>,
    ) -> Result<Response<v1::AddStaffResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let (user, role) = (required("user_id", &asked.user_id)?, required("role", &asked.role)?);
        let known = self.users.get(user).await.map_err(|error| from_fault(&error))?;
        if known.is_none_or(|known| known.record.deletion.is_some()) {
            return Err(from_fault(&MembersError::NotFound(user.to_owned())));
        }
        let member = self.members.join(By::Caller(caller), STAFF, user, role).await;
        let member = member.map_err(|error| from_fault(&error))?;
        let members = messages(&self.users, vec![member]).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::AddStaffResponse { member: members.into_iter().next() }))
    }

    pub(super) async fn staff(
        &self,
        request: Request<v1::ListStaffRequest>,
    ) -> Result<Response<v1::ListStaffResponse>, Status> {
        let request = request.get_ref();
        let size = page_size(request.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(LIST, &request.page_token).map_err(|error| from_fault(&error))?;
        let page = self.members.list(STAFF, after.as_ref(), size).await;
        let page = page.map_err(|error| from_fault(&error))?;
        let members = messages(&self.users, page.records).await.map_err(|error| from_fault(&error))?;
        let next_page_token = self.pages.seal_place(LIST, page.next.as_ref());
        Ok(Response::new(v1::ListStaffResponse { members, next_page_token }))
    }

    pub(super) async fn end_staff(
        &self,
        request: Request<v1::RemoveStaffRequest>,
    ) -> Result<Response<v1::RemoveStaffResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let user = required("user_id", &request.get_ref().user_id)?;
        let removed = self.members.remove(By::Caller(caller), STAFF, user).await;
        removed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RemoveStaffResponse {}))
    }
}
