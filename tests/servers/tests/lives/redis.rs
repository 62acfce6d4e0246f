//! Redis, Valkey and a cluster.

use std::time::Duration;

use test_servers::Redis;

use crate::answers;

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
