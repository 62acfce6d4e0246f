//! Each server starts, answers, keeps over a kill what it promised to keep, and is gone after its owner.

#![expect(clippy::unwrap_used, reason = "a server that does not answer is a failure")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Document, doc};
use test_servers::{FerretDb, Redis};

/// Asks this program to be an owner that is killed.
const OWNER: &str = "TOLLGATE_TEST_SERVERS_OWNER";
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn redis_keeps_what_it_appended() {
    let Some(mut redis) = Redis::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]) else {
        return;
    };
    assert_eq!("PONG", redis.command(&["PING"]));
    assert_eq!("OK", redis.command(&["SET", "a", "1"]));
    redis.kill();
    assert!(!answers(redis.port()));
    redis.restart();
    assert_eq!("1", redis.command(&["GET", "a"]));
    let port = redis.port();
    drop(redis);
    assert!(!answers(port));
}

#[test]
fn redis_without_persistence_forgets() {
    let Some(mut redis) = Redis::start() else { return };
    assert_eq!("maxmemory-policy\nnoeviction", redis.command(&["CONFIG", "GET", "maxmemory-policy"]));
    assert_eq!("OK", redis.command(&["SET", "a", "1"]));
    redis.restart();
    assert_eq!("", redis.command(&["GET", "a"]));
}

#[test]
fn a_paused_redis_answers_late() {
    let Some(redis) = Redis::start() else { return };
    redis.pause();
    let port = redis.port();
    let reply = std::thread::scope(|scope| {
        let reply = scope.spawn(|| redis.command(&["PING"]));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!reply.is_finished(), "a paused server on {port} answered");
        redis.resume();
        reply.join().unwrap()
    });
    assert_eq!("PONG", reply);
}

#[test]
fn valkey_answers() {
    let Some(mut valkey) = Redis::valkey() else { return };
    assert!(valkey.command(&["INFO", "server"]).contains("valkey_version"));
    valkey.restart();
    assert_eq!("PONG", valkey.command(&["PING"]));
}

#[test]
fn a_cluster_serves_every_slot() {
    let Some(mut cluster) = Redis::cluster() else { return };
    let set = |cluster: &Redis| {
        // Three keys of three masters.
        for key in ["a", "b", "c"] {
            assert_eq!("OK", cluster.command(&["SET", key, key]));
            assert_eq!(key, cluster.command(&["GET", key]));
        }
    };
    set(&cluster);
    let sizes = cluster.command_to_each(&["DBSIZE"]);
    assert_eq!(["1", "1", "1"], *sizes);
    cluster.restart();
    set(&cluster);
}

#[tokio::test]
async fn ferretdb_keeps_its_data() {
    let Some(mut ferretdb) = FerretDb::start() else { return };
    let client = Client::with_uri_str(ferretdb.uri()).await.unwrap();
    let collection = client.database("lives").collection::<Document>("kept");
    collection.insert_one(doc! { "_id": 1, "word": "kept" }).await.unwrap();
    if ferretdb.is_foreign() {
        client.database("lives").drop().await.unwrap();
        return;
    }
    ferretdb.kill();
    assert!(!answers(ferretdb.port()));
    ferretdb.restart();
    let found = collection.find_one(doc! { "_id": 1 }).await.unwrap().unwrap();
    assert_eq!("kept", found.get_str("word").unwrap());
    let port = ferretdb.port();
    drop(ferretdb);
    assert!(!answers(port));
}

#[test]
fn a_killed_owner_takes_its_server_with_it() {
    if std::env::var_os(OWNER).is_some() {
        return own_until_killed();
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_owner_takes_its_server_with_it", "--nocapture"])
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

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
