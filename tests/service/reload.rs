//! SIGHUP: what was changed meanwhile is used from then on, the log says by name what became of it, and nobody ends.

mod told;
mod used;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Program, free_address, ready, tollgate};

/// What the log says at the end of each.
const READ_AGAIN: &str = "read again at a SIGHUP";

/// A program with a directory for the files of its secrets.
struct Reloading {
    program: Program,
    address: SocketAddr,
    data: TempDir,
    files: TempDir,
    hangups: usize,
}

impl Reloading {
    /// With these secrets in files, by the variables of their settings, and these other settings.
    async fn start(secrets: &[(&str, &str)], settings: &[(&str, &str)]) -> Self {
        Self::start_with(secrets, settings, "").await
    }

    /// The same, and with that settings file.
    async fn start_with(secrets: &[(&str, &str)], settings: &[(&str, &str)], file: &str) -> Self {
        let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let address = free_address();
        let config = files.path().join("tollgate.toml");
        std::fs::write(&config, file).unwrap();
        let config = config.display().to_string();
        let mut command = tollgate(&["--listen", &address.to_string(), "--config", &config], data.path());
        command.env("TOLLGATE_LOG_FORMAT", "text").envs(settings.iter().copied());
        for (variable, secret) in secrets {
            // The file stands for it.
            command.env_remove(variable).env(format!("{variable}_FILE"), files.path().join(variable));
            write(&files.path().join(variable), secret);
        }
        let program = Program::spawn(command);
        ready(address).await;
        Self { program, address, data, files, hangups: 0 }
    }

    /// Where a secret stands.
    fn file(&self, variable: &str) -> PathBuf {
        self.files.path().join(variable)
    }

    /// Changes a secret.
    fn change(&self, variable: &str, secret: &str) {
        write(&self.file(variable), secret);
    }

    /// Tells it to read again, and waits until it has. Answers what it said meanwhile.
    async fn hang_up(&mut self) -> String {
        let before = self.program.said().len();
        self.program.hang_up();
        self.hangups += 1;
        let said = self.program.says_times(READ_AGAIN, self.hangups).await;
        said.get(before..).unwrap().to_owned()
    }

    /// Ends it, and answers all that it has said.
    async fn end(self, secrets: &[&str]) -> String {
        self.program.terminate();
        let ended = self.program.ended().await;
        assert!(ended.status.success(), "{ended:?}");
        for secret in secrets {
            assert!(
                !ended.stderr.contains(secret) && !ended.stdout.contains(secret),
                "`{secret}`: {ended:?}"
            );
        }
        ended.stderr
    }
}

fn write(path: &Path, secret: &str) {
    std::fs::write(path, format!("{secret}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn expect(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "it does not say `{word}`:\n{said}");
    }
}
