//! `AdminService`: the people who can log in.

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::admin::AdminApi;
use crate::api::admin::tenants::{GRACE_DAYS, grace};
use crate::api::auth::roles::required;
use crate::api::convert::time::to_message;
use crate::api::layers::auth::caller;
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::fault::{Fault, Invalid, Reason};
use crate::identity::audit::note;
use crate::identity::user::{ADDRESS, AGE, User};
use crate::mail::address::Address;
use crate::store::Order;
use crate::store::records::Range;

const LIST: List<'static> = List { method: "ListUsers", tenant: "", filter: &[] };

/// There is no such person, or none of the caller's tenant.
#[derive(Debug, thiserror::Error)]
#[error("there is no user `{0}`")]
struct UserNotFound(String);

impl Fault for UserNotFound {
    fn reason(&self) -> Reason {
        Reason::UserNotFound
    }
}

impl AdminApi {
    pub(super) async fn users_page(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let asked = request.get_ref();
        let size = page_size(asked.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(LIST, &asked.page_token).map_err(|error| from_fault(&error))?;
        let range = Range { index: AGE, prefix: "", order: Order::Ascending, after: after.as_ref() };
        let page = self.users.page(range, size).await.map_err(|error| from_fault(&error))?;
        let next_page_token = self.pages.seal_place(LIST, page.next.as_ref());
        let users = page.records.into_iter().map(message).collect();
        Ok(Response::new(v1::ListUsersResponse { users, next_page_token }))
    }

    pub(super) async fn user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        let v1::GetUserRequest { user_id, address } = request.into_inner();
        let found = match (user_id.as_str(), address.as_str()) {
            ("", "") => return Err(from_fault(&Invalid::field("user_id", "or address is required"))),
            (id, "") => self.users.get(id).await,
            ("", text) => {
                let address = Address::parse(text);
                let address =
                    address.map_err(|error| from_fault(&Invalid::field("address", error.to_string())))?;
                self.users.get_by(ADDRESS, &address.key()).await
            }
            _ => return Err(from_fault(&Invalid::field("address", "must be empty beside user_id"))),
        };
        let found = found.map_err(|error| from_fault(&error))?;
        let user = found.ok_or_else(|| from_fault(&UserNotFound(format!("{user_id}{address}"))))?;
        Ok(Response::new(v1::GetUserResponse { user: Some(message(user.record)) }))
    }

    pub(super) async fn suspend(
        &self,
        request: Request<v1::SuspendUserRequest>,
    ) -> Result<Response<v1::SuspendUserResponse>, Status> {
        let user = self.set_suspended(&request.get_ref().user_id, true).await?;
        Ok(Response::new(v1::SuspendUserResponse { user: Some(user) }))
    }

    pub(super) async fn resume(
        &self,
        request: Request<v1::ResumeUserRequest>,
    ) -> Result<Response<v1::ResumeUserResponse>, Status> {
        let user = self.set_suspended(&request.get_ref().user_id, false).await?;
        Ok(Response::new(v1::ResumeUserResponse { user: Some(user) }))
    }

    pub(super) async fn delete(
        &self,
        request: &v1::DeleteUserRequest,
    ) -> Result<v1::DeleteUserResponse, Status> {
        let id = required("user_id", &request.user_id)?;
        let days = grace(request.grace_days.unwrap_or(GRACE_DAYS))?;
        let user = self.departures.delete(id, days).await.map_err(|error| from_fault(&error))?;
        Ok(v1::DeleteUserResponse { user: Some(message(user)) })
    }

    pub(super) async fn undelete(
        &self,
        request: &v1::UndeleteUserRequest,
    ) -> Result<v1::UndeleteUserResponse, Status> {
        let id = required("user_id", &request.user_id)?;
        let user = self.departures.undelete(id).await.map_err(|error| from_fault(&error))?;
        Ok(v1::UndeleteUserResponse { user: Some(message(user)) })
    }

    pub(super) async fn unlock(
        &self,
        request: Request<v1::UnlockUserRequest>,
    ) -> Result<Response<v1::UnlockUserResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let id = required("user_id", &request.get_ref().user_id)?;
        let missing = || from_fault(&UserNotFound(id.to_owned()));
        if let Some(tenant) = caller.tenant() {
            let member = self.members.get(tenant, id).await.map_err(|error| from_fault(&error))?;
            member.ok_or_else(missing)?;
        }
        let user = self.users.get(id).await.map_err(|error| from_fault(&error))?.ok_or_else(missing)?;
        note::target("user", id);
        let unlocked = self.lockout.unlock(&user.record.address.key()).await;
        unlocked.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::UnlockUserResponse {}))
    }

    async fn set_suspended(&self, user_id: &str, is_suspended: bool) -> Result<v1::User, Status> {
        let id = required("user_id", user_id)?;
        let changed = self.sessions.set_suspended(id, is_suspended).await;
        let user = changed.map_err(|error| from_fault(&error))?;
        note::target("user", id);
        user.map(message).ok_or_else(|| from_fault(&UserNotFound(id.to_owned())))
    }
}

fn message(user: User) -> v1::User {
    let has_second_factor = user.second_factor.is_some_and(|factor| factor.confirmed_at.is_some());
    v1::User {
        id: user.id,
        address: user.address.into(),
        name: user.name,
        confirm_time: user.confirmed_at.map(to_message),
        is_suspended: user.is_suspended,
        has_second_factor,
        create_time: Some(to_message(user.created_at)),
        delete_time: user.deletion.as_ref().map(|deletion| to_message(deletion.at)),
        end_time: user.deletion.map(|deletion| to_message(deletion.ends_at)),
    }
}
