//! What a replica charged and never wrote, and of whom no batch of its journal speaks.

use std::time::{Duration, Instant};

use tollgate_client::v1::{PlanSpec, Quota, TrackRequest, UsageEvent};

use super::{Fleet, Setup};
use crate::connection::Connection;
use crate::evidence;
use crate::tenants::{publish, subscribe};

const TENANT: &str = "lonely";
const LIMIT: i64 = 100;
/// The lease of the dead, the pending mark, and much more for two busy cores.
const PATIENCE: Duration = Duration::from_secs(90);
/// The longest look of a reconciler on two busy cores.
const LOOK: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

/// Once the journal told whose counters to look at: the first charge of a tenant through a replica that then died stayed,
/// and no batch said so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_that_a_dead_replica_never_wrote_is_given_back() {
    let Some(mut fleet) = Fleet::start(Setup::CALM).await else { return };
    let replicas = fleet.each();
    let quota = Quota { name: "month".to_owned(), limit: Some(LIMIT), ..Default::default() };
    let spec = PlanSpec { quotas: vec![quota], ..Default::default() };
    publish(&replicas[0], "small", spec).await.unwrap();
    subscribe(&replicas[0], TENANT, "small").await.unwrap();
    track(&replicas[1], "kept").await.unwrap();

    fleet.kill(0);
    fleet.replicas[0].start(Some("kill:before_append:1")).await;
    assert!(track(&replicas[0], "lost").await.is_err(), "the replica dies before it writes");
    fleet.replicas[0].wait_for_end(PATIENCE).await;
    assert!(fleet.replicas[0].has_ended());

    // Whoever has taken up what the dead one left looks at those who come afterwards.
    let since = Instant::now();
    let mut calls = 1;
    loop {
        for replica in &replicas[1..] {
            track(replica, &format!("call-{calls}")).await.unwrap();
            calls += 1;
        }
        if is_corrected(&replicas[1], calls).await {
            return;
        }
        assert!(calls < LIMIT && since.elapsed() < PATIENCE, "what was never written is still charged");
    }
}

/// Whether the counters have so many calls, and no more, before long.
async fn is_corrected(replica: &Connection, calls: i64) -> bool {
    let since = Instant::now();
    while since.elapsed() < LOOK {
        let limits = evidence::limits(replica, TENANT).await.unwrap();
        if limits.limits[0].remaining == Some(LIMIT - calls) {
            return true;
        }
        tokio::time::sleep(POLL).await;
    }
    false
}

async fn track(replica: &Connection, id: &str) -> Result<(), tonic::Status> {
    let event = UsageEvent {
        id: id.to_owned(),
        service: "web".to_owned(),
        endpoint: "/find".to_owned(),
        ..Default::default()
    };
    let request = TrackRequest { tenant_id: TENANT.to_owned(), event: Some(event), ..Default::default() };
    replica.tracking().track(replica.ask(request)).await.map(|_| ())
}
