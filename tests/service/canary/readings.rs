//! All that lists, answers and exports say, as one text.

use std::fmt::Debug;

use tollgate_client::{Client, v1};
use tonic::{Response, Status};

use crate::canary::aviary::{Aviary, address};

const PAGE: i32 = 1_000;

/// What was answered, after what it is. Refusals are answers too: not everybody may read everything.
fn keep<T: Debug>(kept: &mut String, what: &str, answer: Result<Response<T>, Status>) {
    match answer {
        Ok(answer) => kept.push_str(&format!("{what}: {:?}\n", answer.into_inner())),
        Err(status) => kept.push_str(&format!("{what}: {status:?}\n")),
    }
}

/// All that whoever has one of these credentials can read.
pub(super) async fn readings(aviary: &Aviary, credentials: &[&str]) -> String {
    let mut kept = String::new();
    for credential in credentials {
        let client = aviary.client(credential);
        let tenants = client.admin().list_tenants(v1::ListTenantsRequest::default()).await;
        let tenants = tenants.map(|answer| answer.into_inner().tenants).unwrap_or_default();
        let tenants = tenants.into_iter().map(|tenant| tenant.id);
        for tenant in std::iter::once(String::new()).chain(tenants) {
            of_tenant(&client, &tenant, &mut kept).await;
        }
        of_everything(&client, &mut kept).await;
        kept.push_str(&audit(&client).await);
    }
    kept
}

async fn of_tenant(client: &Client, tenant: &str, kept: &mut String) {
    let tenant_id = || tenant.to_owned();
    let (mut auth, mut admin) = (client.auth(), client.admin());
    let mut page_of = v1::ListApiKeysRequest { tenant_id: tenant_id(), ..Default::default() };
    page_of.page_size = PAGE;
    let keys = auth.list_api_keys(page_of).await;
    for key in keys.iter().flat_map(|page| &page.get_ref().api_keys) {
        let request = v1::GetApiKeyRequest { id: key.id.clone() };
        keep(kept, "key", auth.clone().get_api_key(request).await);
    }
    keep(kept, "keys", keys);
    let request = v1::ListMembersRequest { tenant_id: tenant_id(), ..Default::default() };
    keep(kept, "members", auth.list_members(request).await);
    let request = v1::ListInvitationsRequest { tenant_id: tenant_id(), ..Default::default() };
    keep(kept, "invitations", auth.list_invitations(request).await);
    keep(kept, "roles", auth.list_roles(v1::ListRolesRequest { tenant_id: tenant_id() }).await);
    keep(kept, "tenant", admin.get_tenant(v1::GetTenantRequest { tenant_id: tenant_id() }).await);
    let request = v1::ListEventsRequest { tenant_id: tenant_id(), ..Default::default() };
    keep(kept, "events", client.track().list_events(request).await);
    let request = v1::GetSubscriptionRequest { tenant_id: tenant_id() };
    keep(kept, "subscription", client.plans().get_subscription(request).await);
    let request = v1::ExportTenantRequest { tenant_id: tenant_id() };
    let Ok(lines) = admin.export_tenant(request).await else { return };
    let mut lines = lines.into_inner();
    while let Some(line) = lines.message().await.unwrap_or_default() {
        kept.push_str(&format!("export: {}\n", line.line));
    }
}

async fn of_everything(client: &Client, kept: &mut String) {
    let (mut auth, mut admin) = (client.auth(), client.admin());
    keep(kept, "tenants", admin.list_tenants(v1::ListTenantsRequest::default()).await);
    let users = admin.list_users(v1::ListUsersRequest::default()).await;
    for user in users.iter().flat_map(|page| &page.get_ref().users) {
        let request = v1::GetUserRequest { user_id: user.id.clone(), ..Default::default() };
        keep(kept, "user", admin.clone().get_user(request).await);
    }
    keep(kept, "users", users);
    let request = v1::GetUserRequest { address: address("bob"), ..Default::default() };
    keep(kept, "user by address", admin.get_user(request).await);
    keep(kept, "staff", admin.list_staff(v1::ListStaffRequest::default()).await);
    keep(kept, "jobs", admin.list_jobs(v1::ListJobsRequest::default()).await);
    keep(kept, "sessions", auth.list_sessions(v1::ListSessionsRequest {}).await);
    keep(kept, "jwks", auth.get_jwks(v1::GetJwksRequest {}).await);
    keep(kept, "who", auth.who_am_i(v1::WhoAmIRequest {}).await);
    keep(kept, "plans", client.plans().list_plans(v1::ListPlansRequest::default()).await);
}

/// All entries of the audit log that a client may read.
pub(super) async fn audit(client: &Client) -> String {
    let tenants = client.admin().list_tenants(v1::ListTenantsRequest::default()).await;
    let tenants = tenants.map(|answer| answer.into_inner().tenants).unwrap_or_default();
    let tenants = tenants.into_iter().map(|tenant| tenant.id);
    let mut kept = String::new();
    for tenant_id in std::iter::once(String::new()).chain(tenants) {
        let mut request = v1::ListAuditEntriesRequest { tenant_id, page_size: PAGE, ..Default::default() };
        while let Ok(page) = client.admin().list_audit_entries(request.clone()).await {
            let page = page.into_inner();
            page.entries.iter().for_each(|entry| kept.push_str(&format!("audit_entry: {entry:?}\n")));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
    }
    kept
}
