//! Redis that is not there, not itself, or not fit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use test_servers::Redis;
use tollgate::adapters::guarded::GuardedCounters;
use tollgate::adapters::redis::RedisError;
use tollgate::adapters::redis::counters::{RedisCounters, Settings};
use tollgate::gate::counters::{Charged, Counters};
use tollgate::gate::decision::{Basis, Decision, DenialReason, Verdict};
use tollgate::gate::fallback::Fallback;
use tollgate::gate::policy::{FailPolicy, RateKind};
use tollgate::gate::state::State;
use tollgate::secrets::current::Current;
use tollgate::tasks::Tasks;
use tollgate::time::{HOUR, SystemClock};

use super::{ACME, demand, denied, grant, with_quota, with_rate};

/// As in service.
const TIMEOUT: Duration = Duration::from_millis(50);
/// What a call may take beyond it on a busy machine.
const BUSY: Duration = Duration::from_millis(450);
const PATIENCE: Duration = Duration::from_secs(20);

fn settings(url: String) -> Settings {
    Settings {
        url: Current::new(SecretString::from(url)),
        ca_file: None,
        timeout: TIMEOUT,
        connect_timeout: PATIENCE,
    }
}

async fn connect(url: String) -> Result<RedisCounters, RedisError> {
    RedisCounters::connect(&settings(url), Arc::new(SystemClock), &Tasks::default()).await
}

/// Asks until the answer is one that is looked for.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "it did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_another_life_of_the_server_left_is_missing_never_counted_on() {
    // What was kept on disk is there again, but may be older than what was answered (rule N).
    let kept = [("appendonly", "yes"), ("appendfsync", "always")];
    let Some(mut server) = Redis::start_with(&kept) else { return };
    let counters = connect(server.url()).await.unwrap();
    counters.install(ACME, State { epoch: 7, ..State::default() }).await.unwrap();
    let five = with_quota(5);
    for event in 0..3 {
        counters.charge(ACME, &five, &demand(event, 0)).await.unwrap();
    }
    server.restart();
    let charged = until(async || counters.charge(ACME, &five, &demand(9, 0)).await.ok()).await;
    assert!(matches!(charged, Charged::Missing), "{charged:?}");
    assert!(!server.command(&["KEYS", "*"]).is_empty(), "the keys are there");
    assert!(counters.read(ACME).await.unwrap().is_none());
    counters.install(ACME, State { epoch: 8, ..State::default() }).await.unwrap();
    let Charged::Decided(anew) = counters.charge(ACME, &five, &demand(10, 0)).await.unwrap() else {
        panic!("not decided");
    };
    assert_eq!((anew.epoch, anew.number, anew.limits[0].remaining), (8, 1, Some(4)));
}

#[tokio::test]
async fn scripts_and_counters_that_were_flushed_come_again() {
    let Some(server) = Redis::start() else { return };
    let counters = connect(server.url()).await.unwrap();
    for flush in [["SCRIPT", "FLUSH"].as_slice(), &["FLUSHALL"]] {
        counters.install(ACME, State::default()).await.unwrap();
        assert_eq!(server.command(flush), "OK");
        let charged = counters.charge(ACME, &with_quota(5), &demand(1, 0)).await.unwrap();
        let is_missing = matches!(charged, Charged::Missing);
        assert_eq!(is_missing, flush == ["FLUSHALL"], "{charged:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_waited_for_within_the_bound_and_shares_hold() {
    let Some(server) = Redis::start() else { return };
    let store = Arc::new(connect(server.url()).await.unwrap());
    let fallback = Fallback {
        limits: FailPolicy::Local,
        credits: FailPolicy::Closed,
        replicas: NonZeroU32::new(3).unwrap(),
    };
    let counters = GuardedCounters::new(store, fallback, Arc::new(SystemClock));
    counters.install(ACME, State::default()).await.unwrap();
    assert!(counters.grant(ACME, grant("gift", 100)).await.unwrap());
    let limit = with_rate(RateKind::Sliding, 20, HOUR);
    let mut event = 0;
    let mut ask = async |price_micros| {
        event += 1;
        let since = Instant::now();
        let charged = counters.charge(ACME, &limit, &demand(event, price_micros)).await.unwrap();
        assert!(since.elapsed() < TIMEOUT + BUSY, "{:?}", since.elapsed());
        let Charged::Decided(decision) = charged else { panic!("{charged:?}") };
        *decision
    };
    let first: Decision = ask(1).await;
    assert_eq!((first.basis, first.number, first.verdict), (Basis::Counters, 2, Verdict::Allowed));

    server.pause();
    let mut alone = Vec::new();
    for _ in 0..50 {
        alone.push(ask(0).await);
    }
    assert!(alone.iter().all(|decision| decision.basis == Basis::Local && decision.number == 0));
    let allowed = alone.iter().filter(|decision| decision.verdict == Verdict::Allowed).count();
    assert_eq!(allowed, 6, "a third of twenty, rounded down");
    server.resume();
    until(async || (ask(0).await.basis == Basis::Counters).then_some(())).await;

    server.pause();
    let priced = until(async || Some(ask(1).await).filter(|decision| decision.basis == Basis::Local)).await;
    assert!(matches!(denied(&priced), Some(DenialReason::RateLimited | DenialReason::CreditsExhausted)));
    server.resume();
}

#[tokio::test]
async fn what_cannot_keep_counters_is_refused_by_name_and_without_a_secret() {
    let refused = async |url: String| {
        let error = connect(url).await.map(drop).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("s3cret"), "{said}");
        (error, said)
    };
    let (error, _) = refused(String::from("http://127.0.0.1:1")).await;
    assert!(matches!(error, RedisError::Url) && !error.is_passing());
    let (error, said) = refused(String::from("redis://:s3cret@127.0.0.1:1")).await;
    assert!(matches!(error, RedisError::Unreachable { .. }) && error.is_passing(), "{said}");
    let without_tls =
        Settings { ca_file: Some("/dev/null".into()), ..settings(String::from("redis://127.0.0.1:1")) };
    let connected = RedisCounters::connect(&without_tls, Arc::new(SystemClock), &Tasks::default()).await;
    assert!(matches!(connected.map(drop), Err(RedisError::CaFileWithoutTls)));

    let Some(evicting) = Redis::start_with(&[("maxmemory-policy", "allkeys-lru")]) else { return };
    let (error, said) = refused(evicting.url()).await;
    assert!(matches!(error, RedisError::Eviction { .. }) && said.contains("allkeys-lru"), "{said}");
    let Some(locked) = Redis::start_with(&[("requirepass", "another")]) else { return };
    for user in ["", ":s3cret@", "who:s3cret@"] {
        let (error, said) = refused(format!("redis://{user}127.0.0.1:{}", locked.port())).await;
        assert!(matches!(error, RedisError::Credentials) && !error.is_passing(), "{user}: {said}");
    }
    assert!(connect(format!("redis://:another@127.0.0.1:{}", locked.port())).await.is_ok());
}
