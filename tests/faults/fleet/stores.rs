//! Stores that die, forget and stand still, and ways to them that lose what passes, while the replicas are well.

use super::harm::Harm;
use super::network::Store;
use super::replicas::survives;
use super::{RedisPatience, Setup, Ways};

const IMPATIENT: Setup = Setup { patience: RedisPatience::Short, ..Setup::CALM };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_exact_whatever_redis_forgets() {
    let harms = [Harm::RedisFlushed, Harm::RedisKilled, Harm::RedisPaused];
    survives("a Redis that forgets or is away", IMPATIENT, &harms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_the_store_is_away() {
    let harms = [Harm::MongoKilled, Harm::MongoPaused];
    survives("a store that dies or stands still", Setup::CALM, &harms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_by_what_happens_on_the_way() {
    let harms = [Harm::WayHarmed(Store::Redis), Harm::WayHarmed(Store::Mongo)];
    survives("ways that lose what passes", Setup { ways: Ways::Proxied, ..IMPATIENT }, &harms).await;
}
