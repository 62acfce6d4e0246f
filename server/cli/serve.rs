//! `tollgate serve`: the server, from its settings to its last answer.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::front::{Front, Reflects};
use crate::api::serve::{Drained, Port};
use crate::app::{App, Secrets};
use crate::config::Config;
use crate::data_directory::{DataDirectory, KeyOrigin, OperatorKey};
use crate::tasks::Tasks;
use crate::time::SystemClock;
use crate::{failpoint, telemetry};

/// `SIGXFSZ`, which the system sends when a file would grow over its limit.
const FILE_TOO_LARGE: i32 = 25;

/// Where the server listens and keeps its data. All other settings are in the file and the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The address of the one port, for gRPC and HTTP [default: 127.0.0.1:7180].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// The data directory [default: data].
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,

    /// A file with settings, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the server until it is told to end.
pub async fn run(args: ServeArgs) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    failpoint::arm()?;
    let config = settings(args)?;
    telemetry::start_log(&config.log)?;
    let stop = stop_signal()?;
    let data = DataDirectory::open(&config.data.directory)?;
    let operator = data.operator_key(config.operator.key.as_ref())?;
    let port = Port::bind(config.server.listen).await?;
    announce(&operator)?;

    let tasks = Tasks::default();
    tasks.spawn(telemetry::keep_up(tasks.stopping()));
    let front = Front::new(if config.server.reflects() { Reflects::Yes } else { Reflects::No });
    tracing::info!(address = %port.address(), "listening on {}", port.address());
    let secrets = Secrets { pepper: data.pepper()?, operator_key: operator.secret };
    let (served, worked) = tokio::join!(
        port.serve(front.clone(), &config, stop.clone()),
        work(&front, &config, &data, &secrets, &tasks, &stop),
    );
    worked?;
    if served? == Drained::OutOfTime {
        tracing::warn!("some calls were cut: they took longer than {} s to end", config.server.drain_seconds);
    }
    if !tasks.stop(config.server.drain_patience()).await {
        tracing::warn!("some work was cut; it is taken up again at the next start");
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the rooms behind the front, and watches that the journal can be written. Whatever fails here ends the server.
async fn work(
    front: &Front,
    config: &Config,
    data: &DataDirectory,
    secrets: &Secrets,
    tasks: &Tasks,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let worked = async {
        let app = App::start(config, data.path(), secrets, Arc::new(SystemClock), tasks).await?;
        front.open(app.services(), app.http()).await;
        tracing::info!("ready: the ledger is recovered");
        let failed = app.ledger.failed();
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = failed.cancelled() => Err(JournalFailed.into()),
        }
    };
    let worked = worked.await;
    stop.cancel();
    worked
}

/// The journal cannot be written. A sync that failed is never tried again: what is on the disk is found out at the next
/// start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal cannot be written; all that was acknowledged is kept, and is found again at the next start"
)]
struct JournalFailed;

fn settings(args: ServeArgs) -> Result<Config, Box<dyn Error + Send + Sync>> {
    let environment = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let mut config = Config::read(args.config.as_deref(), environment)?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if let Some(directory) = args.data {
        config.data.directory = directory;
    }
    Ok(config)
}

/// Shows a key that was just made. It is shown this once.
fn announce(operator: &OperatorKey) -> io::Result<()> {
    let KeyOrigin::Made(file) = &operator.origin else { return Ok(()) };
    let key = operator.secret.expose_secret();
    writeln!(io::stdout(), "The operator's key, kept in {}:\n\n    {key}\n", file.display())
}

/// Is cancelled when the system tells the program to end.
fn stop_signal() -> io::Result<CancellationToken> {
    // With a handler, a full disk quota is an error of the write, which stops the journal in an orderly way; without
    // one, the signal would end the process on the spot.
    drop(signal(SignalKind::from_raw(FILE_TOO_LARGE))?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    Tasks::default().spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopper.cancel();
    });
    Ok(stop)
}
