//! Data that the server did not leave behind like this: it refuses to start, and leaves it as it is.

use std::path::{Path, PathBuf};

use crate::program::{Program, free_address, ready, tollgate};

/// A directory that a server has used and left.
async fn used() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let program = Program::spawn(tollgate(&["--listen", &address.to_string()], data.path()));
    ready(address).await;
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    data
}

fn databases(data: &Path) -> Vec<PathBuf> {
    let files = data.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let databases: Vec<PathBuf> = files
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")))
        .collect();
    assert!(databases.len() >= 2, "the journal and the ledger are files of their own: {databases:?}");
    databases
}

/// Does that to each database in turn, and expects a start to end with those words and to change nothing.
async fn refused(damage: impl Fn(&Path), expected: &str) {
    let data = used().await;
    for database in databases(data.path()) {
        let good = std::fs::read(&database).unwrap();
        damage(&database);
        let damaged = std::fs::read(&database).unwrap();
        let ended = Program::spawn(tollgate(&["--listen", "127.0.0.1:0"], data.path())).ended().await;
        assert_eq!(Some(1), ended.status.code(), "{}: {ended:?}", database.display());
        let sentence = ended.stderr.lines().last().unwrap_or_default();
        let name = database.file_name().unwrap().to_string_lossy().into_owned();
        assert!(sentence.contains(&name), "`{sentence}` does not say `{name}`");
        assert!(sentence.contains(expected), "`{sentence}` does not say `{expected}`");
        assert!(damaged == std::fs::read(&database).unwrap(), "{name} was changed");
        std::fs::write(&database, good).unwrap();
    }
    // What was put back is good again.
    let address = free_address();
    let _program = Program::spawn(tollgate(&["--listen", &address.to_string()], data.path()));
    ready(address).await;
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let newer = |path: &Path| {
        let database = rusqlite::Connection::open(path).unwrap();
        database.pragma_update(None, "user_version", 9_999).unwrap();
        database.pragma_update(None, "journal_mode", "delete").unwrap();
    };
    refused(newer, "has schema version 9999").await;
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let overwritten = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        for byte in bytes.iter_mut().skip(100) {
            *byte ^= 0x5a;
        }
        std::fs::write(path, bytes).unwrap();
    };
    refused(overwritten, "is damaged").await;
}

#[tokio::test]
async fn a_truncated_database_is_refused() {
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    refused(cut, "is truncated").await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let replaced = |path: &Path| std::fs::write(path, "These are my own notes.\n".repeat(1_000)).unwrap();
    refused(replaced, "is not a SQLite database").await;
}

#[tokio::test]
async fn a_pepper_that_was_lost_is_noticed_before_any_key_fails() {
    let data = used().await;
    let pepper = data.path().join("pepper");
    let kept = std::fs::read(&pepper).unwrap();
    std::fs::remove_file(&pepper).unwrap();
    let ended = Program::spawn(tollgate(&["--listen", "127.0.0.1:0"], data.path())).ended().await;
    assert_eq!(Some(1), ended.status.code(), "{ended:?}");
    assert!(
        ended.stderr.contains("the pepper is not the one that this store's API keys were made with"),
        "{ended:?}"
    );
    std::fs::write(&pepper, kept).unwrap();
    let address = free_address();
    let _program = Program::spawn(tollgate(&["--listen", &address.to_string()], data.path()));
    ready(address).await;
}
