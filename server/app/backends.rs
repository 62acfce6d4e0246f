//! The stores and the counters that the settings name: this machine's own, or those that several servers share.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;
use tracing::warn;

use crate::adapters::guarded::GuardedCounters;
use crate::adapters::memory::counters::MemoryCounters;
use crate::adapters::memory::failures::MemoryFailures;
use crate::adapters::mongo;
use crate::adapters::mongo::connect::{ConnectError, MongoStore};
use crate::adapters::mongo::documents::MongoDocuments;
use crate::adapters::mongo::events::MongoEvents;
use crate::adapters::mongo::journal::MongoJournal;
use crate::adapters::mongo::rollups::MongoRollups;
use crate::adapters::redis::RedisError;
use crate::adapters::redis::counters::{RedisCounters, Settings};
use crate::adapters::redis::failures::RedisFailures;
use crate::adapters::spool::FileSpool;
use crate::adapters::sqlite;
use crate::adapters::sqlite::documents::SqliteDocuments;
use crate::adapters::sqlite::events::SqliteEvents;
use crate::adapters::sqlite::journal::SqliteJournal;
use crate::adapters::sqlite::rollups::SqliteRollups;
use crate::app::StartError;
use crate::config::{Config, MongoConfig, RedisConfig};
use crate::gate::counters::Counters;
use crate::gate::fallback::Fallback;
use crate::identity::lockout::failures::Failures;
use crate::ledger::works::Stores;
use crate::secrets::current::Current;
use crate::store::Documents;
use crate::tasks::Tasks;
use crate::time::Clock;

/// The file of the journal in the data directory.
const JOURNAL: &str = "journal.db";
/// The file of the ledger in the data directory.
const LEDGER: &str = "ledger.db";
/// What waits for a shared journal, in the data directory.
const SPOOL: &str = "spool";
/// Between two tries to reach a store that is not there yet.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two complaints about it.
const COMPLAIN: Duration = Duration::from_secs(5);

/// Servers that share a store are told too little of what they must share.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Incomplete {
    /// The counters would be each server's own.
    #[error("mongodb.uri is set and redis.url is not: servers that share a store share their counters too")]
    Counters,
    /// Each server would have its own operator.
    #[error("mongodb.uri is set and operator.key is not: servers that share a store have one operator")]
    OperatorKey,
    /// Each server would make API keys that the others do not know.
    #[error(
        "mongodb.uri is set and operator.pepper is not: servers that share a store share 64 hexadecimal digits, for \
         example of `openssl rand -hex 32`"
    )]
    Pepper,
}

/// Opens the stores. Those that are on this machine are held by this process.
pub(super) async fn stores(config: &Config, directory: &Path) -> Result<Stores, StartError> {
    shared_wholly(config)?;
    if config.mongodb.uri.is_none() {
        return embedded(directory);
    }
    let spool = FileSpool::open(&directory.join(SPOOL), config.data.spool_bytes_max.get()).await?;
    let settings = mongo::settings::Settings::from(&config.mongodb);
    let connect = || MongoStore::connect(&settings);
    let store = when_there("MongoDB", config, connect, ConnectError::is_passing).await?;
    Ok(Stores {
        journal: Arc::new(MongoJournal::new(&store)),
        spool: Some(Arc::new(spool)),
        events: Arc::new(MongoEvents::open(&store).await?),
        rollups: Arc::new(MongoRollups::new(&store)),
        documents: Arc::new(MongoDocuments::new(&store)),
    })
}

impl From<&MongoConfig> for mongo::settings::Settings {
    fn from(config: &MongoConfig) -> Self {
        Self {
            uri: config.uri.clone(),
            database: config.database.clone(),
            ca_file: config.ca_file.clone(),
            connections_max: config.connections_max,
            selection_timeout_ms: config.selection_timeout_ms,
            operation_timeout_ms: config.operation_timeout_ms,
            majority_timeout_ms: config.majority_timeout_ms,
        }
    }
}

impl Default for mongo::settings::Settings {
    fn default() -> Self {
        Self::from(&MongoConfig::default())
    }
}

/// Opens the counts of failed logins: this process's own, or those in Redis.
pub(super) async fn failures(
    config: &Config,
    url: Option<&Current<SecretString>>,
    tasks: &Tasks,
) -> Result<Arc<dyn Failures>, StartError> {
    let Some(settings) = redis_settings(&config.redis, url) else {
        return Ok(Arc::new(MemoryFailures::default()));
    };
    let connect = || RedisFailures::connect(&settings, tasks);
    Ok(Arc::new(when_there("Redis", config, connect, RedisError::is_passing).await?))
}

fn redis_settings(config: &RedisConfig, url: Option<&Current<SecretString>>) -> Option<Settings> {
    Some(Settings {
        url: url?.clone(),
        ca_file: config.ca_file.clone(),
        timeout: config.timeout(),
        connect_timeout: config.connect_timeout(),
    })
}

/// Opens the counters: this process's own, or Redis, with what decides while that is away.
pub(super) async fn counters(
    config: &Config,
    url: Option<&Current<SecretString>>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Arc<dyn Counters>, StartError> {
    let Some(settings) = redis_settings(&config.redis, url) else {
        return Ok(Arc::new(MemoryCounters::new(clock)));
    };
    let connect = || RedisCounters::connect(&settings, Arc::clone(&clock), tasks);
    let redis = Arc::new(when_there("Redis", config, connect, RedisError::is_passing).await?);
    let fallback = Fallback {
        limits: config.redis.limits_fail,
        credits: config.redis.credits_fail,
        replicas: config.redis.replicas,
    };
    Ok(Arc::new(GuardedCounters::new(redis, fallback, clock)))
}

fn embedded(directory: &Path) -> Result<Stores, StartError> {
    let database = sqlite::ledger::open(&directory.join(LEDGER))?;
    let documents: Arc<dyn Documents> = Arc::new(SqliteDocuments::new(&database));
    Ok(Stores {
        journal: Arc::new(SqliteJournal::open(&directory.join(JOURNAL))?),
        spool: None,
        events: Arc::new(SqliteEvents::new(&database)?),
        rollups: Arc::new(SqliteRollups::new(&database)),
        documents,
    })
}

/// Whether servers that share a store are told all that they must share.
pub fn shared_wholly(config: &Config) -> Result<(), Incomplete> {
    if config.mongodb.uri.is_none() {
        return Ok(());
    }
    if config.redis.url.is_none() {
        return Err(Incomplete::Counters);
    }
    if config.operator.key.is_none() {
        return Err(Incomplete::OperatorKey);
    }
    if config.operator.pepper.is_none() {
        return Err(Incomplete::Pepper);
    }
    Ok(())
}

/// Connects to a store; one that is not there yet is waited for, as long as the settings say.
async fn when_there<T, E: Error>(
    name: &str,
    config: &Config,
    connect: impl AsyncFn() -> Result<T, E>,
    is_passing: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let started = Instant::now();
    let mut complained: Option<Instant> = None;
    loop {
        let failure = match connect().await {
            Ok(connected) => return Ok(connected),
            Err(failure) => failure,
        };
        if !is_passing(&failure) || started.elapsed() >= config.server.stores_patience() {
            return Err(failure);
        }
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            complained = Some(Instant::now());
            warn!(error = %failure, "{name} is waited for: {failure}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}
