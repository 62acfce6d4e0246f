//! A Redis of the bench's own, whose processor time is counted with that of whoever asks it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const START_MAX: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(20);

/// A running `redis-server`. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct RedisProcess {
    process: Child,
    port: u16,
}

impl RedisProcess {
    /// Starts one that keeps nothing on disk, and waits until it answers.
    pub(super) async fn start(directory: &Path) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--maxmemory-policy", "noeviction"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("redis-server cannot be started: {error}"))
            })?;
        let since = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            if since.elapsed() > START_MAX {
                return Err(io::Error::other("redis-server did not come up"));
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(Self { process, port })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }
}
