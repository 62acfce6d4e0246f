//! Stores that die, forget and stand still, while the replicas are well.

use super::RedisPatience;
use super::harm::Harm;
use super::replicas::survives;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_is_exact_whatever_redis_forgets() {
    let harms = [Harm::RedisFlushed, Harm::RedisKilled, Harm::RedisPaused];
    survives("a Redis that forgets or is away", RedisPatience::Short, &harms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_the_store_is_away() {
    survives("a store that is away", RedisPatience::Long, &[Harm::MongoKilled, Harm::MongoPaused]).await;
}
