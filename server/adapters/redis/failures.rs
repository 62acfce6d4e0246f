//! `Failures` on Redis, over a connection of their own: who guesses passwords must not stand before a decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_redis::redis::Value;
use std::sync::{Mutex, PoisonError};
use tracing::warn;

use crate::adapters::memory::failures::MemoryFailures;
use crate::adapters::redis::RedisError;
use crate::adapters::redis::access::Settings;
use crate::adapters::redis::link::{Order, Work};
use crate::adapters::redis::nodes::Nodes;
use crate::adapters::redis::scripts::Kind;
use crate::identity::lockout::failures::{Count, Failures};
use crate::tasks::Tasks;
use crate::time::Timestamp;

/// Between two lines of the log about a Redis that is away.
const SPEAK: Duration = Duration::from_secs(60);

/// Counts in Redis; while that is away, those of this process.
#[derive(Debug)]
pub struct RedisFailures {
    nodes: Arc<Nodes>,
    patience: Duration,
    own: MemoryFailures,
    spoken: Mutex<Option<Instant>>,
}

impl RedisFailures {
    /// Connects. An error that [`RedisError::is_passing`] is worth another attempt.
    pub async fn connect(settings: &Settings, tasks: &Tasks) -> Result<Self, RedisError> {
        let nodes = Nodes::connect(settings, tasks).await?;
        Ok(Self {
            nodes,
            patience: settings.timeout,
            own: MemoryFailures::default(),
            spoken: Mutex::default(),
        })
    }

    /// The count after what was asked. `None`: Redis is away.
    async fn run(&self, name: &str, ask: &str) -> Option<Count> {
        let key = format!("tg:failures:{{{name}}}");
        let work = Work::Run(Kind::Failures, ask.as_bytes());
        match self.nodes.run(Order { key: &key, work, patience: self.patience }).await {
            Ok(answered) => answered.values.first().and_then(count),
            Err(error) => {
                if self.speaks() {
                    warn!(error = %error, "failed logins are counted by this server alone: {error}");
                }
                None
            }
        }
    }

    fn speaks(&self) -> bool {
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        let speaks = spoken.is_none_or(|at| at.elapsed() >= SPEAK);
        if speaks {
            *spoken = Some(Instant::now());
        }
        speaks
    }
}

#[async_trait]
impl Failures for RedisFailures {
    async fn add(&self, name: &str, lifetime: i64, now: Timestamp) -> Count {
        let ask = format!("add {} {lifetime}", now.micros().max(0));
        match self.run(name, &ask).await {
            Some(count) => count,
            None => self.own.add(name, lifetime, now).await,
        }
    }

    async fn take_back(&self, name: &str, now: Timestamp) {
        let ask = format!("back {} 0", now.micros().max(0));
        if self.run(name, &ask).await.is_none() {
            self.own.take_back(name, now).await;
        }
    }

    async fn forget(&self, name: &str) {
        self.own.forget(name).await;
        // Where that does not reach it, the count ends by itself.
        self.run(name, "forget 0 0").await;
    }
}

/// `N END`.
fn count(answer: &Value) -> Option<Count> {
    let Value::BulkString(answer) = answer else { return None };
    let (failures, ends_at) = std::str::from_utf8(answer).ok()?.split_once(' ')?;
    Some(Count { failures: failures.parse().ok()?, ends_at: Timestamp::from_micros(ends_at.parse().ok()?) })
}
