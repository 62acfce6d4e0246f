//! Imports that are cut off: by the end of the importer, and by the end of the server.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Child;

use crate::importer::{LLM, data, end_of, run, start};
use crate::server::Server;

/// The evening so many times over, so that there is time to be cut off in.
const EVENINGS: usize = 6;
const CALLS: i64 = 19_366 * 6;
const TOKENS: (i64, i64) = (22_361_870 * 6, 4_088_665 * 6);
/// So many are in before anything is killed.
const BEFORE: i64 = 1_000;
/// An importer that has had all its answers ends within that time.
const DONE: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_completes_an_import_that_was_killed() {
    let server = Server::start().await;
    let (_directory, file) = evenings();
    let mut importer = start(&server, &file, &LLM);
    under_way(&server, &mut importer).await;
    importer.kill().await.expect("it runs");
    let cut_off = server.totals().await.calls;
    assert!((BEFORE..CALLS).contains(&cut_off), "{cut_off} calls were in when the importer was killed");

    let rerun = run(&server, &file, &LLM).await;
    assert_eq!((CALLS as u64, 0, 0), (rerun.read, rerun.rejected, rerun.exit_code));
    assert_eq!(rerun.read, rerun.imported + rerun.there_already);
    assert!(rerun.there_already >= BEFORE as u64, "{rerun:?}");
    check(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_a_server_that_was_killed() {
    let mut server = Server::start().await;
    let (_directory, file) = evenings();
    let mut importer = start(&server, &file, &LLM);
    under_way(&server, &mut importer).await;
    server.crash();
    let ended = tokio::time::timeout(DONE, importer.wait()).await;
    assert!(ended.is_err(), "the import was done when the server was killed");
    server.start_again().await;
    let summary = end_of(importer).await;
    assert_eq!((CALLS as u64, 0, 0), (summary.read, summary.rejected, summary.exit_code));
    assert_eq!(summary.read, summary.imported + summary.there_already);
    check(&server).await;
}

/// The same evening several times, with every line's number its own.
fn evenings() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("evenings.csv");
    let text = std::fs::read_to_string(data("llm_requests.csv")).expect("the committed file");
    let (header, lines) = text.split_once('\n').expect("a header");
    let lines = format!("{}\n", lines.trim_end()).repeat(EVENINGS);
    std::fs::write(&file, format!("{header}\n{lines}")).expect("a file");
    (directory, file)
}

async fn under_way(server: &Server, importer: &mut Child) {
    while server.calls_now().await < BEFORE {
        let ended = importer.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "the import has ended, {} calls are in", server.calls_now().await);
        tokio::time::sleep(POLL).await;
    }
}

async fn check(server: &Server) {
    let totals = server.totals().await;
    let tokens = totals.tokens.unwrap_or_default();
    assert_eq!((CALLS, TOKENS), (totals.calls, (tokens.input, tokens.output)));
}
