//! Ids, tokens and text that try to be more than they are.

use tollgate_client::v1;
use tonic::Code;

use crate::server::{Server, TENANT};

/// Ids that no event, reservation or request may have.
const BAD_IDS: [&str; 20] = [
    " ",
    "a b",
    "a\0",
    "a\r\nb",
    "a\u{202e}b",
    "a\u{200b}b",
    "é",
    "e\u{301}",
    "/",
    "../x",
    "$",
    "{}",
    "{evil}",
    "a*",
    "a?",
    "a;drop",
    "a'b",
    "a\"b",
    "a\\b",
    "a|b",
];
/// Ids that are good, though they look odd.
const GOOD_IDS: [&str; 6] = ["a", "..", ".", "-", "a:b_c-d.e", "0"];

fn event(id: &str) -> v1::UsageEvent {
    v1::UsageEvent { id: id.into(), service: "search".into(), endpoint: "/find".into(), ..Default::default() }
}

#[tokio::test]
async fn an_event_id_is_a_word() {
    let server = Server::new().await;
    let client = server.client(&server.key().await);
    let long = "a".repeat(128);
    for id in GOOD_IDS.into_iter().chain([long.as_str()]) {
        let answer = client.track().track(client.request(event(id))).await.unwrap().into_inner();
        assert_eq!(id, answer.event_id);
    }
    let before = server.snapshot().await;
    let too_long = "a".repeat(129);
    for id in BAD_IDS.into_iter().chain([too_long.as_str()]) {
        let status = client.track().track(client.request(event(id))).await.unwrap_err();
        assert_eq!(Code::InvalidArgument, status.code(), "{id:?}: {status:?}");
        let completion = v1::Completion { event_id: id.into(), status_code: 200, ..Default::default() };
        let request = v1::CompleteRequest { completions: vec![completion], ..Default::default() };
        let result = client.track().complete(request).await.unwrap().into_inner().results.remove(0);
        assert!(result.error.is_some(), "{id:?} was completed");
    }
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn a_tenant_id_is_a_word() {
    let server = Server::new().await;
    let operator = server.operator();
    let too_long = "a".repeat(65);
    for id in BAD_IDS.into_iter().chain(["a:b", too_long.as_str()]) {
        let request =
            v1::CreateTenantRequest { tenant_id: id.into(), name: "Evil".into(), ..Default::default() };
        let status = operator.admin().create_tenant(request).await.unwrap_err();
        assert_eq!(Code::InvalidArgument, status.code(), "{id:?}: {status:?}");
    }
    let tenants =
        operator.admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap().into_inner().tenants;
    assert_eq!(vec![TENANT.to_owned()], tenants.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn tokens_that_we_did_not_make_are_refused() {
    let server = Server::new().await;
    let client = server.client(&server.key().await);
    let operator = server.operator();
    for token in ["x", "AAAA", "../../etc", "{}", "%00", &"A".repeat(10_000)] {
        let page = v1::ListEventsRequest { page_token: token.into(), ..Default::default() };
        let status = client.track().list_events(page).await.unwrap_err();
        assert_eq!(Code::InvalidArgument, status.code(), "{token}: {status:?}");
        let page = v1::ListTenantsRequest { page_token: token.into(), ..Default::default() };
        assert_eq!(
            Code::InvalidArgument,
            operator.admin().list_tenants(page).await.unwrap_err().code(),
            "{token}"
        );
        let watch = v1::WatchUsageRequest { resume_token: token.into(), ..Default::default() };
        let status = match client.track().watch_usage(watch).await {
            Err(status) => status,
            Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        };
        assert_eq!(Code::InvalidArgument, status.code(), "{token}: {status:?}");
    }
}

#[tokio::test]
async fn names_of_callers_making_are_bounded_in_the_ledger() {
    let server = Server::new().await.with_trusting_plan().await;
    let client = server.client(&server.key().await);
    const NAMES: usize = 1_500;
    let requests: Vec<v1::TrackRequest> = (0..NAMES)
        .map(|number| client.request(v1::UsageEvent { endpoint: format!("/{number}"), ..event("") }))
        .collect();
    for part in requests.chunks(500) {
        let batch = v1::TrackBatchRequest { requests: part.to_vec() };
        client.track().track_batch(batch).await.unwrap();
    }
    let query = v1::QueryUsageRequest {
        group_by: Some(v1::DimensionRef {
            dimension: v1::Dimension::Endpoint.into(),
            custom_name: String::new(),
        }),
        freshness: v1::Freshness::Fresh.into(),
        ..Default::default()
    };
    let answer = client.track().query_usage(query).await.unwrap().into_inner();
    assert_eq!(1_001, answer.rows.len());
    let other = answer.rows.iter().find(|row| row.value == "other").and_then(|row| row.totals.as_ref());
    assert_eq!(Some(500), other.map(|totals| totals.calls));
    assert_eq!(Some(1_500), answer.totals.map(|totals| totals.calls));

    let metrics = crate::raw::exchange(
        server.address(),
        b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(!metrics.contains("/1499") && !metrics.contains(TENANT), "metrics have names of callers' making");
}
