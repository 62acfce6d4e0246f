//! `tollgate demo` and `tollgate bench`, which bring servers of their own: both compare the ledger with their answers, and
//! fail where it differs.

use std::process::{Output, Stdio};

use tokio::process::Command;

const REQUESTS: u64 = 19_366;

#[tokio::test]
async fn the_demo_plays_every_request_and_the_ledger_agrees() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(&["demo", "--speed", "2000", "--exit", "--data"], &directory).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let (_, sums) = text.rsplit_once("agree to the last token: ").expect("a summary");
    let words: Vec<_> = sums.split([' ', ',']).collect();
    let before = |word: &str| {
        let place = words.iter().position(|it| it.trim_end_matches(['.', '\n']) == word).expect("a word");
        words[place - 1].parse::<u64>().expect("a number")
    };
    assert_eq!(REQUESTS, before("calls") + before("refused"));
    assert!(before("refused") > 0, "somebody is refused");
}

#[tokio::test]
async fn the_bench_measures_each_path_and_the_ledger_agrees() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["bench", "--calls", "400", "--tenants", "7", "--callers", "16", "--json", "--directory"];
    let output = run(&flags, &directory).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let paths = results["paths"].as_array().expect("paths").iter();
    let events: Vec<_> = paths.map(|path| (path["path"].as_str(), path["events"].as_u64())).collect();
    let expected = [
        ("floor check", 400),
        ("floor track", 400),
        ("check", 400),
        ("track", 400),
        ("track, first of each tenant", 7),
        ("batch", 2_000),
    ];
    assert_eq!(expected.map(|(path, events)| (Some(path), Some(events))).as_slice(), events);
    let left = std::fs::read_dir(directory.path()).expect("the directory").count();
    assert_eq!(0, left, "the bench removes what it made");
}

async fn run(flags: &[&str], directory: &tempfile::TempDir) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(flags)
        .arg(directory.path())
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the program runs")
}
