//! A mosquitto of a test's own, on a private port and in a private directory. It ends with its owner.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names the servers that must be there: comma-separated, or `all`.
const REQUIRE: &str = "TOLLGATE_TEST_REQUIRE";
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// The server's own name at the broker, and its password.
pub(crate) const SERVER: (&str, &str) = ("tollgate", "password-of-the-server");
/// Names of tenants, and the password of each.
pub(crate) const TENANTS: [&str; 2] = ["acme", "other"];
pub(crate) const TENANT_PASSWORD: &str = "password-of-a-tenant";
/// Somebody who may read everything of ours.
pub(crate) const AUDITOR: (&str, &str) = ("auditor", "password-of-the-auditor");

/// Who may do what: the same rules as `server/live/README.md` gives for EMQX.
const RULES: &str = "
user tollgate
topic write tollgate/v1/+/usage/+
topic write tollgate/v1/+/alerts
topic write tollgate/v1/+/state/+
topic write tollgate/v1/nodes/+/status
topic read tollgate/v1/+/ingest/#

user auditor
topic read tollgate/v1/#

pattern read tollgate/v1/%u/usage/+
pattern read tollgate/v1/%u/alerts
pattern read tollgate/v1/%u/state/+
pattern write tollgate/v1/%u/ingest/#
";

/// A broker.
#[derive(Debug)]
pub(crate) struct Broker {
    port: u16,
    directory: tempfile::TempDir,
    tls: bool,
    child: Option<Child>,
}

impl Broker {
    /// A broker that runs; `None`: this machine has none, and none is required.
    pub(crate) fn start() -> Option<Self> {
        Self::with_tls(false)
    }

    /// A broker that speaks TLS, with a certificate of its own making.
    pub(crate) fn start_tls() -> Option<Self> {
        Self::with_tls(true)
    }

    fn with_tls(tls: bool) -> Option<Self> {
        program("mosquitto")?;
        let directory = tempfile::tempdir().unwrap();
        let mut broker = Self { port: free_port(), directory, tls, child: None };
        broker.configure();
        broker.go_on();
        Some(broker)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that its own is signed with.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Lets it run, with all that it knew when it ended.
    pub(crate) fn go_on(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.file("log")).unwrap();
        let mut command = Command::new(program("mosquitto").unwrap());
        command.arg("-v").arg("-c").arg(self.file("mosquitto.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "the broker does not start:\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    /// Ends it as an operator does: it writes down its sessions first. A kill on the spot loses what it has acknowledged,
    /// which is its own promise to break.
    pub(crate) fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let told = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "the broker does not end");
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn configure(&self) {
        let users = [SERVER, AUDITOR].into_iter().chain(TENANTS.map(|name| (name, TENANT_PASSWORD)));
        let users: String = users.map(|(name, password)| format!("{name}:{password}\n")).collect();
        std::fs::write(self.file("passwords"), users).unwrap();
        let mut hashed = Command::new(program("mosquitto_passwd").unwrap());
        assert!(run(hashed.arg("-U").arg(self.file("passwords"))));
        std::fs::write(self.file("rules"), RULES).unwrap();
        let mut settings = format!(
            "listener {} 127.0.0.1\nallow_anonymous false\npassword_file {}\nacl_file {}\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 0\nuser root\n",
            self.port,
            self.file("passwords").display(),
            self.file("rules").display(),
            self.directory.path().display()
        );
        if self.tls {
            make_certificates(self.directory.path());
            let [cert, key] = ["server.pem", "server.key"].map(|name| self.file(name));
            settings += &format!("certfile {}\nkeyfile {}\n", cert.display(), key.display());
        }
        std::fs::write(self.file("mosquitto.conf"), settings).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// An authority of one certificate for `localhost`.
fn make_certificates(directory: &Path) {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority \
         && openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost \
         && printf 'subjectAltName=DNS:localhost' > names \
         && openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem";
    assert!(
        run(Command::new("sh").arg("-c").arg(script).current_dir(directory)),
        "openssl makes certificates"
    );
}

fn run(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// The path of a program; `None`: it is not there, which is said, and is a failure where it is required.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from);
    let places = std::env::split_paths(&path).chain(usual);
    let found = places.map(|place| place.join(name)).find(|program| program.is_file());
    if found.is_none() {
        let required = std::env::var_os(REQUIRE).unwrap_or_default().to_string_lossy().into_owned();
        let is_required = required.split(',').any(|server| ["mosquitto", "all"].contains(&server.trim()));
        assert!(!is_required, "{REQUIRE} lists mosquitto, and there is no `{name}`");
        // Written past the test's own capture, because a skipped test passes and shows nothing of itself.
        std::io::stderr().write_all(format!("skipped: there is no `{name}`\n").as_bytes()).unwrap();
    }
    found
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
