//! Starts on stores that others share: what is set wrong is refused by name and reason, and who comes late is waited for.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use test_servers::{FerretDb, Redis};
use tollgate_client::v1;

use crate::program::{Ended, Program, free_address, listening, operator, ready, tollgate};
use crate::raw::exchange;
use crate::starts::refused;
use crate::telemetry::with_tenant;

/// What no server may say.
const SECRET: &str = "s3cret-of-a-store";
const PEPPER: &str = "7d0f5c1e9b3a48266c1f0e9d8b7a69584736251403f2e1d0c9b8a79685746352";
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";
/// Longer than a start takes where nothing is missing.
const STARTED: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

/// A server with these settings.
fn with(data: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = tollgate(&["--listen", "127.0.0.1:0"], data);
    command.env("TOLLGATE_LOG_FORMAT", "text").envs(settings.iter().copied());
    command
}

/// Expects a start with these settings to end with those words, soon, and without a secret.
async fn check(settings: &[(&str, &str)], expected: &[&str]) {
    let data = tempfile::tempdir().unwrap();
    let ended = refused(with(data.path(), settings), expected).await;
    assert_silent(&ended);
}

fn assert_silent(ended: &Ended) {
    for secret in [SECRET, PEPPER] {
        assert!(!format!("{ended:?}").contains(secret), "{ended:?}");
    }
}

#[tokio::test]
async fn servers_that_share_a_store_are_told_all_that_they_share() {
    let uri = ("TOLLGATE_MONGODB_URI", "mongodb://127.0.0.1:1/");
    let redis = ("TOLLGATE_REDIS_URL", "redis://127.0.0.1:1");
    check(&[uri, ("TOLLGATE_OPERATOR_PEPPER", PEPPER)], &["mongodb.uri is set and redis.url is not"]).await;
    check(&[uri, redis], &["mongodb.uri is set and operator.pepper is not", "openssl rand -hex 32"]).await;

    let data = tempfile::tempdir().unwrap();
    let mut keyless = with(data.path(), &[uri, redis, ("TOLLGATE_OPERATOR_PEPPER", PEPPER)]);
    keyless.env_remove("TOLLGATE_OPERATOR_KEY");
    let ended = refused(keyless, &["mongodb.uri is set and operator.key is not"]).await;
    assert_silent(&ended);
    assert_eq!((ended.stdout.as_str(), data.path().join("operator.key").exists()), ("", false));
}

#[tokio::test]
async fn what_is_set_wrong_is_refused_by_its_name() {
    let redis = |url: &str| [("TOLLGATE_REDIS_URL", url.replace("SECRET", SECRET))];
    for url in ["http://:SECRET@127.0.0.1:1", "127.0.0.1:SECRET", "redis://:SECRET@127.0.0.1:port"] {
        let [(name, url)] = &redis(url);
        check(&[(name, url)], &["`redis.url` is no address of a Redis server"]).await;
    }
    let [(name, url)] = &redis("redis://:SECRET@127.0.0.1:1");
    let redis = (*name, url.as_str());
    check(&[redis, ("TOLLGATE_REDIS_CA_FILE", "/dev/null")], &["`redis.ca_file` is for an address with TLS"])
        .await;
    check(&[redis, ("TOLLGATE_REDIS_URI", SECRET)], &["redis", "unknown field `uri`"]).await;
    check(&[redis, ("TOLLGATE_REDIS_LIMITS_FAIL", "shut")], &["`redis`", "shut", "`limits_fail`"]).await;
    check(&[redis, ("TOLLGATE_REDIS_REPLICAS", "0")], &["redis", "zero"]).await;

    let uri = format!("mongodb://user:{SECRET}@127.0.0.1:port/");
    let mongodb = [("TOLLGATE_MONGODB_URI", uri.as_str()), redis, ("TOLLGATE_OPERATOR_PEPPER", PEPPER)];
    check(&mongodb, &["`uri` of `[mongodb]` is no address of MongoDB"]).await;
    check(
        &[mongodb[0], mongodb[1], ("TOLLGATE_OPERATOR_PEPPER", SECRET)],
        &["operator.pepper", "64 hexadecimal"],
    )
    .await;
    check(&[mongodb[0], ("TOLLGATE_MONGODB_URL", SECRET)], &["mongodb", "unknown field `url`"]).await;
}

