//! `AuthService`: members and roles.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::auth::AuthApi;
use crate::api::convert::time::to_message;
use crate::api::layers::auth::caller;
use crate::api::once::{Call, once, whole};
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::caller::Caller;
use crate::identity::member::Member;
use crate::identity::members::By;
use crate::identity::own_roles::{RolesError, Seen, Wanted};
use crate::identity::permission::Permission;
use crate::identity::roles::roster::CustomRole;
use crate::identity::user::User;
use crate::store::StoreError;
use crate::store::records::Records;

impl AuthApi {
    pub(super) async fn members_page(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        let list = List { method: "ListMembers", tenant: &tenant, filter: &[] };
        let size = page_size(asked.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(list, &asked.page_token).map_err(|error| from_fault(&error))?;
        let page = self.members.list(&tenant, after.as_ref(), size).await;
        let page = page.map_err(|error| from_fault(&error))?;
        let members = messages(&self.users, page.records).await.map_err(|error| from_fault(&error))?;
        let next_page_token = self.pages.seal_place(list, page.next.as_ref());
        Ok(Response::new(v1::ListMembersResponse { members, next_page_token }))
    }

    pub(super) async fn member_role(
        &self,
        request: Request<v1::ChangeMemberRoleRequest>,
    ) -> Result<Response<v1::ChangeMemberRoleResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        let (user, role) = (required("user_id", &asked.user_id)?, required("role", &asked.role)?);
        let changed = self.members.change_role(By::Caller(caller), &tenant, user, role).await;
        let changed = changed.map_err(|error| from_fault(&error))?;
        let members = messages(&self.users, changed.member.into_iter().collect()).await;
        let member = members.map_err(|error| from_fault(&error))?.pop();
        Ok(Response::new(v1::ChangeMemberRoleResponse { member }))
    }

    pub(super) async fn end_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let user = required("user_id", &asked.user_id)?;
        // Who leaves does so by a session: what was lent is not enough.
        if caller.session.is_none() || caller.user().is_none_or(|own| **own != *user) {
            caller.require(Permission::MembersWrite).map_err(|error| from_fault(&error))?;
        }
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        let removed = self.members.remove(By::Caller(caller), &tenant, user).await;
        removed.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::RemoveMemberResponse {}))
    }

    pub(super) async fn roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let tenant = self.tenant_of(caller, &request.get_ref().tenant_id).await?;
        let roles = self.own_roles.list(&tenant).await.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ListRolesResponse { roles: roles.into_iter().map(seen).collect() }))
    }

    pub(super) async fn new_role(
        &self,
        request: Request<v1::CreateRoleRequest>,
    ) -> Result<Response<v1::CreateRoleResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(|error| from_fault(&error))?);
        let request = &request.into_inner();
        let tenant = &self.tenant_of(&caller, &request.tenant_id).await?;
        let (request_id, method) = (request.request_id.as_str(), "CreateRole");
        let call = Call { caller: &caller, method, request_id, request };
        let answer = once(&self.requests, call, whole, |seed| {
            let caller = Arc::clone(&caller);
            async move {
                let wanted = Wanted {
                    name: &request.name,
                    description: &request.description,
                    permissions: &request.permissions,
                };
                let role = self.own_roles.create(&caller, tenant, seed, wanted).await?;
                Ok::<_, RolesError>(v1::CreateRoleResponse { role: Some(own(&request.name, &role)) })
            }
        });
        answer.await.map(Response::new)
    }

    pub(super) async fn other_role(
        &self,
        request: Request<v1::UpdateRoleRequest>,
    ) -> Result<Response<v1::UpdateRoleResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        let wanted =
            Wanted { name: &asked.name, description: &asked.description, permissions: &asked.permissions };
        let updated = self.own_roles.update(caller, &tenant, wanted).await;
        let (_, role) = updated.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::UpdateRoleResponse { role: Some(own(&asked.name, &role)) }))
    }

    pub(super) async fn end_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let tenant = self.tenant_of(caller, &asked.tenant_id).await?;
        let name = required("name", &asked.name)?;
        let deleted = self.own_roles.delete(caller, &tenant, name).await;
        deleted.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::DeleteRoleResponse {}))
    }

    /// The tenant that a request is about.
    pub(super) async fn tenant_of(&self, caller: &Caller, tenant_id: &str) -> Result<String, Status> {
        let tenant = self.resolver.tenant(caller, tenant_id).await;
        Ok(tenant.map_err(|error| from_fault(&error))?.id.to_string())
    }
}

/// Members with the names of their people.
pub(in crate::api) async fn messages(
    users: &Records<User>,
    members: Vec<Member>,
) -> Result<Vec<v1::Member>, StoreError> {
    let ids: Vec<_> = members.iter().map(|member| member.user.clone()).collect();
    let people = users.get_many(&ids).await?.into_iter().flatten();
    let people: HashMap<_, _> = people.map(|kept| (kept.record.id.clone(), kept.record)).collect();
    let message = |member: Member| {
        let person = people.get(&member.user);
        v1::Member {
            name: person.map(|person| person.name.clone()).unwrap_or_default(),
            address: person.map(|person| person.address.as_str().to_owned()).unwrap_or_default(),
            user_id: member.user,
            role: member.role,
            create_time: Some(to_message(member.created_at)),
        }
    };
    Ok(members.into_iter().map(message).collect())
}

pub(in crate::api) fn required<'a>(field: &str, value: &'a str) -> Result<&'a str, Status> {
    if value.is_empty() { Err(from_fault(&Invalid::field(field, "is required"))) } else { Ok(value) }
}

fn seen(role: Seen) -> v1::Role {
    match role.own {
        Some(record) => own(&role.name, &record),
        None => v1::Role {
            name: role.name,
            permissions: role.permissions.names(),
            is_built_in: true,
            ..v1::Role::default()
        },
    }
}

fn own(name: &str, role: &CustomRole) -> v1::Role {
    v1::Role {
        name: name.to_owned(),
        description: role.description.clone(),
        permissions: role.permissions.names(),
        is_built_in: false,
        member_count: i64::try_from(role.members).unwrap_or(i64::MAX),
        create_time: Some(to_message(role.created_at)),
    }
}
