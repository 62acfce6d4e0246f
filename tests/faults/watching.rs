//! A watcher that comes back after the server died sees all that happened.

use std::time::Duration;

use tollgate_client::v1::{
    Granularity, TrackRequest, UsageEvent, UsageState, WatchUsageRequest, WatchUsageResponse,
    watch_usage_response::Payload,
};
use tonic::Streaming;

use crate::connection::Connection;
use crate::evidence;
use crate::server::Server;
use crate::tenants::{publish, subscribe};
use crate::verdict::sums::Sums;

const TENANT: &str = "watched";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_resumes_after_a_death_and_misses_nothing() {
    let mut server = Server::new();
    server.start(None).await;
    let connection = server.connection().clone();
    publish(&connection, "watchable", Default::default()).await.unwrap();
    subscribe(&connection, TENANT, "watchable").await.unwrap();

    let mut stream = watch(&connection, "").await;
    track(&connection, 0..20).await;
    let (seen, token) = read_until(&mut stream, 20).await;
    assert_eq!(seen.totals.unwrap().calls, 20);

    track(&connection, 20..25).await;
    server.kill();
    server.start(None).await;
    track(&connection, 25..30).await;

    let mut stream = watch(&connection, &token).await;
    let first = stream.message().await.unwrap().unwrap();
    let Some(Payload::Snapshot(snapshot)) = &first.payload else {
        panic!("a stream starts with a snapshot, not with {first:?}");
    };
    let at_resume = snapshot.totals.clone().unwrap_or_default().calls;
    assert!(at_resume >= 20, "the snapshot forgot what its token includes: {first:?}");
    let last = if at_resume == 30 { snapshot.clone() } else { read_until(&mut stream, 30).await.0 };

    let total = evidence::usage(&connection, TENANT, Granularity::Total, None).await.unwrap();
    assert_eq!(Sums::claimed(&last.totals.unwrap()), Sums::claimed(&total.totals.unwrap()));
}

async fn watch(connection: &Connection, token: &str) -> Streaming<WatchUsageResponse> {
    let request = WatchUsageRequest { tenant_id: TENANT.to_owned(), resume_token: token.to_owned() };
    connection.tracking().watch_usage(connection.ask(request)).await.unwrap().into_inner()
}

async fn track(connection: &Connection, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let event = UsageEvent {
            id: format!("event-{number}"),
            service: "web".to_owned(),
            endpoint: "/search".to_owned(),
            status_code: 200,
            ..Default::default()
        };
        let request = TrackRequest { event: Some(event), tenant_id: TENANT.to_owned(), ..Default::default() };
        connection.tracking().track(connection.ask(request)).await.unwrap();
    }
}

/// Reads until that many calls are seen; answers that state with its token.
async fn read_until(stream: &mut Streaming<WatchUsageResponse>, calls: i64) -> (UsageState, String) {
    let reading = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            let (Some(Payload::Snapshot(state) | Payload::Update(state)), token) =
                (message.payload, message.resume_token)
            else {
                continue;
            };
            if state.totals.as_ref().is_some_and(|totals| totals.calls >= calls) {
                return (state, token);
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}
