//! Mosquitto, an MQTT broker with its own users, rules and store.

use std::path::Path;
use std::process::Command;

use crate::certificates::Tls;
use crate::installed::{program, skip};
use crate::process::Process;

/// What a broker knows at its start.
#[derive(Clone, Debug, Default)]
pub struct MosquittoConfig {
    /// Names and passwords. Empty: everybody may come in, nameless.
    pub users: Vec<(String, String)>,
    /// Lines of its rules, such as `user alice` and `topic read a/#`. Empty: all topics are open to whoever is in.
    pub acl: Vec<String>,
    /// `None`: without TLS.
    pub tls: Option<Tls>,
}

/// A broker. Killed when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
}

impl Mosquitto {
    /// A broker with its own store. `None`: it is not installed.
    ///
    /// Sessions, queues and retained messages are saved after each change, and queues hold a million. So little is
    /// lost by a kill, but not nothing: an acknowledgement does not wait for the store.
    ///
    /// # Panics
    /// It does not start with this configuration.
    pub fn start(config: &MosquittoConfig) -> Option<Self> {
        let Some(server) = program("mosquitto") else {
            return skip("mosquitto", "mosquitto is not installed");
        };
        let mut process = Process::new("mosquitto", server);
        let file = process.directory().join("mosquitto.conf");
        write(&file, &settings(config, process.port(), process.directory()));
        process.set_arguments(vec!["-c".to_owned(), file.display().to_string()]);
        process.start();
        Some(Self { process })
    }

    /// Starts it again with these users, and no others.
    ///
    /// # Panics
    /// It was started without users, or does not start.
    pub fn change_users(&mut self, users: &[(String, String)]) {
        let passwords = self.process.directory().join("passwords");
        assert!(passwords.exists(), "it asks nobody who they are");
        self.process.kill();
        write_passwords(&passwords, users);
        self.process.start();
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Tells it to end, and waits until it has: it saves all that it has first.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn end(&mut self) {
        self.process.end();
    }

    /// Starts it again on the same port and store.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process.start();
    }

    /// Stops it in the middle of whatever it does; connections stay open.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }
}

fn settings(config: &MosquittoConfig, port: u16, directory: &Path) -> String {
    let directory_name = directory.display();
    let mut lines = vec![
        format!("listener {port} 127.0.0.1"),
        // Otherwise it becomes a user who may not write here, when root started it.
        "user root".to_owned(),
        "persistence true".to_owned(),
        format!("persistence_location {directory_name}/"),
        "autosave_on_changes true".to_owned(),
        "autosave_interval 1".to_owned(),
        // Without a bound, which it has too, it closes the connection of whoever publishes what the rules forbid.
        "max_queued_messages 1000000".to_owned(),
        "log_dest stderr".to_owned(),
        format!("allow_anonymous {}", config.users.is_empty()),
    ];
    if !config.users.is_empty() {
        let passwords = directory.join("passwords");
        write_passwords(&passwords, &config.users);
        lines.push(format!("password_file {}", passwords.display()));
    }
    if !config.acl.is_empty() {
        let acl = directory.join("acl");
        write(&acl, &(config.acl.join("\n") + "\n"));
        lines.push(format!("acl_file {}", acl.display()));
    }
    if let Some(tls) = &config.tls {
        lines.push(format!("certfile {}", tls.certificate.display()));
        lines.push(format!("keyfile {}", tls.key.display()));
        lines.push(format!("require_certificate {}", tls.clients.is_some()));
        lines.extend(tls.clients.iter().map(|clients| format!("cafile {}", clients.display())));
    }
    lines.join("\n") + "\n"
}

/// It takes hashes only, which its own tool makes of a file.
fn write_passwords(path: &Path, users: &[(String, String)]) {
    let lines: Vec<String> = users.iter().map(|(name, password)| format!("{name}:{password}\n")).collect();
    write(path, &lines.concat());
    let tool = program("mosquitto_passwd").expect("mosquitto_passwd comes with mosquitto");
    let hashed = Command::new(tool).arg("-U").arg(path).output().expect("mosquitto_passwd starts");
    assert!(hashed.status.success(), "{}", String::from_utf8_lossy(&hashed.stderr));
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{} is written: {error}", path.display()));
}
