//! The fleet under test: three replicas of the real program on one Redis and one server of the MongoDB protocol.

#[cfg(feature = "faults")]
mod abandoned;
mod broker;
mod crowd;
mod harm;
#[cfg(feature = "faults")]
mod mutants;
mod network;
mod replicas;
mod revocation;
mod stores;

use std::time::Duration;

use test_servers::{FerretDb, Mosquitto, MosquittoConfig, Redis};

use self::network::{Network, Store};
use crate::connection::{Connection, PATIENCE};
use crate::evidence::Gap;
use crate::run::{AtUnknown, Run, Subject};
use crate::server::{OPERATOR_KEY, Server};
use crate::verdict::Verdict;
use crate::{say, variable};

/// Servers of one fleet.
pub(crate) const REPLICAS: usize = 3;
/// How long a caller waits before it asks another replica.
const CALLER_PATIENCE: Duration = Duration::from_secs(4);
/// How much later than it is said a correction may be posted, in microseconds.
const CORRECTION_TAKES: i64 = 1_000_000;
/// What a replica says when it corrects counters.
const CORRECTED: &str = "differ from the ledger and are corrected";
/// What a replica says when it takes another one for dead.
const BURIED: &str = "has died; its journal is sealed";
const CYCLES: u64 = 5;
/// What the digests of all replicas are made with.
const PEPPER: &str = "7d0f5c1e9b3a48266c1f0e9d8b7a69584736251403f2e1d0c9b8a79685746352";

/// The verdict is passed this often in a long run: it waits until counters are corrected.
const CYCLES_BETWEEN_VERDICTS: u64 = 5;

/// How often the fleet is harmed in one way.
fn cycles() -> u64 {
    variable("TOLLGATE_CHECK_CYCLES").unwrap_or(CYCLES)
}

/// Replicas and their stores. All of them die with their owner.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) replicas: Vec<Server>,
    pub(crate) redis: Redis,
    pub(crate) ferretdb: FerretDb,
    /// Where something may happen to what passes between them.
    pub(crate) network: Option<Network>,
    /// Who is told what happened.
    pub(crate) broker: Option<Mosquitto>,
    connection: Connection,
}

/// How a fleet is put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) patience: RedisPatience,
    pub(crate) ways: Ways,
    pub(crate) broker: Broker,
    /// The deliberate fault of all replicas, as `TOLLGATE_FAULT` says it.
    pub(crate) mutant: Option<&'static str>,
}

/// How replicas reach their stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    Direct,
    /// Through a proxy that can harm what passes.
    Proxied,
}

/// Who is told what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broker {
    None,
    Mosquitto,
}

impl Setup {
    /// Replicas that are next to their stores, and wait long for them.
    pub(crate) const CALM: Self =
        Self { patience: RedisPatience::Long, ways: Ways::Direct, broker: Broker::None, mutant: None };
}

/// How long a decision waits for Redis before the replica decides alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisPatience {
    /// Longer than two busy cores let anybody wait: only for those who do nothing to Redis.
    Long,
    /// As in production, with some room for two busy cores.
    Short,
}

impl Fleet {
    /// Starts the stores and then the replicas. `None`: this machine lacks a store, which was said.
    pub(crate) async fn start(setup: Setup) -> Option<Self> {
        let (redis, ferretdb) = (Redis::start()?, FerretDb::start()?);
        let network = match setup.ways {
            Ways::Direct => None,
            Ways::Proxied => Some(Network::to(redis.port(), ferretdb.port())?),
        };
        let broker = match setup.broker {
            Broker::None => None,
            Broker::Mosquitto => Some(Mosquitto::start(&MosquittoConfig::default())?),
        };
        let database = format!("faults-{}", rand::random_range(0..u32::MAX));
        let patience_ms = if setup.patience == RedisPatience::Long { "5000" } else { "250" };
        let replica = |replica| {
            let (redis_url, mongodb_uri) = match &network {
                None => (redis.url(), ferretdb.uri()),
                Some(network) => (
                    format!("redis://{}", network.address(Store::Redis, replica)),
                    format!("mongodb://{}/", network.address(Store::Mongo, replica)),
                ),
            };
            let mut settings = vec![
                ("TOLLGATE_REDIS_URL", redis_url),
                ("TOLLGATE_REDIS_TIMEOUT_MS", patience_ms.to_owned()),
                ("TOLLGATE_REDIS_REPLICAS", REPLICAS.to_string()),
                ("TOLLGATE_MONGODB_URI", mongodb_uri),
                ("TOLLGATE_MONGODB_DATABASE", database.clone()),
                ("TOLLGATE_OPERATOR_PEPPER", PEPPER.to_owned()),
                // Nobody measures here what a password costs.
                ("TOLLGATE_ACCOUNTS_ARGON2_MEMORY_KIB", String::from("64")),
                ("TOLLGATE_ACCOUNTS_ARGON2_PASSES", String::from("1")),
            ];
            let broker = broker.as_ref().map(|broker| format!("mqtt://127.0.0.1:{}", broker.port()));
            settings.extend(broker.map(|url| ("TOLLGATE_MQTT_URL", url)));
            Server::with(settings)
        };
        let replicas: Vec<Server> = (0..REPLICAS).map(replica).collect();
        let ports: Vec<u16> = replicas.iter().map(Server::port).collect();
        let connection = Connection::new(&ports, OPERATOR_KEY, CALLER_PATIENCE);
        let mut fleet = Self { replicas, redis, ferretdb, network, broker, connection };
        for replica in &mut fleet.replicas {
            replica.spawn(setup.mutant);
        }
        for replica in &mut fleet.replicas {
            assert!(replica.is_ready().await, "a replica ended by itself:\n{}", replica.last_words());
        }
        Some(fleet)
    }

