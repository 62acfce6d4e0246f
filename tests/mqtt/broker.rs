//! The broker of a test, with the access rules that the documentation gives, and the names that the tests use there.

use std::path::PathBuf;

use test_servers::certificates::Authority;
use test_servers::{Mosquitto, MosquittoConfig};

/// The server's own name at the broker, and its password.
pub(crate) const SERVER: (&str, &str) = ("tollgate", "password-of-the-server");
/// Names of tenants, and the password of each.
const TENANTS: [&str; 2] = ["acme", "other"];
pub(crate) const TENANT_PASSWORD: &str = "password-of-a-tenant";
/// Somebody who may read everything of ours.
pub(crate) const AUDITOR: (&str, &str) = ("auditor", "password-of-the-auditor");

/// Who may do what: the same rules as `server/live/README.md` gives for EMQX.
const RULES: [&str; 12] = [
    "user tollgate",
    "topic write tollgate/v1/+/usage/+",
    "topic write tollgate/v1/+/alerts",
    "topic write tollgate/v1/+/state/+",
    "topic write tollgate/v1/nodes/+/status",
    "topic read tollgate/v1/+/ingest/#",
    "user auditor",
    "topic read tollgate/v1/#",
    "pattern read tollgate/v1/%u/usage/+",
    "pattern read tollgate/v1/%u/alerts",
    "pattern read tollgate/v1/%u/state/+",
    "pattern write tollgate/v1/%u/ingest/#",
];

/// A broker.
#[derive(Debug)]
pub(crate) struct Broker {
    server: Mosquitto,
    authority: Option<Certified>,
}

/// Who signed a broker's certificate, and the directory of that.
#[derive(Debug)]
struct Certified {
    ca_file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Broker {
    /// A broker that runs; `None`: this machine has none, and none is required.
    pub(crate) fn start() -> Option<Self> {
        Some(Self { server: Mosquitto::start(&config())?, authority: None })
    }

    /// A broker that speaks TLS, with a certificate for `localhost`.
    pub(crate) fn start_tls() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(directory.path(), "authority");
        let tls = Some(authority.server("broker").alone());
        let server = Mosquitto::start(&MosquittoConfig { tls, ..config() })?;
        let ca_file = authority.certificate().to_owned();
        Some(Self { server, authority: Some(Certified { ca_file, _directory: directory }) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    /// The certificate that its own is signed with.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.authority.as_ref().unwrap().ca_file.clone()
    }

    /// Ends it as an operator does: it writes down its sessions first. A kill on the spot loses what it has acknowledged
    /// and not handed on, which is its own promise to break.
    pub(crate) fn end(&mut self) {
        self.server.end();
    }

    /// Lets it run again, with all that it knew when it ended.
    pub(crate) fn go_on(&mut self) {
        self.server.restart();
    }

    /// Starts again, and knows the server by that password alone.
    pub(crate) fn change_password(&mut self, password: &str) {
        let users = config().users.into_iter();
        let changed = users.map(|(name, known)| match name.as_str() == SERVER.0 {
            true => (name, password.to_owned()),
            false => (name, known),
        });
        self.server.change_users(&changed.collect::<Vec<_>>());
    }

    /// Leaves its connections open, and says nothing any more.
    pub(crate) fn pause(&self) {
        self.server.pause();
    }

    /// Lets it speak again.
    pub(crate) fn resume(&self) {
        self.server.resume();
    }
}

fn config() -> MosquittoConfig {
    let users = [SERVER, AUDITOR].into_iter().chain(TENANTS.map(|name| (name, TENANT_PASSWORD)));
    MosquittoConfig {
        users: users.map(|(name, password)| (name.to_owned(), password.to_owned())).collect(),
        acl: RULES.map(str::to_owned).to_vec(),
        tls: None,
    }
}

/// A port that nobody listens on now, below those that the system gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
