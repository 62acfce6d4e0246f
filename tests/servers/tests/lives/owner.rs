//! A server ends with its owner, also when that was killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use test_servers::Redis;

use crate::answers;

/// Asks this program to be an owner that is killed.
const OWNER: &str = "TOLLGATE_TEST_SERVERS_OWNER";
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_killed_owner_takes_its_server_with_it() {
    if std::env::var_os(OWNER).is_some() {
        return own_until_killed();
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner::a_killed_owner_takes_its_server_with_it", "--nocapture"])
        .env(OWNER, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.filter_map(|line| line.split_once("port=").map(|(_, port)| port.to_owned())).next();
    owner.kill().unwrap();
    owner.wait().unwrap();
    // An owner without a Redis says nothing.
    let Some(port) = said else { return };
    let port = port.parse().unwrap();
    let since = Instant::now();
    while answers(port) {
        assert!(since.elapsed() < PATIENCE, "the server on {port} outlived its owner by {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[expect(clippy::print_stdout, reason = "the one way to tell the process that watches")]
fn own_until_killed() {
    let Some(redis) = Redis::start() else { return };
    println!("port={}", redis.port());
    std::thread::sleep(PATIENCE);
}
