//! API keys: what is refused, where a key is good, and how one takes the place of another.

use secrecy::ExposeSecret as _;
use serde_json::json;
use tollgate::identity::api_key::KeyKind;
use tollgate::identity::credential;
use tollgate::time::{DAY, HOUR, MINUTE, SECOND};
use tollgate_client::{Client, v1};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::raw::{Raw, exchange, post_track};
use crate::server::{NOW, Server, Snapshot, TENANT};

const WHO_AM_I: &str = "/tollgate.v1.AuthService/WhoAmI";

fn new_key() -> v1::CreateApiKeyRequest {
    v1::CreateApiKeyRequest { tenant_id: TENANT.into(), name: "a key".into(), ..Default::default() }
}

async fn made(server: &Server, request: v1::CreateApiKeyRequest) -> (v1::ApiKey, String) {
    let answer = server.operator().auth().create_api_key(request).await.unwrap().into_inner();
    (answer.api_key.unwrap(), answer.secret)
}

async fn revoke(server: &Server, id: &str) {
    server.operator().auth().revoke_api_key(v1::RevokeApiKeyRequest { id: id.into() }).await.unwrap();
}

fn rotation(id: &str, overlap: i64, request_id: &str) -> v1::RotateApiKeyRequest {
    v1::RotateApiKeyRequest {
        id: id.into(),
        overlap: Some(prost_types::Duration { seconds: overlap / SECOND, nanos: 0 }),
        request_id: request_id.into(),
        ..Default::default()
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// `ALLOWED`, the reason of a refusal, or that of an error.
async fn tracked(client: &Client, service: &str) -> String {
    let event = v1::UsageEvent { service: service.into(), endpoint: "/find".into(), ..Default::default() };
    match client.track().track(client.request(event)).await {
        Ok(response) => said(response.into_inner().verdict),
        Err(status) => reason(&status),
    }
}

fn said(verdict: Option<v1::Verdict>) -> String {
    let verdict = verdict.unwrap();
    match verdict.decision() {
        v1::Decision::Allowed => String::from("ALLOWED"),
        _ => verdict.reason().as_str_name().replace("DENIAL_REASON_", ""),
    }
}

/// All but how many calls were refused: those are kept too.
async fn taken(server: &Server) -> Snapshot {
    let mut taken = server.snapshot().await;
    taken.usage.refused = 0;
    taken
}

#[tokio::test]
async fn what_is_no_good_credential_is_refused() {
    let server = Server::new().await;
    let (key, secret) = made(&server, new_key()).await;
    let (revoked, revoked_secret) = made(&server, new_key()).await;
    revoke(&server, &revoked.id).await;
    let expire_time = Some(prost_types::Timestamp { seconds: NOW + 3_600, nanos: 0 });
    let (_, expired) = made(&server, v1::CreateApiKeyRequest { expire_time, ..new_key() }).await;
    server.clock().advance(HOUR);
    let seed = |id: &str| uuid::Uuid::try_parse(id.trim_start_matches("key_")).unwrap();
    let forged = credential::fresh(KeyKind::Tenant, seed(&key.id)).expose_secret().to_owned();
    let nobodys = credential::fresh(KeyKind::Tenant, uuid::Uuid::now_v7()).expose_secret().to_owned();
    let last = if secret.ends_with('x') { "y" } else { "x" };
    let mistyped = format!("{}{last}", secret.split_at(secret.len() - 1).0);
    let before = server.snapshot().await;
    for (name, credential, expected) in [
        ("a good one", secret.clone(), ""),
        ("a wrong check", mistyped, "CREDENTIAL_INVALID"),
        ("a known id with another secret", forged, "CREDENTIAL_INVALID"),
        ("an id that nobody has", nobodys, "CREDENTIAL_INVALID"),
        ("a revoked one", revoked_secret, "CREDENTIAL_REVOKED"),
        ("an expired one", expired, "CREDENTIAL_EXPIRED"),
        ("small letters", secret.to_lowercase(), "CREDENTIAL_INVALID"),
        ("capital letters", secret.to_uppercase(), "CREDENTIAL_INVALID"),
        ("a blank before", format!(" {secret}"), "CREDENTIAL_INVALID"),
        ("a blank after", format!("{secret} "), "CREDENTIAL_INVALID"),
        ("a tab within", secret.replacen('_', "_\t", 1), "CREDENTIAL_INVALID"),
        ("a letter that looks alike", secret.replacen("tenant", "ten\u{430}nt", 1), "CREDENTIAL_INVALID"),
        ("another kind", secret.replacen("tenant", "service", 1), "CREDENTIAL_INVALID"),
        ("its id alone", key.id.clone(), "CREDENTIAL_INVALID"),
    ] {
        let answer = Raw::connect(server.address(), &credential).await.call(WHO_AM_I, &[]).await;
        let code = if expected.is_empty() { Code::Ok } else { Code::Unauthenticated };
        assert_eq!((answer.code, answer.reason.as_str()), (code, expected), "{name}");
    }
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn key_of_a_suspended_tenant_is_denied_and_one_without_the_permission_refused() {
    let server = Server::new().await;
    let permissions = vec![String::from("usage.track")];
    let (_, secret) = made(&server, v1::CreateApiKeyRequest { permissions, ..new_key() }).await;
    let client = server.client(&secret);
    let refused = client.plans().get_wallet(v1::GetWalletRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "PERMISSION_MISSING"));
    assert_eq!(tracked(&client, "search").await, "ALLOWED");
    let suspension = v1::SuspendTenantRequest { tenant_id: TENANT.into(), reason: "unpaid".into() };
    server.operator().admin().suspend_tenant(suspension).await.unwrap();
    assert_eq!(tracked(&client, "search").await, "TENANT_SUSPENDED");
}

#[tokio::test]
async fn key_in_an_address_is_refused_with_a_good_one_in_the_header_too() {
    let server = Server::new().await;
    let key = server.key().await;
    let before = server.snapshot().await;
    let body = r#"{"service_name":"search","endpoint":"/find"}"#;
    for (headers, query) in [
        (String::new(), format!("api_key={key}")),
        (format!("x-api-key: {key}\r\n"), format!("api_key={key}")),
        (format!("x-api-key: {key}\r\n"), format!("a=b&authorization={key}")),
    ] {
        let request = format!(
            "POST /api/track?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(server.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("CREDENTIAL_INVALID"), "{answer}");
        assert!(!answer.contains(&key), "{answer}");
    }
    let raw = Raw::connect(server.address(), "").await;
    let answer = raw.call(&format!("{WHO_AM_I}?api_key={key}"), &[]).await;
    assert_eq!(answer.code, Code::Unauthenticated, "{answer:?}");
    assert_eq!(before, server.snapshot().await);
    let harmless = "POST /api/track?source=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let request = format!("{harmless}x-api-key: {key}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = exchange(server.address(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn secret_is_told_once_and_never_again() {
    let server = Server::new().await;
    let request = v1::CreateApiKeyRequest { request_id: "once".into(), ..new_key() };
    let (key, secret) = made(&server, request.clone()).await;
    let operator = server.operator();
    let mut auth = operator.auth();
    let retry = auth.create_api_key(request).await.unwrap().into_inner();
    assert_eq!((retry.api_key.clone(), retry.secret.as_str()), (Some(key.clone()), ""));
    let id = key.id.clone();
    let rotated = auth.rotate_api_key(rotation(&id, DAY, "again")).await.unwrap().into_inner();
    let second = auth.rotate_api_key(rotation(&id, DAY, "again")).await.unwrap().into_inner();
    assert_eq!((&second.api_key, second.secret.as_str()), (&rotated.api_key, ""));
    let list = v1::ListApiKeysRequest { tenant_id: TENANT.into(), ..Default::default() };
    let answers = [
        format!("{:?}", auth.list_api_keys(list).await.unwrap()),
        format!("{:?}", auth.get_api_key(v1::GetApiKeyRequest { id: id.clone() }).await.unwrap()),
        format!(
            "{:?}",
            auth.update_api_key(v1::UpdateApiKeyRequest { id: id.clone(), ..Default::default() }).await
        ),
        format!("{retry:?}{second:?}"),
        format!("{:?}", auth.revoke_api_key(v1::RevokeApiKeyRequest { id }).await.unwrap()),
    ];
    for secret in [secret, rotated.secret] {
        let random = secret.rsplit('_').next().unwrap();
        for answer in &answers {
            assert!(answer.contains("key_") && !answer.contains(random), "{answer}");
        }
    }
}

#[tokio::test]
async fn both_keys_are_good_in_the_overlap_and_the_old_one_is_dead_after_it() {
    let server = Server::new().await;
    let permissions = vec![String::from("usage.read"), String::from("usage.track")];
    let request = v1::CreateApiKeyRequest { permissions, ..new_key() };
    let (old, old_secret) = made(&server, request).await;
    let operator = server.operator();
    let mut auth = operator.auth();
    let answer = auth.rotate_api_key(rotation(&old.id, HOUR, "")).await.unwrap().into_inner();
    let (new, rotated) = (answer.api_key.unwrap(), answer.rotated.unwrap());
    assert_eq!((&new.permissions, &new.name, new.expire_time), (&old.permissions, &old.name, None));
    assert_eq!((rotated.rotated_to.as_str(), rotated.expire_time.unwrap().seconds), (&*new.id, NOW + 3_600));
    let (old_client, new_client) = (server.client(&old_secret), server.client(&answer.secret));
    server.clock().advance(HOUR - 1);
    assert_eq!(tracked(&old_client, "search").await, "ALLOWED");
    assert_eq!(tracked(&new_client, "search").await, "ALLOWED");
    server.clock().advance(1);
    assert_eq!(tracked(&old_client, "search").await, "CREDENTIAL_EXPIRED");
    assert_eq!(tracked(&new_client, "search").await, "ALLOWED");
    let again = auth.rotate_api_key(rotation(&old.id, HOUR, "")).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "API_KEY_ENDED"));
    for (overlap, code) in
        [(-SECOND, Code::InvalidArgument), (30 * DAY + SECOND, Code::InvalidArgument), (30 * DAY, Code::Ok)]
    {
        let rotated = auth.rotate_api_key(rotation(&new.id, overlap, "")).await;
        assert_eq!(rotated.map_or_else(|status| status.code(), |_| Code::Ok), code, "{overlap}");
    }
}

#[tokio::test]
async fn a_new_key_ends_no_later_than_the_one_that_it_takes_the_place_of() {
    let server = Server::new().await;
    let expire_time = Some(prost_types::Timestamp { seconds: NOW + 7_200, nanos: 0 });
    let (old, _) = made(&server, v1::CreateApiKeyRequest { expire_time, ..new_key() }).await;
    let mut auth = server.operator().auth();
    let answer = auth.rotate_api_key(rotation(&old.id, 30 * DAY, "")).await.unwrap().into_inner();
    assert_eq!(answer.api_key.unwrap().expire_time, expire_time);
    assert_eq!(answer.rotated.unwrap().expire_time, expire_time, "an overlap makes no key live longer");
}

#[tokio::test]
async fn key_is_good_for_its_services_and_its_networks_alone() {
    let server = Server::new().await;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (services, networks, service, expected) in [
        (&[][..], &[][..], "search", "ALLOWED"),
        (&["search", "mail"], &[], "mail", "ALLOWED"),
        (&["search"], &[], "mail", "API_KEY_SERVICE"),
        (&["search"], &[], "Search", "API_KEY_SERVICE"),
        (&[], &["127.0.0.0/8"], "search", "ALLOWED"),
        (&[], &["192.0.2.0/24", "127.0.0.1"], "search", "ALLOWED"),
        (&[], &["192.0.2.0/24", "::1"], "search", "API_KEY_NETWORK"),
        (&["mail"], &["192.0.2.0/24"], "search", "API_KEY_NETWORK"),
    ] {
        let (allowed_services, allowed_networks) = (names(services), names(networks));
        let request = v1::CreateApiKeyRequest { allowed_services, allowed_networks, ..new_key() };
        let (key, secret) = made(&server, request).await;
        let client = server.client(&secret);
        let before = taken(&server).await;
        assert_eq!(tracked(&client, service).await, expected, "{services:?} {networks:?} {service}");
        let event =
            v1::UsageEvent { service: service.into(), endpoint: "/find".into(), ..Default::default() };
        let request = client.request(event.clone());
        let check = v1::CheckRequest { event: request.event.clone(), ..Default::default() };
        let checked = client.track().check(check).await.unwrap().into_inner();
        assert_eq!(said(checked.verdict), expected);
        let reserve =
            v1::ReserveRequest { event: request.event.clone(), credits_micros: 1, ..Default::default() };
        let reserved = client.track().reserve(reserve).await.unwrap().into_inner();
        let batch = v1::TrackBatchRequest { requests: vec![request.clone()] };
        let batch = client.track().track_batch(batch).await.unwrap().into_inner();
        let Some(v1::track_result::Result::Response(batched)) = batch.results[0].result.clone() else {
            panic!("{batch:?}");
        };
        let recorded = v1::TrackRequest { mode: v1::TrackMode::Record.into(), ..request };
        let recorded = client.track().track(recorded).await;
        let others = client.track().get_limits(v1::GetLimitsRequest::default()).await;
        if expected == "ALLOWED" {
            assert!(recorded.is_ok() && others.is_ok());
            continue;
        }
        let denied = batched.verdict.clone().unwrap();
        assert_eq!((denied.denied_by.as_str(), said(batched.verdict)), (&*key.id, expected.to_owned()));
        assert_eq!(said(reserved.verdict), expected);
        let recorded = recorded.unwrap_err();
        assert_eq!(
            (recorded.code(), reason(&recorded).as_str()),
            (Code::PermissionDenied, "API_KEY_RESTRICTED")
        );
        assert_eq!(others.is_err(), expected == "API_KEY_NETWORK");
        if let Err(refused) = others {
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::PermissionDenied, "API_KEY_RESTRICTED")
            );
        }
        assert_eq!(before, taken(&server).await, "a refusal takes nothing");
    }
}

#[tokio::test]
async fn over_http_a_restricted_key_is_refused_by_the_same_names() {
    let server = Server::new().await;
    let allowed_networks = vec![String::from("192.0.2.0/24")];
    let (_, outside) = made(&server, v1::CreateApiKeyRequest { allowed_networks, ..new_key() }).await;
    let allowed_services = vec![String::from("mail")];
    let (_, foreign) = made(&server, v1::CreateApiKeyRequest { allowed_services, ..new_key() }).await;
    for (key, expected) in [(outside, "API_KEY_NETWORK"), (foreign, "API_KEY_SERVICE")] {
        let headers = [("content-type", "application/json"), ("x-api-key", key.as_str())];
        let page =
            post_track(server.address(), &headers, r#"{"service_name":"search","endpoint":"/find"}"#).await;
        assert_eq!((403, json!(expected)), (page.status, page.json()["reason"].clone()), "{page:?}");
    }
}

#[tokio::test]
async fn a_change_of_where_a_key_is_good_holds_from_the_answer_on() {
    let server = Server::new().await;
    let (key, secret) = made(&server, new_key()).await;
    let client = server.client(&secret);
    assert_eq!(tracked(&client, "search").await, "ALLOWED");
    let change = |services: &[&str]| v1::UpdateApiKeyRequest {
        id: key.id.clone(),
        allowed_services: Some(v1::ServiceList {
            services: services.iter().map(|name| (*name).to_owned()).collect(),
        }),
        ..Default::default()
    };
    let mut auth = server.operator().auth();
    for (services, expected) in
        [(&["mail"][..], "API_KEY_SERVICE"), (&["mail", "search"], "ALLOWED"), (&[], "ALLOWED")]
    {
        let changed = auth.update_api_key(change(services)).await.unwrap().into_inner().api_key.unwrap();
        assert_eq!((changed.allowed_services.len(), changed.name.as_str()), (services.len(), "a key"));
        assert_eq!(tracked(&client, "search").await, expected, "{services:?}");
    }
    let name = |name: &str| v1::UpdateApiKeyRequest {
        id: key.id.clone(),
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let renamed = auth.update_api_key(name("another")).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(renamed.name, "another");
    assert_eq!(auth.update_api_key(name("")).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let server = Server::new().await;
    let (strong, _) = made(&server, new_key()).await;
    let own = v1::CreateApiKeyRequest {
        permissions: vec![String::from("keys.write"), String::from("keys.read"), String::from("usage.track")],
        allowed_services: vec![String::from("search"), String::from("mail")],
        allowed_networks: vec![String::from("127.0.0.0/8")],
        ..new_key()
    };
    let (mine, secret) = made(&server, own).await;
    let mut auth = server.client(&secret).auth();
    let inherited = auth.create_api_key(new_key()).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(inherited.allowed_services, mine.allowed_services);
    assert_eq!(
        (inherited.allowed_networks, inherited.permissions),
        (mine.allowed_networks.clone(), mine.permissions)
    );
    for (services, networks) in [(&["search", "pay"][..], &["127.0.0.1"][..]), (&["search"], &["0.0.0.0/0"])]
    {
        let request = v1::CreateApiKeyRequest {
            allowed_services: services.iter().map(|name| (*name).to_owned()).collect(),
            allowed_networks: networks.iter().map(|name| (*name).to_owned()).collect(),
            ..new_key()
        };
        let refused = auth.create_api_key(request).await.unwrap_err();
        assert_eq!(reason(&refused), "API_KEY_RESTRICTED", "{services:?} {networks:?}");
    }
    let wider = v1::UpdateApiKeyRequest {
        id: mine.id.clone(),
        allowed_networks: Some(v1::NetworkList::default()),
        ..Default::default()
    };
    assert_eq!(reason(&auth.update_api_key(wider).await.unwrap_err()), "API_KEY_RESTRICTED");
    let stronger = auth.rotate_api_key(rotation(&strong.id, 0, "")).await.unwrap_err();
    assert_eq!(reason(&stronger), "PERMISSION_MISSING");
    auth.rotate_api_key(rotation(&mine.id, 0, "")).await.unwrap();
}

#[tokio::test]
async fn a_gateway_passes_a_key_that_is_good_for_one_service() {
    let server = Server::new().await;
    let request = v1::CreateApiKeyRequest {
        allowed_services: vec![String::from("search")],
        allowed_networks: vec![String::from("192.0.2.0/24")],
        ..new_key()
    };
    let (key, customers) = made(&server, request).await;
    let gateway = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::ServiceAccount.into(),
        name: "gateway".into(),
        ..Default::default()
    };
    let (_, secret) = made(&server, gateway).await;
    let client = server.client(&secret);
    for (service, expected) in [("search", "ALLOWED"), ("mail", "API_KEY_SERVICE")] {
        let event =
            v1::UsageEvent { service: service.into(), endpoint: "/find".into(), ..Default::default() };
        let request = v1::TrackRequest { api_key: customers.clone(), ..client.request(event) };
        let verdict = client.track().track(request).await.unwrap().into_inner().verdict.unwrap();
        assert_eq!(said(Some(verdict.clone())), expected);
        let denied_by = if expected == "ALLOWED" { "" } else { key.id.as_str() };
        assert_eq!(verdict.denied_by, denied_by);
    }
}

#[tokio::test]
async fn last_use_is_noted_once_a_minute() {
    let server = Server::new().await;
    let (key, secret) = made(&server, new_key()).await;
    let client = server.client(&secret);
    let mut auth = server.operator().auth();
    assert_eq!(key.last_use_time, None);
    let mut noted = NOW;
    for (after, is_noted) in [(0, true), (MINUTE - SECOND, false), (SECOND, true)] {
        server.clock().advance(after);
        let now = server.now();
        noted = if is_noted { now } else { noted };
        assert_eq!(tracked(&client, "search").await, "ALLOWED");
        let seen = async {
            loop {
                let request = v1::GetApiKeyRequest { id: key.id.clone() };
                let key = auth.get_api_key(request).await.unwrap().into_inner().api_key.unwrap();
                if key.last_use_time.is_some_and(|at| at.seconds == noted) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), seen).await.expect("the use is noted");
    }
}

#[tokio::test]
async fn what_is_no_service_or_network_is_said_by_its_place() {
    let server = Server::new().await;
    let request = v1::CreateApiKeyRequest {
        allowed_services: vec![String::from("search"), String::new()],
        allowed_networks: vec![String::from("10.0.0.0/33"), String::from("10.0.0.1/8")],
        ..new_key()
    };
    let refused = server.operator().auth().create_api_key(request).await.unwrap_err();
    let details = refused.get_error_details();
    let fields: Vec<_> =
        details.bad_request().unwrap().field_violations.iter().map(|wrong| wrong.field.as_str()).collect();
    assert_eq!(fields, ["allowed_services[1]", "allowed_networks[0]", "allowed_networks[1]"]);
}