    /// `kill -9` of one replica; callers turn to the others.
    pub(crate) fn kill(&mut self, replica: usize) {
        self.replicas[replica].kill();
        self.connection.avoid(replica, true);
    }

    /// Starts one replica again, and waits until it answers.
    pub(crate) async fn restart(&mut self, replica: usize, mutant: Option<&str>) {
        self.replicas[replica].start(mutant).await;
        self.connection.avoid(replica, false);
    }

    /// Stops one replica in the middle of whatever it does. Callers find out by themselves.
    pub(crate) fn pause(&self, replica: usize) {
        self.replicas[replica].pause();
    }

    /// Lets it go on.
    pub(crate) fn resume(&self, replica: usize) {
        self.replicas[replica].resume();
    }

    /// How many writers were taken for dead so far.
    pub(crate) fn burials(&self) -> usize {
        self.replicas.iter().map(|replica| replica.words().matches(BURIED).count()).sum()
    }

    /// Whether callers go to a replica.
    pub(crate) fn avoid(&self, replica: usize, down: bool) {
        self.connection.avoid(replica, down);
    }

    /// A connection to all replicas, for those who wait as long as it takes.
    pub(crate) fn all(&self) -> Connection {
        let ports: Vec<u16> = self.replicas.iter().map(Server::port).collect();
        Connection::new(&ports, OPERATOR_KEY, PATIENCE)
    }

    /// A connection to each replica alone.
    pub(crate) fn each(&self) -> Vec<Connection> {
        let connection = |replica: &Server| Connection::new(&[replica.port()], OPERATOR_KEY, PATIENCE);
        self.replicas.iter().map(connection).collect()
    }
}

impl Subject for Fleet {
    const AT_UNKNOWN: AtUnknown = AtUnknown::GoOn;
    /// Whoever is dead is given five seconds, and a mark that is pending ten; then the reconciler looks.
    const RECONCILED: Duration = Duration::from_secs(25);

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn witnesses(&self) -> Vec<Connection> {
        self.each()
    }

    fn corrections(&self) -> Vec<Gap> {
        let logs = self.replicas.iter().map(Server::words);
        logs.flat_map(|log| log.lines().filter_map(correction).collect::<Vec<_>>()).collect()
    }

    fn last_words(&self) -> String {
        let words = self.replicas.iter().map(Server::last_words).collect::<Vec<_>>();
        words.join("\n--- the next replica:\n")
    }
}

/// When a line of a log says that counters were corrected.
fn correction(line: &str) -> Option<Gap> {
    if !line.contains(CORRECTED) {
        return None;
    }
    let said: serde_json::Value = serde_json::from_str(line).expect("a line of the log is an object");
    let at: jiff::Timestamp = said["timestamp"].as_str()?.parse().expect("a moment");
    Some(Gap { from: at.as_microsecond(), until: at.as_microsecond() + CORRECTION_TAKES })
}

impl Run<Fleet> {
    /// Starts a fleet on empty stores, and makes the tenants. `None`: this machine lacks a store.
    pub(crate) async fn of_fleet(seed: u64, setup: Setup) -> Option<Self> {
        Some(Self::on(Fleet::start(setup).await?, seed, setup.mutant).await)
    }
}

/// Prints what was admitted beyond limits, beside its bound.
fn tell_beyond(verdict: &Verdict) {
    verdict.beyond.iter().for_each(|line| say(&format!("  beyond: {line}")));
}

fn expect_clean(verdict: &Verdict, words: &str) {
    assert!(verdict.is_clean(), "{words}:\n{verdict}");
}
