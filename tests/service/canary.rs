//! A secret in every place that can carry one, and none of them anywhere that people or programs look.

mod aviary;
mod people;
mod readings;

use axum::http::StatusCode;
use tollgate_client::{Client, v1};
use tonic::Status;

use crate::listeners::{collector, sentry};
use crate::program::{OPERATOR_KEY, operator};
use crate::raw::{exchange, post_track};
use crate::telemetry::{damage, ended, get_tenant, server, with_tenant};

/// A password, as it stands in the address of a store.
const PASSWORD: &str = "canary-hunter2";

/// What a caller sends who confuses every field with the one for credentials.
fn confused(secret: &str) -> v1::UsageEvent {
    v1::UsageEvent {
        id: secret.into(),
        service: secret.into(),
        endpoint: format!("/{secret}"),
        method: secret.into(),
        region: secret.into(),
        feature: secret.into(),
        model: secret.into(),
        country: secret.into(),
        api_version: secret.into(),
        consumers: vec![v1::Consumer { kind: v1::ConsumerKind::User.into(), id: secret.into() }],
        dimensions: [(String::from("d"), secret.to_owned())].into_iter().collect(),
        metadata: [(String::from("m"), secret.to_owned())].into_iter().collect(),
        ..Default::default()
    }
}

/// Calls whatever takes a text, with that secret in it. The answers that are errors.
async fn call_everything(client: &Client, secret: &str) -> Vec<Status> {
    let tenant_id = secret.to_owned();
    let mut errors = Vec::new();
    macro_rules! call {
        ($service:ident.$method:ident($request:expr)) => {
            errors.extend(client.$service().$method($request).await.err());
        };
    }
    for event in [confused(secret), v1::UsageEvent { service: secret.into(), ..confused("x") }] {
        let request = client.request(event);
        let foreign = v1::TrackRequest { api_key: secret.into(), ..request.clone() };
        let both = v1::TrackRequest { tenant_id: tenant_id.clone(), ..foreign.clone() };
        call!(track.track(request.clone()));
        call!(track.track(foreign));
        call!(track.track(both));
        call!(track.track_batch(v1::TrackBatchRequest { requests: vec![request.clone()] }));
        call!(track.check(v1::CheckRequest {
            event: request.event,
            api_key: secret.into(),
            ..Default::default()
        }));
    }
    call!(track.get_limits(v1::GetLimitsRequest { tenant_id: tenant_id.clone(), ..Default::default() }));
    call!(track.list_events(v1::ListEventsRequest { page_token: secret.into(), ..Default::default() }));
    call!(track.query_usage(v1::QueryUsageRequest { tenant_id: tenant_id.clone(), ..Default::default() }));
    call!(admin.get_tenant(get_tenant(secret)));
    call!(admin.create_tenant(v1::CreateTenantRequest {
        tenant_id: tenant_id.clone(),
        plan: secret.into(),
        request_id: secret.into(),
        ..Default::default()
    }));
    call!(plans.get_wallet(v1::GetWalletRequest { tenant_id: tenant_id.clone() }));
    call!(auth.create_api_key(v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::Tenant.into(),
        tenant_id,
        name: secret.into(),
        ..Default::default()
    }));
    errors
}

/// Where a text says that, with a little of what stands around it.
fn excerpt(text: &str, secret: &str) -> Option<String> {
    let (before, after) = text.split_once(secret)?;
    let before: Vec<char> = before.chars().rev().take(300).collect();
    let before: String = before.into_iter().rev().collect();
    Some(format!("{before}…{}", after.chars().take(100).collect::<String>()))
}

#[tokio::test]
async fn no_secret_is_ever_said() {
    let data = tempfile::tempdir().unwrap();
    let (program, address) = server(&data, &[]).await;
    let key = with_tenant(&operator(address)).await;
    ended(program).await;
    damage(&data);

    let ((sentry, envelopes), (collector, kept)) = (sentry(StatusCode::OK).await, collector().await);
    let (dsn, endpoint) = (format!("http://{PASSWORD}@{sentry}/42"), format!("http://{collector}"));
    let variables = [
        ("TOLLGATE_SENTRY_DSN", dsn.as_str()),
        ("TOLLGATE_TRACES_ENDPOINT", endpoint.as_str()),
        ("TOLLGATE_LOG_LEVEL", "trace"),
    ];
    let (program, address) = server(&data, &variables).await;
    let at = |credential: &str| {
        Client::builder()
            .endpoint(format!("http://{address}"))
            .api_key(credential)
            .tenant("")
            .build()
            .unwrap()
    };
    let address_of_a_store = format!("mongodb://me:{PASSWORD}@db.test/x");
    let secrets = [key.as_str(), OPERATOR_KEY, address_of_a_store.as_str()];
    let mut errors = Vec::new();
    for credential in [key.as_str(), OPERATOR_KEY, &format!("{key}0"), &format!("{OPERATOR_KEY}0")] {
        for secret in secrets {
            errors.extend(call_everything(&at(credential), secret).await);
        }
        let headers = [("content-type", "application/json"), ("authorization", credential)];
        post_track(address, &headers, &format!("{{\"api_key\": {key:?}, \"password\": {PASSWORD:?}}}")).await;
        exchange(address, format!("GET /{key} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
    }
    errors.extend(operator(address).admin().get_tenant(get_tenant("acme")).await.err());
    let metrics = exchange(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let ended = ended(program).await;

    let (spans, envelopes) = (format!("{:?}", kept.all()), format!("{:?}", envelopes.all()));
    assert!(spans.contains("Track") && envelopes.contains("GetTenant") | envelopes.contains("a defect"));
    assert!(ended.stderr.contains("DEBUG") && metrics.contains("tollgate_calls_total") && errors.len() > 50);
    let bodies = envelopes.replace(&format!("sentry_key={PASSWORD}"), "");
    let errors = errors.iter().map(|error| format!("{error:?}")).collect::<Vec<_>>();
    let random = key.rsplit('_').next().unwrap();
    for canary in [random, OPERATOR_KEY, PASSWORD] {
        for (place, text) in [
            ("log", ended.stderr.as_str()),
            ("output", ended.stdout.as_str()),
            ("spans", spans.as_str()),
            ("envelopes", bodies.as_str()),
            ("metrics", metrics.as_str()),
        ] {
            let said = excerpt(text, canary);
            assert_eq!(None, said, "the {place} has a secret");
        }
    }
    // The operator's key has no form of its own: who sends it as the name of a tenant may read that name again.
    for canary in [random, PASSWORD] {
        let said = errors.iter().find(|error| error.contains(canary));
        assert_eq!(None, said, "an error has a secret");
    }
}
