//! Tenants as operators look after them: found, changed, exported, and ended.

use std::time::Duration;

use tollgate::time::{DAY, SECOND};
use tollgate_client::{Client, v1};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::server::{NOW, Server, TENANT};

const PATIENCE: Duration = Duration::from_secs(20);

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

async fn tracked(client: &Client) -> String {
    let event = v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() };
    match client.track().track(client.request(event)).await {
        Ok(response) => response.into_inner().verdict.unwrap().decision().as_str_name().to_owned(),
        Err(status) => reason(&status),
    }
}

fn deletion(grace_days: Option<i32>) -> v1::DeleteTenantRequest {
    v1::DeleteTenantRequest { tenant_id: TENANT.into(), grace_days }
}

fn undeletion() -> v1::UndeleteTenantRequest {
    v1::UndeleteTenantRequest { tenant_id: TENANT.into() }
}

pub(super) async fn export(server: &Server, client: &Client, tenant: &str) -> Vec<serde_json::Value> {
    let request = v1::ExportTenantRequest { tenant_id: tenant.into() };
    let mut stream = client.admin().export_tenant(request).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(line) = stream.message().await.unwrap() {
        lines.push(serde_json::from_str(&line.line).unwrap());
    }
    assert!(server.now() >= NOW);
    lines
}

/// Runs the job that ends tenants, to its end.
async fn end_tenants(server: &Server) -> String {
    ran(server, "end_tenants").await
}

