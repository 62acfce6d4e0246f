//! `tollgate bench`: what a call costs the server, against a floor that does nothing, in the same run.
//!
//! Both servers are processes of this program, called in turns by the same callers. What is compared is processor time, of
//! all that the server does for a call: the answer, the journal, and the fold that comes after.

mod cpu;
mod floor;
mod load;
mod results;
mod stage;
mod store;

use std::io::{self, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tollgate_client::{BuildError, Client};
use tonic::Status;

use crate::cli::bench::floor::FloorProcess;
use crate::cli::bench::load::{Load, Path, drive};
use crate::cli::bench::results::{Measured, Results, Used};
use crate::cli::bench::store::RedisProcess;
use crate::cli::child::{self, ChildError, Server};

pub use crate::cli::bench::floor::{COMMAND as FLOOR_COMMAND, serve as serve_floor};

/// Calls are spread over a few connections, as several gateways would.
const CONNECTIONS: usize = 4;
/// Floor and product take turns, so that a machine that slows down slows both.
const ROUNDS: u64 = 4;
/// The path `batch` is so much cheaper an event that it takes more of them to measure it.
const BATCH_EVENTS_FACTOR: u64 = 5;
/// The longest that a bench may take.
const BENCH_MAX: Duration = Duration::from_secs(15 * 60);
/// After each round so many tenants are asked whether all of theirs is in the ledger; at the end, all are.
const TENANTS_ASKED: u64 = 4;
const QUERIES_AT_ONCE: usize = 32;

/// How much to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Calls on each path; `batch` has five times as many events.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub calls: u64,

    /// Callers at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub callers: u16,

    /// Tenants that take turns.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub tenants: u64,

    /// Where the server keeps its data meanwhile; a directory is made in it and removed. Best on the disk that will be
    /// used: durable is only as fast as the disk.
    #[arg(long, default_value = "data")]
    pub directory: PathBuf,

    /// Where the server keeps its counters. `redis` starts a `redis-server` of its own, whose processor time is counted too, and
    /// measures beside it a server that sends one script a call and does nothing else.
    #[arg(long, value_enum, default_value_t = CountersIn::Memory)]
    pub counters: CountersIn,

    /// A MongoDB that runs, for all but the counters, which are then in Redis. The bench makes a database `bench_…` in it and
    /// leaves it there.
    #[arg(long, value_name = "URI")]
    pub mongodb: Option<String>,

    /// The process of that MongoDB, where it runs on this machine: its processor time is counted too.
    #[arg(long, value_name = "PID", requires = "mongodb")]
    pub mongodb_pid: Option<u32>,

    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where the counters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CountersIn {
    /// In the server itself.
    Memory,
    /// In Redis.
    Redis,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A server of our own is missing.
    #[error(transparent)]
    Server(#[from] ChildError),
    /// There is no way to it.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// A call failed.
    #[error("a call failed: {0}")]
    Call(Box<Status>),
    /// A call was refused, or not answered as it should be.
    #[error("a call was not allowed: {0}")]
    NotAllowed(String),
    /// A caller panicked.
    #[error("a caller died")]
    CallerDied,
    /// The ledger lags.
    #[error("the ledger did not catch up")]
    NotFolded,
    /// The ledger is wrong.
    #[error("tenant `{tenant}` has {counted} calls in the ledger, and {acknowledged} were acknowledged")]
    NotEqual {
        /// Whose.
        tenant: String,
        /// What the ledger says.
        counted: u64,
        /// What is true.
        acknowledged: u64,
    },
    /// The processor time, the directory or the output cannot be used.
    #[error("the bench needs Linux, its directory, and its output")]
    Io(#[from] io::Error),
    /// It was stopped, or took too long.
    #[error("the bench was cut off")]
    CutOff,
}

impl BenchError {
    fn call(status: Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// Measures and prints.
pub async fn run(args: BenchArgs) -> Result<(), BenchError> {
    let directory = Scratch::new(&args.directory)?;
    let results = tokio::select! {
        results = measure(&args, &directory.0) => results?,
        () = tokio::time::sleep(BENCH_MAX) => return Err(BenchError::CutOff),
        () = child::told_to_stop() => return Err(BenchError::CutOff),
    };
    let text = if args.json { results.json() } else { results.table() };
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// A directory that is removed with what is in it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &FilePath) -> io::Result<Self> {
        let path = parent.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the way of nobody.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn measure(args: &BenchArgs, directory: &FilePath) -> Result<Results, BenchError> {
    let store = match (args.counters, &args.mongodb) {
        (CountersIn::Memory, None) => None,
        (CountersIn::Redis, _) | (_, Some(_)) => Some(RedisProcess::start(directory).await?),
    };
    let floor = FloorProcess::start(None).await?;
    let product = Server::start_with(directory, None, &settings(args, store.as_ref())).await?;
    let operator = product.operator()?;
    say(&format!("making {} tenants", args.tenants))?;
    let secret = stage::set(&operator, args.tenants).await?;
    let plain = |floor: &FloorProcess| {
        let endpoint = floor.endpoint();
        move || Client::builder().endpoint(endpoint.clone()).api_key("none").tenant("").build()
    };
    let mut bare_process = None;
    let mut bare = None;
    if let Some(store) = &store {
        let process = FloorProcess::start(Some(&store.url())).await?;
        bare = Some(Side::new([("floor", process.pid()), ("redis", store.pid())], plain(&process))?);
        bare_process = Some(process);
    }
    let stores = store.iter().map(|store| ("redis", store.pid()));
    let stores = stores.chain(args.mongodb_pid.map(|pid| ("mongodb", Some(pid))));
    let processes = std::iter::once(("tollgate", product.pid())).chain(stores);
    let mut bench = Bench {
        floor: Side::new([("floor", floor.pid())], plain(&floor))?,
        bare,
        product: Side::new(processes, || product.client(&secret))?,
        operator,
        tenants: args.tenants,
        callers: args.callers.into(),
        acknowledged: Vec::new(),
    };
    let results = bench.rounds(args.calls).await?;
    say("comparing the ledger with what was acknowledged")?;
    bench.compare(args.tenants).await?;
    drop(bare_process);
    Ok(results)
}

/// What the server is told of its stores.
fn settings(args: &BenchArgs, store: Option<&RedisProcess>) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(store) = store {
        settings.push(("TOLLGATE_REDIS_URL", store.url()));
        // Long, so that a machine that is busy otherwise is measured, and not what decides while Redis is away.
        settings.push(("TOLLGATE_REDIS_TIMEOUT_MS", String::from("5000")));
    }
    if let Some(uri) = &args.mongodb {
        settings.push(("TOLLGATE_MONGODB_URI", uri.clone()));
        settings.push(("TOLLGATE_MONGODB_DATABASE", format!("bench_{}", std::process::id())));
        // Servers that share a store share it; this one is alone, and its keys end with it.
        settings.push(("TOLLGATE_OPERATOR_PEPPER", format!("{:064x}", rand::random::<u128>())));
    }
    settings
}

/// Progress goes where the results do not.
fn say(what: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{what}")
}

/// One of the servers, with all processes that work for it.
#[derive(Debug)]
struct Side {
    connections: Vec<Client>,
    processes: Vec<(&'static str, u32)>,
}

impl Side {
    fn new(
        processes: impl IntoIterator<Item = (&'static str, Option<u32>)>,
        connection: impl Fn() -> Result<Client, BuildError>,
    ) -> Result<Self, BenchError> {
        let connections = (0..CONNECTIONS).map(|_| connection()).collect::<Result<_, _>>()?;
        let processes: Option<Vec<_>> = processes.into_iter().map(|(name, pid)| Some((name, pid?))).collect();
        let processes = processes.ok_or_else(|| io::Error::other("a server has ended"))?;
        Ok(Self { connections, processes })
    }

    /// The processor time of each of its processes until now.
    fn used(&self) -> io::Result<Used> {
        self.processes.iter().map(|&(name, pid)| Ok((name, cpu::used(pid)?))).collect()
    }
}

#[derive(Debug)]
struct Bench {
    floor: Side,
    bare: Option<Side>,
    product: Side,
    operator: Client,
    tenants: u64,
    callers: usize,
    /// The loads that have brought events into the ledger.
    acknowledged: Vec<Load>,
}

impl Bench {
    async fn rounds(&mut self, calls: u64) -> Result<Results, BenchError> {
        let mut results = Results::default();
        // The first call of a tenant loads its counters. That has a row of its own, so that the others are those of a
        // server that runs.
        say("first call of each tenant")?;
        let first = self.load(Path::Track, self.tenants, "first");
        self.product_round(&first, &mut results.first).await?;
        for round in 1..=ROUNDS {
            say(&format!("round {round} of {ROUNDS}"))?;
            let check = self.load(Path::Check, calls.div_ceil(ROUNDS), &format!("check-{round}"));
            floor_round(&self.floor, &check, &mut results.floor_check).await?;
            if let Some(bare) = &self.bare {
                floor_round(bare, &check, results.bare.get_or_insert_default()).await?;
            }
            self.product_round(&check, &mut results.check).await?;
            let track = self.load(Path::Track, calls.div_ceil(ROUNDS), &format!("track-{round}"));
            floor_round(&self.floor, &track, &mut results.floor_track).await?;
            self.product_round(&track, &mut results.track).await?;
            let events = calls.saturating_mul(BATCH_EVENTS_FACTOR).div_ceil(ROUNDS);
            let batch = self.load(Path::Batch, events, &format!("batch-{round}"));
            self.product_round(&batch, &mut results.batch).await?;
        }
        Ok(results)
    }

    fn load(&self, path: Path, events: u64, name: &str) -> Load {
        Load { path, events, callers: self.callers, tenants: self.tenants, name: name.to_owned() }
    }

    /// Drives the product until all of it is in the ledger: what the fold costs is counted.
    async fn product_round(&mut self, load: &Load, measured: &mut Measured) -> Result<(), BenchError> {
        let before = self.product.used()?;
        let outcome = drive(&self.product.connections, load).await?;
        if load.path != Path::Check {
            self.acknowledged.push(load.clone());
            self.compare(TENANTS_ASKED.min(self.tenants)).await?;
        }
        measured.add(outcome, &before, &self.product.used()?);
        Ok(())
    }

    /// Compares what the ledger says of the first tenants with what was acknowledged to them.
    async fn compare(&self, tenants: u64) -> Result<(), BenchError> {
        let queries = stream::iter(0..tenants).map(|number| self.compare_tenant(number));
        queries.buffer_unordered(QUERIES_AT_ONCE).try_collect().await
    }

    async fn compare_tenant(&self, number: u64) -> Result<(), BenchError> {
        let counted = stage::folded(&self.operator, number).await?;
        let acknowledged = self.acknowledged.iter().map(|load| load.share(number)).sum();
        if counted == acknowledged {
            return Ok(());
        }
        Err(BenchError::NotEqual { tenant: load::tenant(number), counted, acknowledged })
    }
}

/// Drives a server that keeps nothing.
async fn floor_round(side: &Side, load: &Load, measured: &mut Measured) -> Result<(), BenchError> {
    let before = side.used()?;
    let outcome = drive(&side.connections, load).await?;
    measured.add(outcome, &before, &side.used()?);
    Ok(())
}