#[tokio::test]
async fn a_store_that_does_not_come_is_waited_for_with_a_bound_and_then_named() {
    let wait = ("TOLLGATE_SERVER_STORES_WAIT_SECONDS", "1");
    let redis = format!("redis://:{SECRET}@{NOWHERE}");
    let uri = format!("mongodb://user:{SECRET}@{NOWHERE}/");
    let redis = [("TOLLGATE_REDIS_URL", redis.as_str()), wait];
    let mongodb = [
        ("TOLLGATE_MONGODB_URI", uri.as_str()),
        ("TOLLGATE_MONGODB_SELECTION_TIMEOUT_MS", "200"),
        ("TOLLGATE_OPERATOR_PEPPER", PEPPER),
    ];
    for (settings, name) in [(redis.to_vec(), "Redis"), ([&redis[..], &mongodb].concat(), "MongoDB")] {
        let data = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let unreachable = format!("{name} cannot be reached");
        let ended = refused(with(data.path(), &settings), &[&unreachable]).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "it gave up at once");
        assert!(ended.stderr.contains(&format!("{name} is waited for")), "{ended:?}");
        assert_silent(&ended);
    }
}

#[tokio::test]
async fn redis_that_is_not_fit_for_counters_is_refused() {
    let Some(evicting) = Redis::start_with(&[("maxmemory-policy", "allkeys-lru")]) else { return };
    let evicts = ["`maxmemory-policy` is `allkeys-lru` and must be `noeviction`"];
    check(&[("TOLLGATE_REDIS_URL", &evicting.url())], &evicts).await;
    let Some(locked) = Redis::start_with(&[("requirepass", "another")]) else { return };
    for user in ["", &format!(":{SECRET}@"), &format!("who:{SECRET}@")] {
        let url = format!("redis://{user}127.0.0.1:{}", locked.port());
        check(&[("TOLLGATE_REDIS_URL", &url)], &["refuses the user or the password of `redis.url`"]).await;
    }
}

#[tokio::test]
async fn a_server_of_another_installation_is_refused() {
    let (Some(redis), Some(mongodb)) = (Redis::start(), FerretDb::start()) else { return };
    let (url, uri) = (redis.url(), mongodb.uri());
    let database = format!("stores-{}", rand::random::<u32>());
    let settings = [
        ("TOLLGATE_REDIS_URL", url.as_str()),
        ("TOLLGATE_MONGODB_URI", &uri),
        ("TOLLGATE_MONGODB_DATABASE", &database),
    ];
    let (_first, _) = started(&settings).await;
    let other = PEPPER.replace('7', "8");
    let settings = [&settings[..], &[("TOLLGATE_OPERATOR_PEPPER", &other)]].concat();
    check(&settings, &["the pepper is not the one that this store's API keys were made with"]).await;
}

/// A server with these settings and the pepper, ready.
async fn started(settings: &[(&str, &str)]) -> (Started, SocketAddr) {
    let started = Started::with(settings);
    ready(started.address).await;
    let address = started.address;
    (started, address)
}

/// A server that is starting, on a directory of its own.
struct Started {
    program: Program,
    address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Started {
    fn with(settings: &[(&str, &str)]) -> Self {
        let (data, address) = (tempfile::tempdir().unwrap(), free_address());
        let mut command = tollgate(&["--listen", &address.to_string()], data.path());
        command.env("TOLLGATE_OPERATOR_PEPPER", PEPPER).envs(settings.iter().copied());
        Self { program: Program::spawn(command), address, _data: data }
    }
}

/// Starts on stores that are not there, brings them, and expects the server to use them.
async fn waits_for(settings: &[(&str, &str)], name: &str, bring: impl FnOnce()) {
    let started = Started::with(settings);
    listening(started.address).await;
    let began = Instant::now();
    while began.elapsed() < STARTED {
        let question = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = exchange(started.address, question).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        tokio::time::sleep(POLL).await;
    }
    bring();
    ready(started.address).await;
    let operator = operator(started.address);
    with_tenant(&operator).await;
    let event =
        v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..v1::UsageEvent::default() };
    let request =
        v1::TrackRequest { tenant_id: "acme".into(), event: Some(event), ..v1::TrackRequest::default() };
    let answer = operator.track().track(request).await.unwrap().into_inner();
    assert_eq!(answer.verdict.unwrap().decision(), v1::Decision::Allowed);
    started.program.terminate();
    let ended = started.program.ended().await;
    assert!(ended.status.success() && ended.stderr.contains(&format!("{name} is waited for")), "{ended:?}");
}

#[tokio::test]
async fn stores_that_come_late_are_waited_for_and_used() {
    let Some(mut redis) = Redis::start() else { return };
    let url = redis.url();
    redis.kill();
    waits_for(&[("TOLLGATE_REDIS_URL", &url)], "Redis", || redis.restart()).await;

    let Some(mut mongodb) = FerretDb::start().filter(|server| !server.is_foreign()) else { return };
    let uri = mongodb.uri();
    mongodb.kill();
    let settings = [
        ("TOLLGATE_REDIS_URL", url.as_str()),
        ("TOLLGATE_MONGODB_URI", &uri),
        ("TOLLGATE_MONGODB_SELECTION_TIMEOUT_MS", "200"),
    ];
    waits_for(&settings, "MongoDB", || mongodb.restart()).await;
}
