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

use crate::app::{self, Hangups};
use crate::cli::core_dumps;
use crate::cli::running::Running;
use crate::config::{Config, Given, Origin};
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
    // Before anything that takes time: whoever sends one does not want the server to end.
    let hangups = Hangups::listen()?;
    failpoint::arm()?;
    // Before the first secret is read.
    core_dumps::forbid()?;
    let settings = Settings::read(args).await?;
    let telemetry = telemetry::start(&settings.config)?;
    let served = serve(settings, hangups).await;
    telemetry.end().await;
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(settings: Settings, hangups: Hangups) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Settings { origin, given, config } = settings;
    let stop = stop_signal()?;
    // Before a key is made that would be nobody's.
    app::shared_wholly(&config)?;
    let directory = DataDirectory::open(&config.data.directory)?;
    let operator_key = directory.operator_key(config.operator.key.as_ref())?;
    announce(&operator_key)?;
    // A start that takes long can be ended too: it has acknowledged nothing.
    let running = tokio::select! {
        started = Running::start(config, directory, operator_key.secret, Arc::new(SystemClock)) => started?,
        () = stop.cancelled() => return Ok(()),
    };
    running.read_again_at(hangups, origin, given);
    running.serve_until(stop.cancelled()).await
}

/// The settings, and where they came from.
struct Settings {
    origin: Origin,
    given: Given,
    config: Config,
}

impl Settings {
    async fn read(args: ServeArgs) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let origin = Origin::new(args.config, environment);
        let given = app::settings(origin.read()?).await?;
        let mut config = given.config()?;
        if let Some(listen) = args.listen {
            config.server.listen = listen;
        }
        if let Some(directory) = args.data {
            config.data.directory = directory;
        }
        Ok(Self { origin, given, config })
    }
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
