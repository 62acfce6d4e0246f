//! A Redis that is reached over TLS: whom the certificates vouch for, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use test_servers::Redis;
use test_servers::certificates::{Authority, Pair, Tls};
use tollgate::adapters::redis::counters::{RedisCounters, Settings};
use tollgate::gate::counters::Counters as _;
use tollgate::gate::state::State;
use tollgate::tasks::Tasks;
use tollgate::time::ManualClock;

use super::redis::settings;
use super::{ACME, NOON, decided, demand, policy};

/// Until a server that must not be trusted is given up.
const BRIEF: Duration = Duration::from_secs(1);

/// The counters, or why not.
async fn connect(settings: &Settings) -> Result<RedisCounters, String> {
    let connected =
        RedisCounters::connect(settings, Arc::new(ManualClock::at(NOON)), &Tasks::default()).await;
    connected.map_err(|refused| {
        assert!(refused.is_passing(), "{refused}");
        refused.to_string()
    })
}

#[tokio::test]
async fn a_server_is_spoken_to_that_the_certificates_vouch_for() {
    let directory = tempfile::tempdir().unwrap();
    let [ours, other] = ["ours", "other"].map(|name| Authority::new(directory.path(), name));
    let Pair { certificate, key } = ours.server("server");
    let tls = Tls { certificate, key, clients: None };
    let Some(server) = Redis::start_with_tls(&tls, &[]) else { return };
    let trusting = |authority: Option<&Authority>| Settings {
        ca_file: authority.map(|authority| authority.certificate().to_owned()),
        connect_timeout: BRIEF,
        ..settings(server.url())
    };

    let counters = connect(&trusting(Some(&ours))).await.expect("it is ours");
    counters.install(ACME, State::default()).await.unwrap();
    assert_eq!(decided(&counters, &policy(), &demand(1, 0)).await.number, 1);
    for wrong in [Some(&other), None] {
        let refused = connect(&trusting(wrong)).await.expect_err("nobody we know vouches for it");
        assert!(refused.starts_with("Redis cannot be reached"), "{refused}");
    }
    // A server that speaks no TLS is not spoken to in the clear either.
    let plain = Settings {
        ca_file: Some(ours.certificate().to_owned()),
        connect_timeout: BRIEF,
        ..settings(format!("rediss://127.0.0.1:{}", server.port()))
    };
    assert!(connect(&plain).await.is_err());
}
