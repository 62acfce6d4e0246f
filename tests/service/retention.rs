//! Events are kept for their time, and sums for ever.

use tollgate::time::DAY;
use tollgate_client::v1;

use crate::server::{Server, TENANT};

async fn track(server: &Server, id: &str) -> v1::TrackResponse {
    let event = v1::UsageEvent {
        id: id.to_owned(),
        service: String::from("search"),
        endpoint: String::from("/find"),
        method: String::from("GET"),
        ..v1::UsageEvent::default()
    };
    let request =
        v1::TrackRequest { tenant_id: TENANT.to_owned(), event: Some(event), ..v1::TrackRequest::default() };
    server.operator().track().track(request).await.unwrap().into_inner()
}

/// The ids of the events that are listed, oldest first.
async fn listed(server: &Server) -> Vec<String> {
    let request = v1::ListEventsRequest {
        tenant_id: TENANT.to_owned(),
        freshness: v1::Freshness::Fresh.into(),
        ..v1::ListEventsRequest::default()
    };
    let events = server.operator().track().list_events(request).await.unwrap().into_inner().events;
    let mut ids: Vec<_> = events.into_iter().filter_map(|event| event.event).map(|event| event.id).collect();
    ids.sort();
    ids
}

pub(crate) async fn clean_up(server: &Server) -> v1::JobRun {
    let admin = server.operator().admin();
    let request = v1::RunJobRequest { name: String::from("clean_up"), ..v1::RunJobRequest::default() };
    let started = admin.clone().run_job(request).await.unwrap().into_inner().run.unwrap();
    loop {
        let jobs = admin.clone().list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner().jobs;
        let run = jobs.into_iter().flat_map(|job| job.runs).find(|run| run.id == started.id).unwrap();
        if run.end_time.is_some() {
            return run;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_deleted_their_sums_stay_and_younger_ids_are_still_once() {
    let server = Server::new().await.with_trusting_plan().await;
    track(&server, "old").await;
    server.clock().advance(60 * DAY);
    track(&server, "young").await;
    server.clock().advance(31 * DAY);
    assert_eq!(listed(&server).await, ["old", "young"]);
    let before = server.snapshot().await;

    let run = clean_up(&server).await;
    assert_eq!(run.outcome(), v1::JobOutcome::Succeeded, "{run:?}");
    assert_eq!(listed(&server).await, ["young"]);
    assert_eq!(server.snapshot().await, before, "sums stay as they were");

    track(&server, "young").await;
    assert_eq!(listed(&server).await, ["young"]);
    assert_eq!(server.snapshot().await.usage, before.usage, "31 days old, and counted once");
}
