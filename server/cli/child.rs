//! Another process of this program, for the commands that need a server of their own.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tollgate_client::v1::WhoAmIRequest;
use tollgate_client::{BuildError, Client};
use tonic::{Code, Status};

/// A server recovers its ledger before it answers.
const START_MAX: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(20);
/// A little more than the server gives itself to finish its calls.
const STOP_MAX: Duration = Duration::from_secs(15);
const OPERATOR_KEY_LENGTH: usize = 40;
const LOG_LINES_SHOWN: usize = 20;

/// Why a server of our own cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It cannot be started.
    #[error("a server of our own cannot be started")]
    Start(#[from] io::Error),
    /// It ended, or never answered.
    #[error("the server in `{}` did not come up; its log ends with\n{log}", data.display())]
    Silent {
        /// Its data directory.
        data: PathBuf,
        /// The last lines of its log.
        log: String,
    },
    /// It does not know its operator.
    #[error("the server answers, but not to its operator: {}", .0.message())]
    Refused(Box<Status>),
    /// There is no way to it.
    #[error(transparent)]
    Client(#[from] BuildError),
}

/// A running `tollgate serve`. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
    address: SocketAddr,
    operator_key: String,
}

impl Server {
    /// Starts a server on a data directory and waits until it answers. Without an address it takes a free port.
    pub(super) async fn start(data: &Path, address: Option<SocketAddr>) -> Result<Self, ChildError> {
        Self::start_with(data, address, &[]).await
    }

    /// The same, with further settings by their variables.
    pub(super) async fn start_with(
        data: &Path,
        address: Option<SocketAddr>,
        settings: &[(&str, String)],
    ) -> Result<Self, ChildError> {
        std::fs::create_dir_all(data)?;
        let address = address.map_or_else(free_address, Ok)?;
        let log = data.join("server.log");
        let operator_key: String =
            rand::rng().sample_iter(Alphanumeric).take(OPERATOR_KEY_LENGTH).map(char::from).collect();
        let process = myself()?
            .arg("serve")
            // What stands in our own environment is meant for another server.
            .env_clear()
            .env("TOLLGATE_SERVER_LISTEN", address.to_string())
            .env("TOLLGATE_DATA_DIRECTORY", data)
            .env("TOLLGATE_OPERATOR_KEY", &operator_key)
            .env("TOLLGATE_LOG_LEVEL", "warn")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut server = Self { process, address, operator_key };
        server.answers(data, &log).await?;
        Ok(server)
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// A client with the operator's key.
    pub(super) fn operator(&self) -> Result<Client, BuildError> {
        self.client(&self.operator_key)
    }

    /// A client with another key, on a connection of its own.
    pub(super) fn client(&self, api_key: &str) -> Result<Client, BuildError> {
        Client::builder().endpoint(self.endpoint()).api_key(api_key).tenant("").build()
    }

    /// Waits until the server ends by itself.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        self.process.wait().await.map(drop)
    }

    /// Asks the server to finish its calls and end; kills it when that takes too long.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        if let Some(pid) = self.process.id() {
            Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        }
        match tokio::time::timeout(STOP_MAX, self.process.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => self.process.kill().await,
        }
    }

    async fn answers(&mut self, data: &Path, log: &Path) -> Result<(), ChildError> {
        let operator = self.operator()?;
        let patience_end = Instant::now() + START_MAX;
        while let Err(status) = operator.auth().who_am_i(WhoAmIRequest {}).await {
            if status.code() != Code::Unavailable {
                return Err(ChildError::Refused(Box::new(status)));
            }
            if self.process.try_wait()?.is_some() || Instant::now() > patience_end {
                return Err(ChildError::Silent { data: data.to_owned(), log: end_of(log) });
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(())
    }
}

/// This program, to be run again, and to be killed with its parent.
pub(super) fn myself() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.kill_on_drop(true).stdin(Stdio::null());
    Ok(command)
}

/// Waits until somebody wants the command to end. A command with a server of its own then takes it along.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    // Where the signals cannot be had, they end the process as they always did.
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// An address that nobody listened at a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default().join("\n")
}
