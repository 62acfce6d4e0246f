//! Lines that cannot be imported: they are counted, kept aside with the reason, and keep nobody up.

use std::path::Path;

use crate::importer::{LLM, Summary, run, run_with};
use crate::server::Server;

const JSON: [&str; 2] = ["--format", "jsonl"];

#[tokio::test(flavor = "multi_thread")]
async fn rejected_lines_stand_aside_and_stop_nothing() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("calls.jsonl");
    let long = "x".repeat(2_000);
    let lines = [
        r#"{"time": "2024-02-29T23:59:59Z", "service": "s", "endpoint": "/a", "status_code": 200}"#,
        "not json",
        r#"{"service": "s", "endpoint": "/a"}"#,
        r#"{"time": 1709251199, "service": "s", "endpoint": "/a", "status_code": 99}"#,
        &format!(r#"{{"time": 1709251199, "service": "s", "endpoint": "/{long}"}}"#),
        r#"{"time": 1709251199, "endpoint": "/a"}"#,
        "",
        r#"{"time": 1709251199000, "service": "s", "endpoint": "/b", "quantity.bytes": 7}"#,
    ];
    write(&file, &lines);
    let rejected = directory.path().join("aside.jsonl");
    let summary = run_with(&server, &file, &JSON, &rejected).await;
    assert_eq!(Summary { read: 7, imported: 2, there_already: 0, rejected: 5, exit_code: 1 }, summary);
    assert_eq!(2, server.totals().await.calls);

    let mut aside = rows(&rejected);
    aside.sort_by_key(|(line, _, _)| *line);
    let numbers: Vec<_> = aside.iter().map(|(line, _, _)| *line).collect();
    assert_eq!(vec![2, 3, 4, 5, 6], numbers);
    for ((_, reason, _), expected) in
        aside.iter().zip(["expected", "time", "status_code", "endpoint", "service"])
    {
        assert!(reason.contains(expected), "`{reason}` does not say `{expected}`");
    }
    assert_eq!("not json", aside[0].2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_read_in_another_way_is_a_conflict_and_not_counted_twice() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("calls.csv");
    write(&file, &["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:46.6805900,374,44"]);
    let first = run(&server, &file, &LLM).await;
    assert_eq!(Summary { read: 1, imported: 1, there_already: 0, rejected: 0, exit_code: 0 }, first);

    let mut swapped = LLM;
    swapped[3] = "time=TIMESTAMP,output_tokens=ContextTokens,input_tokens=GeneratedTokens";
    let second = run_with(&server, &file, &swapped, &directory.path().join("aside.jsonl")).await;
    assert_eq!(Summary { imported: 0, rejected: 1, exit_code: 1, ..first }, second);
    let tokens = server.totals().await.tokens.unwrap_or_default();
    assert_eq!((374, 44), (tokens.input, tokens.output));
}

fn write(file: &Path, lines: &[&str]) {
    std::fs::write(file, lines.join("\r\n")).expect("a file");
}

/// The rejected lines: number, reason, text.
fn rows(file: &Path) -> Vec<(u64, String, String)> {
    let text = std::fs::read_to_string(file).expect("rejected lines are kept");
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| row[name].as_str().expect("text").to_owned();
        (row["line"].as_u64().expect("a number"), text("reason"), text("text"))
    };
    text.lines().map(row).collect()
}
