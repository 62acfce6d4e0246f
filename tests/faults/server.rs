//! The real program as a process of its own, on a data directory that outlives it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_servers::Port;
use tollgate_client::v1::WhoAmIRequest;

use crate::connection::{Connection, PATIENCE};

/// The operator's credential of every server under test.
pub(crate) const OPERATOR_KEY: &str = "operator-of-the-fault-checker-0123456789";
const READY_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A server that can be killed and started again. It dies with its owner.
#[derive(Debug)]
pub(crate) struct Server {
    directory: tempfile::TempDir,
    port: Port,
    settings: Vec<(&'static str, String)>,
    child: Option<Child>,
    connection: Connection,
}

impl Server {
    /// A directory and a port; nothing runs yet.
    pub(crate) fn new() -> Self {
        Self::with(Vec::new())
    }

    /// The same with settings, as variables of its environment.
    pub(crate) fn with(settings: Vec<(&'static str, String)>) -> Self {
        let port = Port::take();
        let number = port.number();
        Self {
            directory: tempfile::tempdir().expect("a directory for the data"),
            port,
            settings,
            child: None,
            connection: Connection::new(&[number], OPERATOR_KEY, PATIENCE),
        }
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where the letters are that it sends.
    pub(crate) fn mail(&self) -> PathBuf {
        self.directory.path().join("data").join("mail")
    }

    /// Starts the program and does not wait for it. `fault` is what `TOLLGATE_FAULT` shall say.
    pub(crate) fn spawn(&mut self, fault: Option<&str>) {
        self.kill();
        let log = File::options().create(true).append(true).open(self.log()).expect("a file for the log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port()), "--data"])
            .arg(self.directory.path().join("data"))
            .env_clear()
            .env("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log);
        if let Some(fault) = fault {
            command.env("TOLLGATE_FAULT", fault);
        }
        self.child = Some(command.spawn().expect("the program starts"));
    }

    /// Starts the program and waits until it answers. `false`: a fault ended it before.
    pub(crate) async fn start(&mut self, fault: Option<&str>) -> bool {
        self.spawn(fault);
        let ready = self.is_ready().await;
        assert!(ready || fault.is_some(), "the server ended by itself:\n{}", self.last_words());
        ready
    }

    /// Waits until a program that was started answers. `false`: it has ended before.
    pub(crate) async fn is_ready(&mut self) -> bool {
        let ready = tokio::time::timeout(READY_PATIENCE, async {
            loop {
                if self.has_ended() {
                    return false;
                }
                let whoami = self.connection.ask(WhoAmIRequest {});
                if self.connection.auth().who_am_i(whoami).await.is_ok() {
                    return true;
                }
                tokio::time::sleep(POLL).await;
            }
        });
        ready.await.unwrap_or_else(|_| panic!("not ready in {READY_PATIENCE:?}:\n{}", self.last_words()))
    }

    /// Whether the process is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_)) | Err(_)))
    }

    /// Waits until a fault has ended the process, at most that long.
    pub(crate) async fn wait_for_end(&mut self, patience: Duration) {
        let since = Instant::now();
        while !self.has_ended() && since.elapsed() < patience {
            tokio::time::sleep(POLL).await;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself already.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Stops the process in the middle of whatever it does; its connections stay open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets the process go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        // It may have ended by itself: then there is nobody to take the signal.
        let _sent =
            Command::new("kill").args([signal, &child.id().to_string()]).status().expect("`kill` starts");
    }

    /// All that the server wrote, in all its lives.
    pub(crate) fn words(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The end of what the server wrote.
    pub(crate) fn last_words(&self) -> String {
        let log = self.words();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
