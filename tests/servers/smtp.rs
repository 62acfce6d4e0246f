//! A mail server: aiosmtpd, with a keeper of letters of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::certificates::Pair;
use crate::installed::{program, skip, tools};
use crate::process::Process;

const SERVER: &str = include_str!("smtp/server.py");
/// Where `.ci/run` puts what pip installs for it.
const PACKAGES: &str = "aiosmtpd";

/// How a mail server is spoken to.
#[derive(Clone, Debug, Default)]
pub struct SmtpConfig {
    /// Who may hand letters over, with a password. `None`: everybody.
    pub login: Option<(String, String)>,
    /// `None`: in the clear.
    pub tls: Option<SmtpTls>,
}

/// When a mail server speaks TLS, and with which certificate.
#[derive(Clone, Debug)]
pub enum SmtpTls {
    /// After `STARTTLS`, without which it takes nothing.
    Started(Pair),
    /// From the first byte.
    Implicit(Pair),
}

/// A mail server. Killed when dropped.
#[derive(Debug)]
pub struct Smtp {
    process: Process,
    letters: PathBuf,
    python: PathBuf,
    script: PathBuf,
    config: SmtpConfig,
}

/// A letter that a mail server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// Whether it came with a name and a password.
    pub authenticated: bool,
    /// From whom, as the server was told.
    pub sender: String,
    /// To whom, as the server was told.
    pub recipients: Vec<String>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The part in text.
    pub text: String,
    /// The part in HTML.
    pub html: String,
}

impl Smtp {
    /// A server without letters. `None`: Python or its package `aiosmtpd` is not installed.
    ///
    /// # Panics
    /// It does not start with this configuration.
    pub fn start(config: &SmtpConfig) -> Option<Self> {
        let Some(python) = program("python3").filter(|python| has_package(python)) else {
            return skip("smtp", "python3 with the package aiosmtpd is not installed");
        };
        let process = Process::new("aiosmtpd", program("env").expect("`env` is everywhere"));
        let script = process.directory().join("server.py");
        std::fs::write(&script, SERVER).expect("a file for the server");
        let letters = process.directory().join("letters");
        let mut server = Self { process, letters, python, script, config: config.clone() };
        server.process.set_arguments(server.arguments());
        server.process.start();
        Some(server)
    }

    /// Starts it again with another password, and without the old one.
    ///
    /// # Panics
    /// It asks nobody for a password, or does not start.
    pub fn change_password(&mut self, password: &str) {
        let (username, _) = self.config.login.clone().expect("it asks for a password");
        self.change_login(&username, password);
    }

    /// Starts it again with another name and password, and without the old ones.
    ///
    /// # Panics
    /// It does not start.
    pub fn change_login(&mut self, username: &str, password: &str) {
        self.config.login = Some((username.to_owned(), password.to_owned()));
        self.process.set_arguments(self.arguments());
        self.restart();
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// The letters that it took, in order.
    ///
    /// # Panics
    /// It wrote them down otherwise than it should.
    pub fn letters(&self) -> Vec<Received> {
        let lines = std::fs::read_to_string(&self.letters).unwrap_or_default();
        let read = |line: &str| serde_json::from_str(line).expect("a letter in JSON");
        lines.lines().map(|line| received(&read(line))).collect()
    }

    /// `kill -9`; the letters stay.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port.
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

    fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut arguments = vec![
            format!("PYTHONPATH={}", path(&packages())),
            path(&self.python),
            path(&self.script),
            String::from("--port"),
            self.process.port().to_string(),
            String::from("--letters"),
            path(&self.letters),
        ];
        let mut add = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        if let Some((username, password)) = &self.config.login {
            add("username", username.clone());
            add("password", password.clone());
        }
        if let Some(tls) = &self.config.tls {
            let (kind, pair) = match tls {
                SmtpTls::Started(pair) => ("starttls", pair),
                SmtpTls::Implicit(pair) => ("implicit", pair),
            };
            add("tls", kind.to_owned());
            add("certificate", path(&pair.certificate));
            add("key", path(&pair.key));
        }
        arguments
    }
}

impl Received {
    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

fn packages() -> PathBuf {
    tools().join(PACKAGES)
}

fn has_package(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import aiosmtpd.smtp"]).env("PYTHONPATH", packages());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn received(letter: &Value) -> Received {
    let field = |name: &str| letter.get(name).unwrap_or(&Value::Null);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| field(name).as_array().cloned().unwrap_or_default();
    let pair = |header: &Value| {
        let part = |place: usize| header.get(place).map(text).unwrap_or_default();
        (part(0), part(1))
    };
    Received {
        encrypted: field("encrypted").as_bool().unwrap_or_default(),
        authenticated: field("authenticated").as_bool().unwrap_or_default(),
        sender: text(field("sender")),
        recipients: list("recipients").iter().map(text).collect(),
        headers: list("headers").iter().map(pair).collect(),
        text: text(field("text")),
        html: text(field("html")),
    }
}
