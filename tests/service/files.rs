//! What a server keeps on its disk is its owner's alone, whatever the process that started it would have allowed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tollgate_client::{Client, v1};

use crate::program::{Program, free_address, ready, tollgate};
use crate::telemetry::with_tenant;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// The same command in a process that takes no right from new files.
fn without_a_mask(command: &Command) -> Command {
    let mut open = Command::new("/bin/sh");
    open.args(["-c", "umask 000; ulimit -c $(ulimit -Hc); exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    open.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    open
}

/// All that is below a directory, with the directory itself.
fn all_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What others may do with it.
fn rights_of_others(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o077
}

#[tokio::test]
async fn nothing_that_is_kept_can_be_read_by_others() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], &data);
    command.env_remove("TOLLGATE_OPERATOR_KEY");
    let program = Program::spawn(without_a_mask(&command));
    ready(address).await;
    let key = std::fs::read_to_string(data.join("operator.key")).unwrap();
    let operator = Client::builder()
        .endpoint(format!("http://{address}"))
        .api_key(key.trim())
        .tenant("")
        .build()
        .unwrap();
    let key = with_tenant(&operator).await;
    let client =
        Client::builder().endpoint(format!("http://{address}")).api_key(&key).tenant("").build().unwrap();
    let event = v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() };
    client.track().track(client.request(event)).await.unwrap();
    let sign_up = v1::SignUpRequest {
        address: "ada@example.com".into(),
        password: "a horse that nobody rides".into(),
        name: "Ada".into(),
        ..Default::default()
    };
    client.auth().sign_up(sign_up).await.unwrap();

    let began = Instant::now();
    let is_letter = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "eml");
    while !all_below(&data).iter().any(is_letter) {
        assert!(began.elapsed() < PATIENCE, "there is no letter");
        tokio::time::sleep(POLL).await;
    }
    let found = all_below(&data);
    for expected in ["lock", "operator.key", "pepper", "ledger.db", "ledger.db-wal", "mail"] {
        assert!(found.contains(&data.join(expected)), "there is no {expected} in {found:?}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let cores = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(vec!["0", "0", "bytes"], cores.split_whitespace().collect::<Vec<_>>(), "its memory is kept");
    for path in found {
        assert_eq!(0, rights_of_others(&path), "{}", path.display());
    }
    program.terminate();
    assert!(program.ended().await.status.success());
}
