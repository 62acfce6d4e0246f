//! The real program, as a process that ends with its owner.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tollgate_client::Client;

use crate::raw::exchange;

/// The operator's key of the programs under test.
pub(crate) const OPERATOR_KEY: &str = "operator-of-the-service-tests-0123456789";
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// A program that says much must not wait for a reader.
    stderr: Option<JoinHandle<()>>,
    said: Arc<Mutex<Vec<u8>>>,
}

/// What a program said until it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `tollgate` with these arguments and an environment of its own.
pub(crate) fn tollgate(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).arg("--data").arg(data).env_clear().env("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY);
    command
}

/// Puts the program under a limit of the system: no file may grow beyond that many bytes.
pub(crate) fn with_file_limit(command: &Command, bytes: u64) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={bytes}")).arg(command.get_program()).args(command.get_args()).env_clear();
    let kept = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    limited.envs(kept).env("PATH", "/usr/local/bin:/usr/bin:/bin");
    limited
}

impl Program {
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = child.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let stderr = std::thread::spawn(move || {
            let mut part = [0; 4_096];
            loop {
                let length = lines.read(&mut part).unwrap();
                if length == 0 {
                    return;
                }
                heard.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        Self { child, stderr: Some(stderr), said }
    }

    /// One whose log nobody reads: the other end is closed.
    pub(crate) fn deaf(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stderr.take());
        Self { child, stderr: None, said: Arc::default() }
    }

    /// What it has said of itself until now.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// Waits until it has said that, and answers all that it has said.
    pub(crate) async fn says(&self, words: &str) -> String {
        self.says_times(words, 1).await
    }

    /// Waits until it has said that so many times, and answers all that it has said.
    pub(crate) async fn says_times(&self, words: &str, times: usize) -> String {
        let began = Instant::now();
        loop {
            let said = self.said();
            let last_line_is_whole = said.ends_with('\n');
            if said.matches(words).count() >= times && last_line_is_whole {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "the program does not say `{words}` so often:\n{said}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tells it that something has changed.
    pub(crate) fn hang_up(&self) {
        let status = Command::new("kill").arg("-HUP").arg(self.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to end, as an orchestrator does.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Kills it on the spot.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended. What it says on the standard output is little enough to fit into its pipe.
    pub(crate) async fn ended(mut self) -> Ended {
        let began = Instant::now();
        while !self.has_ended() {
            assert!(began.elapsed() < PATIENCE, "the program does not end");
            tokio::time::sleep(POLL).await;
        }
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        if let Some(stderr) = self.stderr.take() {
            stderr.join().unwrap();
        }
        Ended { status: self.child.wait().unwrap(), stdout, stderr: self.said() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The operator's client of a program.
pub(crate) fn operator(address: SocketAddr) -> Client {
    Client::builder().endpoint(format!("http://{address}")).api_key(OPERATOR_KEY).tenant("").build().unwrap()
}

/// Waits until calls are taken there.
pub(crate) async fn ready(address: SocketAddr) {
    listening(address).await;
    let began = Instant::now();
    let question = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    while !exchange(address, question).await.starts_with("HTTP/1.1 200 ") {
        assert!(began.elapsed() < PATIENCE, "the server on {address} does not become ready");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until something listens there.
pub(crate) async fn listening(address: SocketAddr) {
    let began = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "nothing listens on {address}");
        tokio::time::sleep(POLL).await;
    }
}

/// An address that nobody listens on now, below those that the system gives to outgoing connections.
pub(crate) fn free_address() -> SocketAddr {
    loop {
        let port = rand::random_range(20_000..32_000);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