/// Runs a job to its end; answers what it says of itself.
pub(super) async fn ran(server: &Server, job: &str) -> String {
    let mut admin = server.operator().admin();
    let run = v1::RunJobRequest { name: job.into(), ..Default::default() };
    let id = admin.run_job(run).await.unwrap().into_inner().run.unwrap().id;
    let ended = async {
        loop {
            let jobs = admin.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
            let run = jobs.into_iter().flat_map(|job| job.runs).find(|run| run.id == id).unwrap();
            if run.outcome() != v1::JobOutcome::Running {
                assert_eq!(run.outcome(), v1::JobOutcome::Succeeded, "{run:?}");
                return run.message;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the run ends")
}

#[tokio::test]
async fn tenants_are_found_by_what_their_id_or_name_begins_with() {
    let server = Server::new().await;
    for (id, name) in [("Acme-2", "Zebra"), ("b", "ACME Limited"), ("c", "Bolt"), ("d", "acme gmbh")] {
        let tenant =
            v1::CreateTenantRequest { tenant_id: id.into(), name: name.into(), ..Default::default() };
        server.operator().admin().create_tenant(tenant).await.unwrap();
    }
    let operator = server.operator();
    for (query, expected) in [
        ("acme", &["acme", "Acme-2", "d", "b"][..]),
        ("ACME-", &["Acme-2"]),
        ("bol", &["c"]),
        ("zebra", &["Acme-2"]),
        ("olt", &[]),
        ("", &["acme", "Acme-2", "b", "c", "d"]),
    ] {
        for page_size in [1, 2, 3, 100] {
            let mut found = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = v1::ListTenantsRequest { page_size, page_token, query: query.into() };
                let page = operator.admin().list_tenants(request).await.unwrap().into_inner();
                assert!(page.tenants.len() <= usize::try_from(page_size).unwrap());
                found.extend(page.tenants.into_iter().map(|tenant| tenant.id));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            if query.is_empty() {
                found.sort_by_key(|id| id.to_lowercase());
            }
            assert_eq!(found, expected, "`{query}` by {page_size}");
        }
    }
    let page = v1::ListTenantsRequest { page_size: 1, query: "acme".into(), ..Default::default() };
    let token = operator.admin().list_tenants(page).await.unwrap().into_inner().next_page_token;
    let other = v1::ListTenantsRequest { page_token: token, query: "b".into(), ..Default::default() };
    assert_eq!(reason(&operator.admin().list_tenants(other).await.unwrap_err()), "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn name_and_zone_of_a_tenant_are_changed() {
    let server = Server::new().await;
    let mut admin = server.operator().admin();
    let change = v1::UpdateTenantRequest {
        tenant_id: TENANT.into(),
        name: Some("Acme & Sons".into()),
        time_zone: Some("Europe/Lisbon".into()),
    };
    let changed = admin.update_tenant(change.clone()).await.unwrap().into_inner().tenant.unwrap();
    assert_eq!((changed.name.as_str(), changed.time_zone.as_str()), ("Acme & Sons", "Europe/Lisbon"));
    let found = v1::ListTenantsRequest { query: "acme &".into(), ..Default::default() };
    assert_eq!(admin.list_tenants(found).await.unwrap().into_inner().tenants, [changed]);
    for wrong in [
        v1::UpdateTenantRequest { name: Some(String::new()), ..change.clone() },
        v1::UpdateTenantRequest { time_zone: Some("Mars/Olympus".into()), ..change.clone() },
    ] {
        assert_eq!(admin.update_tenant(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let nobody = v1::UpdateTenantRequest { tenant_id: "nobody".into(), ..change };
    assert_eq!(admin.update_tenant(nobody).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn deleted_tenant_is_refused_at_once_and_comes_back_as_it_was() {
    let server = Server::new().await;
    let key = server.key().await;
    let (client, mut admin) = (server.client(&key), server.operator().admin());
    assert_eq!(tracked(&client).await, "DECISION_ALLOWED");
    let deleted = admin.delete_tenant(deletion(None)).await.unwrap().into_inner().tenant.unwrap();
    assert_eq!(deleted.state(), v1::TenantState::Deleted);
    assert_eq!(deleted.end_time.unwrap().seconds, NOW + 30 * DAY / SECOND);
    assert_eq!(tracked(&client).await, "TENANT_DELETED");
    let mine = client.auth().list_api_keys(v1::ListApiKeysRequest::default()).await.unwrap_err();
    assert_eq!((mine.code(), reason(&mine).as_str()), (Code::PermissionDenied, "TENANT_DELETED"));

    let gateway = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::ServiceAccount.into(),
        name: "gateway".into(),
        ..Default::default()
    };
    let gateway = server.operator().auth().create_api_key(gateway).await.unwrap().into_inner().secret;
    let gateway = server.client(&gateway);
    let event = v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() };
    for request in [
        v1::TrackRequest { tenant_id: TENANT.into(), ..gateway.request(event.clone()) },
        v1::TrackRequest { api_key: key.clone(), ..gateway.request(event) },
    ] {
        let verdict = gateway.track().track(request).await.unwrap().into_inner().verdict.unwrap();
        assert_eq!(verdict.reason(), v1::DenialReason::TenantDeleted);
    }

    server.clock().advance(DAY);
    let again = admin.delete_tenant(deletion(Some(90))).await.unwrap().into_inner().tenant.unwrap();
    assert_eq!(again, deleted, "deleting twice changes nothing");
    let back = admin.undelete_tenant(undeletion()).await.unwrap().into_inner().tenant.unwrap();
    assert_eq!((back.state(), back.delete_time, back.end_time), (v1::TenantState::Active, None, None));
    assert_eq!(tracked(&client).await, "DECISION_ALLOWED");
}

#[tokio::test]
async fn after_the_grace_names_and_keys_are_gone_and_amounts_stay() {
    let server = Server::new().await.with_tenant("other", "free").await;
    let key = server.key().await;
    let others = server.key_of("other").await;
    assert_eq!(tracked(&server.client(&key)).await, "DECISION_ALLOWED");
    let before = server.snapshot().await.usage;
    let mut admin = server.operator().admin();
    admin.delete_tenant(deletion(Some(1))).await.unwrap();
    assert_eq!(
        end_tenants(&server).await,
        "ended 0 tenants, and deleted or erased 0 of what was held on them"
    );
    server.clock().advance(DAY);
    let late = admin.undelete_tenant(undeletion()).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::FailedPrecondition, "TENANT_ENDED"));
    assert_eq!(
        end_tenants(&server).await,
        "ended 1 tenants, and deleted or erased 4 of what was held on them"
    );
    assert_eq!(
        end_tenants(&server).await,
        "ended 0 tenants, and deleted or erased 0 of what was held on them"
    );

    let request = v1::GetTenantRequest { tenant_id: TENANT.into() };
    let tenant = admin.get_tenant(request).await.unwrap().into_inner().tenant.unwrap();
    assert_eq!((tenant.name.as_str(), tenant.state()), ("", v1::TenantState::Deleted));
    let list = v1::ListApiKeysRequest { tenant_id: TENANT.into(), ..Default::default() };
    assert!(server.operator().auth().list_api_keys(list).await.unwrap().into_inner().api_keys.is_empty());
    assert_eq!(before, server.snapshot().await.usage, "the ledger stays");
    assert_eq!(tracked(&server.client(&others)).await, "DECISION_ALLOWED");
    let taken =
        v1::CreateTenantRequest { tenant_id: TENANT.into(), name: "New".into(), ..Default::default() };
    assert_eq!(
        admin.create_tenant(taken).await.unwrap_err().code(),
        Code::AlreadyExists,
        "an id is used once"
    );
}

#[tokio::test]
async fn an_export_has_all_that_is_held_and_no_secret() {
    let server = Server::new().await.with_tenant("other", "free").await;
    let key = server.key().await;
    server.key_of("other").await;
    let lines = export(&server, &server.operator(), TENANT).await;
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    let entries = ["audit_entry"; 3];
    assert_eq!(kinds, [&["tenant", "subscription", "api_key"], &entries[..], &["wallet"]].concat());
    let text = format!("{lines:?}");
    assert!(!text.contains(key.rsplit('_').next().unwrap()), "{text}");
    assert!(!text.contains("other"), "{text}");
    let foreign = v1::ExportTenantRequest { tenant_id: "other".into() };
    let refused = server.client(&key).admin().export_tenant(foreign).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
