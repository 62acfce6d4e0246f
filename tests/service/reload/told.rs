//! What the log says: what is unchanged, what takes a restart, and what cannot be read, by name and never by value.

use std::os::unix::fs::PermissionsExt as _;

use test_servers::Redis;
use tollgate_client::v1;

use super::{READ_AGAIN, Reloading, expect};
use crate::program::{OPERATOR_KEY, Program, free_address, listening, operator, tollgate};
use crate::telemetry::with_tenant;

const PEPPER: &str = "7d0f5c1e9b3a48266c1f0e9d8b7a69584736251403f2e1d0c9b8a79685746352";
const OTHER_PEPPER: &str = "00005c1e9b3a48266c1f0e9d8b7a69584736251403f2e1d0c9b8a79685746352";

#[tokio::test]
async fn a_server_without_certificates_and_secrets_lives_on() {
    let mut server = Reloading::start(&[], &[]).await;
    for _ in 0..2 {
        let said = server.hang_up().await;
        expect(&said, &["renewed: nothing; unchanged: `operator.key`, `operator.pepper`"]);
        assert!(!said.contains("ERROR") && !said.contains("WARN"), "{said}");
        operator(server.address).admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap();
    }
    server.end(&[OPERATOR_KEY]).await;
}

#[tokio::test]
async fn a_server_that_waits_for_its_stores_lives_on_too() {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.env("TOLLGATE_REDIS_URL", "redis://127.0.0.1:1");
    let mut program = Program::spawn(command);
    listening(address).await;
    program.hang_up();
    program.says("Redis is waited for").await;
    assert!(!program.has_ended());
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
}

#[tokio::test]
async fn what_is_told_during_the_start_is_done_after_it() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.env("TOLLGATE_REDIS_URL", redis.url());
    let program = Program::spawn(command);
    program.says("Redis is waited for").await;
    program.hang_up();
    redis.restart();
    program.says(READ_AGAIN).await;
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_any_more_lives_on() {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.env("TOLLGATE_LOG_LEVEL", "trace");
    let program = Program::deaf(command);
    crate::program::ready(address).await;
    program.hang_up();
    with_tenant(&operator(address)).await;
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
}

#[tokio::test]
async fn the_pepper_never_changes_and_what_was_made_with_it_stays_good() {
    let secrets = [("TOLLGATE_OPERATOR_PEPPER", PEPPER)];
    let mut server = Reloading::start(&secrets, &[]).await;
    let key = with_tenant(&operator(server.address)).await;
    server.change("TOLLGATE_OPERATOR_PEPPER", &PEPPER.to_ascii_uppercase());
    expect(&server.hang_up().await, &["unchanged: `operator.key`, `operator.pepper`"]);
    server.change("TOLLGATE_OPERATOR_PEPPER", OTHER_PEPPER);
    for _ in 0..2 {
        let said = server.hang_up().await;
        expect(&said, &["ERROR", "`operator.pepper` has changed and is not used", "the old one stays"]);
        let endpoint = format!("http://{}", server.address);
        let client = tollgate_client::Client::builder().endpoint(endpoint).api_key(&key).build().unwrap();
        client.auth().who_am_i(v1::WhoAmIRequest::default()).await.unwrap();
    }
    server.end(&[PEPPER, OTHER_PEPPER, &key]).await;
}

#[tokio::test]
async fn what_takes_a_restart_is_told_by_its_name() {
    let dsn = |key: &str| format!("http://{key}@127.0.0.1:1/42");
    let file = |level: &str| format!("[log]\nlevel = \"{level}\"\n[mail]\npassword = \"mail-s3cret\"\n");
    let secrets = [("TOLLGATE_SENTRY_DSN", &*dsn("first-s3cret"))];
    let mut server = Reloading::start_with(&secrets, &[], &file("info")).await;
    server.change("TOLLGATE_SENTRY_DSN", &dsn("second-s3cret"));
    let more = "[redis]\nurl = \"redis://:redis-s3cret@127.0.0.1\"\n";
    std::fs::write(server.file("tollgate.toml"), format!("{}{more}", file("debug"))).unwrap();
    for _ in 0..2 {
        let said = server.hang_up().await;
        let restart = "has changed and needs a restart";
        expect(
            &said,
            &[&format!("`sentry.dsn` {restart}"), &format!("`redis.url` {restart}: it was not set")],
        );
        expect(&said, &["`log.level` changed and needs a restart: only secrets", "WARN"]);
        expect(&said, &["renewed: nothing; unchanged: `operator.key`, `operator.pepper`, `mail.password`"]);
    }
    std::fs::write(server.file("tollgate.toml"), "").unwrap();
    expect(&server.hang_up().await, &["`mail.password` has changed and needs a restart: it is not set"]);
    server.end(&["s3cret"]).await;
}

#[tokio::test]
async fn settings_that_cannot_be_used_leave_everything_as_it_was() {
    let mut server = Reloading::start(&[("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY)], &[]).await;
    let other = "another-operator-of-the-service-tests-s3cret";
    for (file, expected) in [
        ("[log\nlevel = \"s3cret\"", "is not well formed"),
        ("[operator]\npepper = [\"s3cret\"]", "in the settings `operator`"),
        ("[retention]\ndays = 1", "1 days"),
        ("[operator]\nkey = \"s3cret\"", "both `key` and `key_file`"),
    ] {
        std::fs::write(server.file("tollgate.toml"), file).unwrap();
        server.change("TOLLGATE_OPERATOR_KEY", other);
        let said = server.hang_up().await;
        expect(&said, &["ERROR", "all secrets stay as they were", expected, "renewed: nothing"]);
        operator(server.address).admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap();
    }
    std::fs::remove_file(server.file("tollgate.toml")).unwrap();
    expect(&server.hang_up().await, &["all secrets stay as they were", "cannot be read"]);
    server.end(&[OPERATOR_KEY, "s3cret"]).await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_stays_as_it_was() {
    let key = "TOLLGATE_OPERATOR_KEY";
    let mut server = Reloading::start(&[(key, OPERATOR_KEY)], &[]).await;
    let weak = "short-s3cret";
    let exposed = "another-operator-of-the-service-tests-s3cret";
    let check = async |server: &mut Reloading, expected: &[&str]| {
        let said = server.hang_up().await;
        expect(&said, &["ERROR", "`operator.key`", "renewed: nothing"]);
        expect(&said, expected);
        operator(server.address).admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap();
    };
    let unread = "`operator.key` cannot be read again, and what was read before stays";
    std::fs::write(server.file(key), "").unwrap();
    check(&mut server, &[unread, "it is empty"]).await;
    server.change(key, weak);
    check(&mut server, &["`operator.key` has changed and is not used", "shorter than 32"]).await;
    server.change(key, exposed);
    std::fs::set_permissions(server.file(key), std::fs::Permissions::from_mode(0o644)).unwrap();
    check(&mut server, &[unread, "mode 0644"]).await;
    std::fs::remove_file(server.file(key)).unwrap();
    check(&mut server, &[unread, "key_file", "No such file"]).await;
    let said = server.end(&[OPERATOR_KEY, weak, exposed]).await;
    expect(&said, &[READ_AGAIN]);
}
