//! I11: a key that is revoked through one replica is refused by all of them within five seconds.

use std::time::{Duration, Instant};

use tollgate_client::v1::{CreateApiKeyRequest, RevokeApiKeyRequest, WhoAmIRequest};

use super::{Fleet, REPLICAS, Setup, cycles};
use crate::connection::Connection;
use crate::say;
use crate::tenants::{publish, subscribe};

const TENANT: &str = "revoked";
/// What is promised while the store can be reached.
const PROMISED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_by_every_replica_within_five_seconds() {
    let Some(fleet) = Fleet::start(Setup::CALM).await else { return };
    let replicas = fleet.each();
    publish(&replicas[0], "plain", Default::default()).await.unwrap();
    subscribe(&replicas[0], TENANT, "plain").await.unwrap();

    let mut longest = Duration::ZERO;
    let mut turns = (0..REPLICAS).cycle();
    for number in 0..cycles() {
        let (id, secret) = key(&replicas[0], number).await;
        let by: Vec<Connection> = replicas.iter().map(|replica| replica.with_credential(&secret)).collect();
        // Each replica knows the key, and would remember it.
        for replica in &by {
            until(replica, Answer::Taken).await;
        }
        let revoker = &replicas[turns.next().expect("turns do not end")];
        let revocation = revoker.ask(RevokeApiKeyRequest { id });
        revoker.auth().revoke_api_key(revocation).await.unwrap();
        let since = Instant::now();
        for replica in &by {
            until(replica, Answer::Refused).await;
        }
        longest = longest.max(since.elapsed());
    }
    say(&format!("{} keys revoked: refused by all {REPLICAS} replicas after {longest:?} at most", cycles()));
    assert!(longest <= PROMISED, "a revoked key was taken for {longest:?}");
}

async fn key(replica: &Connection, number: u64) -> (String, String) {
    let request = CreateApiKeyRequest {
        tenant_id: TENANT.to_owned(),
        name: format!("key {number}"),
        request_id: format!("key-{number}"),
        ..Default::default()
    };
    let made = replica.auth().create_api_key(replica.ask(request)).await.unwrap().into_inner();
    (made.api_key.unwrap().id, made.secret)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused,
}

/// Asks until that is the answer; for twice as long as is promised, so that the failure says how long it took.
async fn until(replica: &Connection, wanted: Answer) {
    let since = Instant::now();
    loop {
        let answer = match replica.auth().who_am_i(replica.ask(WhoAmIRequest {})).await {
            Ok(_) => Answer::Taken,
            Err(status) if status.code() == tonic::Code::Unauthenticated => Answer::Refused,
            Err(status) => panic!("{status:?}"),
        };
        if answer == wanted {
            return;
        }
        assert!(since.elapsed() < 2 * PROMISED, "no end of it in {:?}", since.elapsed());
        tokio::time::sleep(POLL).await;
    }
}
