//! `WatchUsage`: a snapshot, absolute updates, an end that comes with the server's, and a token that leads back.

use tokio_stream::StreamExt as _;
use tollgate_client::v1;
use tollgate_client::v1::watch_usage_response::Payload;
use tonic::{Code, Streaming};

use crate::server::Server;

type Updates = Streaming<v1::WatchUsageResponse>;

async fn watch(server: &Server, key: &str, resume_token: &str) -> Updates {
    let request =
        v1::WatchUsageRequest { resume_token: resume_token.to_owned(), ..v1::WatchUsageRequest::default() };
    server.client(key).track().watch_usage(request).await.unwrap().into_inner()
}

async fn track(server: &Server, key: &str, id: &str) {
    let event = v1::UsageEvent {
        id: id.to_owned(),
        service: "search".into(),
        endpoint: "/find".into(),
        ..v1::UsageEvent::default()
    };
    let request = v1::TrackRequest { event: Some(event), ..v1::TrackRequest::default() };
    server.client(key).track().track(request).await.unwrap();
}

fn calls(response: &v1::WatchUsageResponse) -> Option<i64> {
    match response.payload.as_ref()? {
        Payload::Snapshot(state) | Payload::Update(state) => Some(state.totals.as_ref()?.calls),
        Payload::Heartbeat(_) => None,
    }
}

/// The first answer that shows so many calls; its token.
async fn reaches(updates: &mut Updates, expected: i64) -> String {
    loop {
        let response = updates.next().await.unwrap().unwrap();
        if calls(&response) == Some(expected) {
            return response.resume_token;
        }
    }
}

#[tokio::test]
async fn a_watcher_sees_what_happens_and_does_not_hold_up_the_end() {
    let server = Server::new().await;
    let key = server.key().await;
    let mut updates = watch(&server, &key, "").await;
    reaches(&mut updates, 0).await;
    track(&server, &key, "a").await;
    track(&server, &key, "b").await;
    let token = reaches(&mut updates, 2).await;

    let began = std::time::Instant::now();
    let server = server.restarted(|_| {}).await;
    // The end would otherwise wait for all its patience: ten seconds.
    assert!(began.elapsed().as_secs() < 9, "the stream held up the end");
    let end = updates.next().await.unwrap().unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");

    let mut updates = watch(&server, &key, &token).await;
    track(&server, &key, "c").await;
    reaches(&mut updates, 3).await;
}

#[tokio::test]
async fn a_token_of_another_tenant_is_refused() {
    let server = Server::new().await.with_tenant("other", "free").await;
    let (key, other) = (server.key().await, server.key_of("other").await);
    let token = watch(&server, &key, "").await.next().await.unwrap().unwrap().resume_token;
    for wrong in [token.as_str(), "abc", "00"] {
        let request =
            v1::WatchUsageRequest { resume_token: wrong.to_owned(), ..v1::WatchUsageRequest::default() };
        let refused = server.client(&other).track().watch_usage(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}: {refused:?}");
    }
}
