//! A page token opens the list that it was made for, in the tenant that it was made for, and nothing else.

use tollgate_client::{Client, v1};
use tonic::{Code, Status};

use crate::accounts::people::{Town, address, refusal, refused};
use crate::server::TENANT;

const OTHER: &str = "globex";

/// Every list that a tenant's owner reads in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    ApiKeys,
    Members,
    Invitations,
    AuditEntries,
    Events,
}

const LISTS: [List; 5] = [List::ApiKeys, List::Members, List::Invitations, List::AuditEntries, List::Events];

impl List {
    /// A page of one entry: the token of the next one.
    async fn page(self, client: &Client, page_token: &str) -> Result<String, Status> {
        let (page_size, page_token) = (1, page_token.to_owned());
        macro_rules! page {
            ($service:ident.$method:ident($request:ident)) => {{
                let request = v1::$request { page_size, page_token, ..Default::default() };
                client.$service().$method(request).await?.into_inner().next_page_token
            }};
        }
        Ok(match self {
            Self::ApiKeys => page!(auth.list_api_keys(ListApiKeysRequest)),
            Self::Members => page!(auth.list_members(ListMembersRequest)),
            Self::Invitations => page!(auth.list_invitations(ListInvitationsRequest)),
            Self::AuditEntries => page!(admin.list_audit_entries(ListAuditEntriesRequest)),
            Self::Events => page!(track.list_events(ListEventsRequest)),
        })
    }
}

/// An owner of that tenant who has logged in; each list of the tenant has two entries.
async fn owner(town: &Town, tenant: &str) -> Client {
    let name = |person: &str| format!("{person}-{tenant}");
    for (person, role) in [("ada", "owner"), ("bob", "viewer")] {
        let user = town.user(&name(person), |_| {}).await;
        town.join(&user, tenant, role).await;
    }
    let tokens = town.log_in(&name("ada")).await.unwrap().tokens.unwrap();
    let client = town.server.client(&tokens.access_token);
    let key = town.server.client(&town.server.key_of(tenant).await);
    for number in 0..2 {
        town.server.key_of(tenant).await;
        let address = address(&format!("guest-{number}-{tenant}"));
        let invite = v1::InviteMemberRequest { address, role: "viewer".into(), ..Default::default() };
        client.auth().invite_member(invite).await.unwrap();
        let event =
            v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() };
        key.track().track(key.request(event)).await.unwrap();
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn page_token_is_of_no_use_to_another_tenant_or_in_another_list() {
    let mut town = Town::new().await;
    town.server = town.server.with_tenant(OTHER, "free").await;
    let (here, there) = (owner(&town, TENANT).await, owner(&town, OTHER).await);
    let invalid = refusal(Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    for list in LISTS {
        let token = list.page(&here, "").await.unwrap();
        assert!(!token.is_empty(), "{list:?} has one page");
        list.page(&here, &token).await.unwrap();
        assert_eq!(refused(list.page(&there, &token).await), invalid, "{list:?} of another tenant");
        for other in LISTS.into_iter().filter(|other| *other != list) {
            assert_eq!(refused(other.page(&here, &token).await), invalid, "{list:?} in {other:?}");
        }
        let (first, rest) = token.split_at(1);
        let changed = format!("{rest}{first}");
        assert_eq!(refused(list.page(&here, &changed).await), invalid, "{list:?} with another token");
    }
}

/// The ids that callers choose are their tenant's own.
#[tokio::test(flavor = "multi_thread")]
async fn same_id_of_two_tenants_is_two_things() {
    let mut town = Town::new().await;
    town.server = town.server.with_tenant(OTHER, "free").await;
    let mut made = Vec::new();
    for tenant in [TENANT, OTHER] {
        let client = town.server.client(&town.server.key_of(tenant).await);
        let event = v1::UsageEvent {
            id: "evt_1".into(),
            service: "search".into(),
            endpoint: "/find".into(),
            region: tenant.into(),
            ..Default::default()
        };
        let tracked = client.track().track(client.request(event)).await.unwrap().into_inner();
        assert!(!tracked.replayed, "{tenant}");
        let new =
            v1::CreateApiKeyRequest { name: tenant.into(), request_id: "req_1".into(), ..Default::default() };
        let key = client.auth().create_api_key(new).await.unwrap().into_inner();
        assert!(!key.secret.is_empty(), "{tenant}");
        made.push(key.api_key.unwrap().id);
        let list = v1::ListEventsRequest { freshness: v1::Freshness::Fresh.into(), ..Default::default() };
        let events = client.track().list_events(list).await.unwrap().into_inner().events;
        assert_eq!(events.len(), 1, "{tenant}");
    }
    assert_ne!(made[0], made[1]);
}
