//! The contract of `Failures`.

use std::sync::Arc;

use test_servers::Redis;
use tollgate::adapters::memory::failures::MemoryFailures;
use tollgate::adapters::redis::failures::RedisFailures;
use tollgate::identity::lockout::failures::{Count, Failures};
use tollgate::tasks::Tasks;
use tollgate::time::{MINUTE, SECOND, Timestamp};

use crate::counters::redis::{servers, settings};

/// A Sunday noon.
const NOON: Timestamp = Timestamp::from_micros(1_793_534_400_000_000);

/// Every adapter.
async fn adapters() -> Vec<(&'static str, Arc<dyn Failures>)> {
    let mut adapters: Vec<(&'static str, Arc<dyn Failures>)> =
        vec![("memory", Arc::new(MemoryFailures::default()))];
    for (name, url) in servers() {
        adapters.push((name, connect(url).await));
    }
    adapters
}

async fn connect(url: String) -> Arc<RedisFailures> {
    let connected = RedisFailures::connect(&settings(url), &Tasks::default()).await;
    Arc::new(connected.expect("a server that has just answered"))
}

/// A name that no other case has.
fn name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn count(failures: u32, ends_at: Timestamp) -> Count {
    Count { failures, ends_at }
}

#[tokio::test]
async fn count_lives_from_its_first_failure() {
    for (adapter, failures) in adapters().await {
        let (name, other) = (name(), name());
        let end = NOON.plus(MINUTE);
        for (failure, second) in [(1, 0), (2, 30), (3, 59)] {
            let counted = failures.add(&name, MINUTE, NOON.plus(second * SECOND)).await;
            assert_eq!(counted, count(failure, end), "{adapter}");
        }
        assert_eq!(failures.add(&other, MINUTE, NOON).await, count(1, end), "{adapter}: another's");
        assert_eq!(failures.add(&name, MINUTE, end).await, count(1, end.plus(MINUTE)), "{adapter}: anew");
        // The clock has stepped back by an hour: what was counted then ends too late.
        let before = NOON.minus(60 * MINUTE);
        assert_eq!(failures.add(&name, MINUTE, before).await, count(1, before.plus(MINUTE)), "{adapter}");
    }
}

#[tokio::test]
async fn count_goes_down_to_nothing_and_is_forgotten() {
    for (adapter, failures) in adapters().await {
        let (name, end) = (name(), NOON.plus(MINUTE));
        failures.take_back(&name, NOON).await;
        assert_eq!(failures.add(&name, MINUTE, NOON).await, count(1, end), "{adapter}");
        for _ in 0..3 {
            failures.take_back(&name, NOON).await;
        }
        assert_eq!(failures.add(&name, MINUTE, NOON).await, count(1, end), "{adapter}");
        failures.add(&name, MINUTE, NOON).await;
        failures.take_back(&name, NOON).await;
        assert_eq!(failures.add(&name, MINUTE, NOON).await, count(2, end), "{adapter}");
        failures.take_back(&name, end).await;
        assert_eq!(failures.add(&name, MINUTE, NOON).await, count(3, end), "{adapter}: one that has ended");
        failures.forget(&name).await;
        failures.forget(&name).await;
        assert_eq!(failures.add(&name, MINUTE, NOON).await, count(1, end), "{adapter}");
    }
}

#[tokio::test]
async fn of_many_at_once_each_has_its_number() {
    for (adapter, failures) in adapters().await {
        let name = name();
        let adding = (0..50).map(|_| failures.add(&name, MINUTE, NOON));
        let mut numbers: Vec<u32> =
            futures_util::future::join_all(adding).await.iter().map(|count| count.failures).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>(), "{adapter}");
    }
}

#[tokio::test]
async fn servers_share_what_they_count_in_redis() {
    for (adapter, url) in servers() {
        let (one, other, name) = (connect(url.clone()).await, connect(url).await, name());
        one.add(&name, MINUTE, NOON).await;
        assert_eq!(other.add(&name, MINUTE, NOON).await.failures, 2, "{adapter}");
    }
}

#[tokio::test]
async fn without_redis_a_server_counts_alone() {
    let Some(mut redis) = Redis::start() else { return };
    let (failures, name) = (connect(redis.url()).await, name());
    assert_eq!(failures.add(&name, MINUTE, NOON).await.failures, 1);
    redis.kill();
    assert_eq!(failures.add(&name, MINUTE, NOON).await.failures, 1);
    assert_eq!(failures.add(&name, MINUTE, NOON).await.failures, 2);
    failures.take_back(&name, NOON).await;
    assert_eq!(failures.add(&name, MINUTE, NOON).await.failures, 2);
    failures.forget(&name).await;
    assert_eq!(failures.add(&name, MINUTE, NOON).await.failures, 1);
}
