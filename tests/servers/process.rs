//! The process of one server: started, killed, paused and started again on the same port and directory.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::port::Port;

const READY_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
/// It knows `kill` itself, which a small system has no program for.
const SHELL: &str = "/bin/sh";
/// Ends the server and its directory when the pipe to the owner closes without a word.
const GUARD: &str = "read -r word || { kill -9 \"$1\"; sleep 0.1; rm -rf \"$2\"; }";

/// A server with its port and directory. It dies with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    port: Port,
    directory: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guard: Child,
}

impl Process {
    /// A directory and a port; nothing runs yet.
    pub(crate) fn new(name: &'static str, program: PathBuf) -> Self {
        let directory = tempfile::Builder::new().prefix("tollgate-").tempdir();
        Self {
            name,
            program,
            arguments: Vec::new(),
            port: Port::take(),
            directory: directory.expect("a directory for the server"),
            running: None,
        }
    }

    /// The command line of every start from now on.
    pub(crate) fn set_arguments(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
    }

    /// Where it listens on 127.0.0.1, running or not.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its files, kept until it is dropped.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it unless it runs, and waits until its port is open.
    ///
    /// # Panics
    /// It ends by itself, or is not ready in time; with its last words.
    pub(crate) fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        self.running = Some(self.spawn());
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port())).is_err() {
            assert!(!self.has_ended(), "{} ended by itself:\n{}", self.name, self.last_words());
            assert!(
                since.elapsed() < READY_PATIENCE,
                "{} is not ready in {READY_PATIENCE:?}:\n{}",
                self.name,
                self.last_words()
            );
            std::thread::sleep(POLL);
        }
    }

    /// `kill -9`; its directory stays.
    pub(crate) fn kill(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        // The guard goes first, so that it never kills another process under the same id.
        if let Some(mut pipe) = running.guard.stdin.take() {
            // It may be gone already, if somebody killed it.
            drop(pipe.write_all(b"done\n"));
        }
        drop(running.guard.wait());
        // It may have ended by itself.
        drop(running.child.kill());
        drop(running.child.wait());
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Panics
    /// It does not end in time.
    pub(crate) fn end(&mut self) {
        self.signal("-TERM");
        let since = Instant::now();
        while !self.has_ended() {
            assert!(since.elapsed() < READY_PATIENCE, "{} does not end:\n{}", self.name, self.last_words());
            std::thread::sleep(POLL);
        }
        self.kill();
    }

    /// Stops it in the middle of whatever it does; connections stay open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// The end of what it wrote.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
    }

    fn spawn(&self) -> Running {
        let log = File::options().create(true).append(true).open(self.log()).expect("a file for the log");
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} starts: {error}", self.program.display()));
        // A group of its own: what interrupts the test from a keyboard must not end the guard before the server.
        let guard = Command::new(SHELL)
            .args(["-c", GUARD, "guard", &child.id().to_string()])
            .arg(self.directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Running { child, guard }
    }

    fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(|running| !matches!(running.child.try_wait(), Ok(None)))
    }

    fn signal(&self, signal: &str) {
        let running = self.running.as_ref().expect("only a server that runs is paused");
        let id = running.child.id().to_string();
        let sent = Command::new(SHELL).args(["-c", "kill \"$1\" \"$2\"", "signal", signal, &id]).status();
        assert!(sent.expect("a shell starts").success(), "{} takes {signal}", self.name);
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
