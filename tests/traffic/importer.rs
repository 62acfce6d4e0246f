//! `tollgate import` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::server::{OPERATOR_KEY, Server, TENANT};

/// What a run said at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) read: u64,
    pub(crate) imported: u64,
    pub(crate) there_already: u64,
    pub(crate) rejected: u64,
    pub(crate) exit_code: i32,
}

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// How the requests of a language model service are read.
pub(crate) const LLM: [&str; 8] = [
    "--format",
    "csv",
    "--map",
    "time=TIMESTAMP,input_tokens=ContextTokens,output_tokens=GeneratedTokens",
    "--set",
    "service=llm",
    "--set",
    "endpoint=/v1/chat",
];

/// Starts an import.
pub(crate) fn start(server: &Server, file: &Path, flags: &[&str]) -> Child {
    let rejected = tempfile::env::temp_dir().join(format!("rejected-{}", uuid::Uuid::now_v7()));
    start_with(server, file, flags, &rejected)
}

/// Runs an import to its end.
pub(crate) async fn run(server: &Server, file: &Path, flags: &[&str]) -> Summary {
    end_of(start(server, file, flags)).await
}

/// Runs an import whose rejected lines go to a file.
pub(crate) async fn run_with(server: &Server, file: &Path, flags: &[&str], rejected: &Path) -> Summary {
    end_of(start_with(server, file, flags, rejected)).await
}

/// Waits for the end of an import, and reads what it said.
pub(crate) async fn end_of(process: Child) -> Summary {
    let output = process.wait_with_output().await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let number = |word: &str| {
        let (before, _) = text.split_once(word).unwrap_or_else(|| panic!("no `{word}`: {text}{errors}"));
        before.rsplit([' ', ':']).next().and_then(|number| number.parse().ok()).expect("a number")
    };
    Summary {
        read: number(" read"),
        imported: number(" imported"),
        there_already: number(" already there"),
        rejected: number(" rejected"),
        exit_code: output.status.code().expect("an exit code"),
    }
}

fn start_with(server: &Server, file: &Path, flags: &[&str], rejected: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("import")
        .args(flags)
        .args(["--tenant", TENANT, "--endpoint", &server.endpoint()])
        .arg("--rejected")
        .arg(rejected)
        .arg(file)
        .env_clear()
        .env("TOLLGATE_API_KEY", OPERATOR_KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}
