//! Starts that cannot be: each ends with an exit code and one clear sentence.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::program::{Ended, OPERATOR_KEY, Program, free_address, listening, tollgate};

/// Starts with that command, and expects it to end with those words. Answers all that it said.
pub(crate) async fn refused(command: std::process::Command, expected: &[&str]) -> Ended {
    let ended = Program::spawn(command).ended().await;
    assert_eq!(Some(1), ended.status.code(), "{ended:?}");
    let sentence = ended.stderr.lines().last().unwrap_or_default();
    for part in expected {
        assert!(sentence.contains(part), "`{sentence}` does not say `{part}`");
    }
    assert!(!format!("{ended:?}").contains(OPERATOR_KEY), "{ended:?}");
    ended
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_directory_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let first = Program::spawn(tollgate(&["serve", "--listen", &address.to_string()], data.path()));
    listening(address).await;
    let second = tollgate(&["serve", "--listen", "127.0.0.1:0"], data.path());
    refused(second, &["in use by process", &first.id().to_string()]).await;
    first.kill();
    // What a killed server held is free again.
    let third = Program::spawn(tollgate(&["--listen", &address.to_string()], data.path()));
    listening(address).await;
    third.terminate();
    assert!(third.ended().await.status.success());
}

#[tokio::test]
async fn an_address_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(tollgate(&["--listen", &address], data.path()), &["in use by another program", &address]).await;
}

#[tokio::test]
async fn a_key_that_is_not_safe_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut weak = tollgate(&["--listen", "127.0.0.1:0"], data.path());
    weak.env("TOLLGATE_OPERATOR_KEY", "short");
    refused(weak, &["TOLLGATE_OPERATOR_KEY", "shorter than 32"]).await;
    let mut typed = tollgate(&["--listen", "127.0.0.1:0"], data.path());
    typed.env("TOLLGATE_OPERATOR_KEY", "secret".repeat(10));
    refused(typed, &["TOLLGATE_OPERATOR_KEY", "fewer than 8 different"]).await;
    let mut pepper = tollgate(&["--listen", "127.0.0.1:0"], data.path());
    pepper.env("TOLLGATE_OPERATOR_PEPPER", "0".repeat(64));
    refused(pepper, &["TOLLGATE_OPERATOR_PEPPER", "fewer than 8 different"]).await;

    write(&data.path().join("operator.key"), &"k".repeat(40), 0o644);
    let mut exposed = tollgate(&["--listen", "127.0.0.1:0"], data.path());
    exposed.env_remove("TOLLGATE_OPERATOR_KEY");
    refused(exposed, &["operator.key", "mode 0644", "chmod 600"]).await;

    let unreadable = tempfile::tempdir().unwrap();
    std::fs::create_dir(unreadable.path().join("operator.key")).unwrap();
    std::fs::set_permissions(unreadable.path().join("operator.key"), std::fs::Permissions::from_mode(0o700))
        .unwrap();
    let mut directory = tollgate(&["--listen", "127.0.0.1:0"], unreadable.path());
    directory.env_remove("TOLLGATE_OPERATOR_KEY");
    refused(directory, &["operator.key", "cannot be used"]).await;
}

#[tokio::test]
async fn a_key_is_made_and_shown_at_the_first_start_alone() {
    let data = tempfile::tempdir().unwrap();
    let mut shown = Vec::new();
    for _ in 0..2 {
        let address = free_address();
        let mut command = tollgate(&["--listen", &address.to_string()], data.path());
        command.env_remove("TOLLGATE_OPERATOR_KEY");
        let program = Program::spawn(command);
        listening(address).await;
        program.terminate();
        shown.push(program.ended().await);
    }
    let key = std::fs::read_to_string(data.path().join("operator.key")).unwrap();
    assert!(shown[0].stdout.contains(key.trim()), "{:?}", shown[0]);
    assert!(!shown[0].stderr.contains(key.trim()), "the log has the key");
    assert!(!format!("{:?}", shown[1]).contains(key.trim()), "{:?}", shown[1]);
}

#[tokio::test]
async fn settings_that_are_none_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut unknown = tollgate(&[], data.path());
    unknown.env("TOLLGATE_SERVER_LSTEN", "127.0.0.1:0");
    refused(unknown, &["unknown field `lsten`"]).await;
    refused(tollgate(&["--config", "nowhere.toml"], data.path()), &["`nowhere.toml` cannot be read"]).await;
    let mut level = tollgate(&[], data.path());
    level.env("TOLLGATE_LOG_LEVEL", "a=b=c");
    refused(level, &["`a=b=c`"]).await;
    // What clap refuses is a mistake in use.
    let usage = Program::spawn(tollgate(&["--listen", "here"], data.path())).ended().await;
    assert_eq!(Some(2), usage.status.code());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_said() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused(tollgate(&["--listen", "127.0.0.1:0"], &file), &["cannot be used"]).await;
}
