//! What is asked of a server before it is trusted with counters: who it is, and whether it keeps them.

use std::sync::Arc;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, FromRedisValue};

use crate::adapters::redis::RedisError;

/// The first version whose scripts do what ours ask for.
const MAJOR_MIN: u32 = 7;
/// The number of a cluster's slots.
const SLOTS: u16 = 16_384;

/// Slots, first and last, and the server that has them.
pub(super) type Share = (u16, u16, String);

/// Who the server is: a process, and the history of its data. Either is new when the data may be (rule N).
pub(super) async fn identity(connection: &mut MultiplexedConnection) -> Result<Arc<str>, RedisError> {
    let info = info(connection).await?;
    let field = |name: &'static str| field(&info, name).ok_or(RedisError::Answer { what: "INFO" });
    if field("role")? != "master" {
        return Err(RedisError::Replica);
    }
    Ok(Arc::from(format!("{} {}", field("run_id")?, field("master_replid")?)))
}

/// Whether the server will do: its version, and that it never evicts. Answers whether it is one of a cluster.
pub(super) async fn check(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    let info = info(connection).await?;
    // Valkey says the Redis version that it stands for.
    let version = field(&info, "redis_version").ok_or(RedisError::Answer { what: "INFO" })?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < MAJOR_MIN) {
        return Err(RedisError::Version { found: version.to_owned() });
    }
    // INFO says it too, so that nobody has to be allowed CONFIG.
    let policy = field(&info, "maxmemory_policy").ok_or(RedisError::Answer { what: "INFO memory" })?;
    if policy != "noeviction" {
        return Err(RedisError::Eviction { found: policy.to_owned() });
    }
    Ok(field(&info, "cluster_enabled") == Some("1"))
}

/// Which server of a cluster has which slots. `here` stands for a server that does not know its own address.
pub(super) async fn shares(
    connection: &mut MultiplexedConnection,
    here: &str,
) -> Result<Vec<Share>, RedisError> {
    let answer: Vec<redis::Value> = ask(connection, "CLUSTER SLOTS").await?;
    let shares: Option<Vec<Share>> = answer.into_iter().map(|range| share(range, here)).collect();
    let unknown = RedisError::Answer { what: "CLUSTER SLOTS" };
    let shares = shares.ok_or(unknown)?;
    let covered: u32 = shares.iter().map(|(first, last, _)| u32::from(last.saturating_sub(*first)) + 1).sum();
    if covered < u32::from(SLOTS) {
        return Err(RedisError::Unreachable {
            reason: format!("the cluster serves {covered} slots of {SLOTS}"),
        });
    }
    Ok(shares)
}

fn share(range: redis::Value, here: &str) -> Option<Share> {
    let redis::Value::Array(parts) = range else { return None };
    let [first, last, master, ..] =
        <[redis::Value; 3]>::try_from(parts.into_iter().take(3).collect::<Vec<_>>()).ok()?;
    let redis::Value::Array(master) = master else { return None };
    let mut master = master.into_iter();
    let host: Option<String> = FromRedisValue::from_redis_value(master.next()?).ok()?;
    let port: u16 = FromRedisValue::from_redis_value(master.next()?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| here.to_owned());
    let first = FromRedisValue::from_redis_value(first).ok()?;
    let last = FromRedisValue::from_redis_value(last).ok()?;
    Some((first, last, format!("{host}:{port}")))
}

async fn info(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    ask(connection, "INFO").await
}

async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &'static str,
) -> Result<T, RedisError> {
    let mut words = command.split(' ');
    let mut asked = redis::cmd(words.next().unwrap_or_default());
    for word in words {
        asked.arg(word);
    }
    asked.query_async(connection).await.map_err(|error| RedisError::of(&error, command))
}

/// A field of `INFO`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
