//! A disk that is full: nothing is acknowledged that is not kept, and the server says why it ends.

use std::net::SocketAddr;

use tollgate_client::{Client, v1};

use crate::program::{Program, free_address, operator, ready, tollgate, with_file_limit};

/// Enough for the server's files at first, and not for many events.
const FILE_BYTES: u64 = 1 << 20;
/// The server would have hit the limit long before.
const CALLS_MAX: usize = 20_000;

async fn tenant(address: SocketAddr) -> Client {
    let operator = operator(address);
    let request = v1::CreateTenantRequest {
        tenant_id: "acme".into(),
        name: "Acme".into(),
        plan: "enterprise".into(),
        ..Default::default()
    };
    operator.admin().create_tenant(request).await.unwrap();
    let request = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::Tenant.into(),
        tenant_id: "acme".into(),
        name: "test".into(),
        ..Default::default()
    };
    let key = operator.auth().create_api_key(request).await.unwrap().into_inner().secret;
    Client::builder().endpoint(format!("http://{address}")).api_key(key).tenant("").build().unwrap()
}

fn batch(client: &Client, number: usize) -> v1::TrackBatchRequest {
    let requests = (0..20).map(|place| {
        client.request(v1::UsageEvent {
            id: format!("event-{number}-{place}"),
            service: "search".into(),
            endpoint: "/find".into(),
            metadata: [("note".into(), "x".repeat(1_000))].into(),
            ..Default::default()
        })
    });
    v1::TrackBatchRequest { requests: requests.collect() }
}

/// The ids that were acknowledged, until the first call that failed.
async fn track_until_it_fails(client: &Client) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..CALLS_MAX {
        let Ok(answer) = client.track().track_batch(batch(client, number)).await else { return acknowledged };
        let before = acknowledged.len();
        for result in answer.into_inner().results {
            if let Some(v1::track_result::Result::Response(response)) = result.result {
                acknowledged.push(response.event_id);
            }
        }
        if acknowledged.len() < before + 20 {
            return acknowledged;
        }
    }
    panic!("the limit of the disk was never met");
}

async fn kept(address: SocketAddr) -> std::collections::BTreeSet<String> {
    let mut kept = std::collections::BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListEventsRequest {
            tenant_id: "acme".into(),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = operator(address).track().list_events(request).await.unwrap().into_inner();
        kept.extend(page.events.into_iter().filter_map(|event| Some(event.event?.id)));
        if page.next_page_token.is_empty() {
            return kept;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_full_disk() {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let command = tollgate(&["--listen", &address.to_string()], data.path());
    let limited = Program::spawn(with_file_limit(&command, FILE_BYTES));
    ready(address).await;
    let client = tenant(address).await;
    let acknowledged = track_until_it_fails(&client).await;
    assert!(!acknowledged.is_empty());

    let ended = limited.ended().await;
    assert_eq!(Some(1), ended.status.code(), "{ended:?}");
    let sentence = ended.stderr.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("tollgate: "), "{ended:?}");

    let program = Program::spawn(command);
    ready(address).await;
    let fresh = v1::QueryUsageRequest {
        tenant_id: "acme".into(),
        freshness: v1::Freshness::Fresh.into(),
        ..Default::default()
    };
    operator(address).track().query_usage(fresh).await.unwrap();
    let kept = kept(address).await;
    let lost: Vec<_> = acknowledged.iter().filter(|id| !kept.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), acknowledged.len());
    program.terminate();
    assert!(program.ended().await.status.success());
}
