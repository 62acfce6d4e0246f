//! The MongoDB protocol, served by FerretDB over SQLite.

use crate::certificates::Tls;
use crate::go;
use crate::process::Process;

/// Names a server of somebody else's that tests use in place of this one.
const URI: &str = "TOLLGATE_TEST_MONGODB_URI";

/// A server that speaks the MongoDB protocol. Killed when dropped, unless it is somebody else's.
#[derive(Debug)]
pub struct FerretDb {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Own { process: Box<Process>, options: &'static str },
    Foreign(String),
}

impl FerretDb {
    /// FerretDB, or the server that `TOLLGATE_TEST_MONGODB_URI` names. `None`: there is no Go here to build it.
    ///
    /// A foreign server is shared: take a database name of your own.
    pub fn start() -> Option<Self> {
        if let Some(uri) = std::env::var_os(URI) {
            return Some(Self { server: Server::Foreign(uri.to_string_lossy().into_owned()) });
        }
        Self::start_own(None)
    }

    /// FerretDB that speaks TLS only. Its address names no authority: add `&tlsCAFile=` and, where clients show a
    /// certificate, `&tlsCertificateKeyFile=`. `None`: there is no Go here to build it.
    ///
    /// It has no users and passwords: the version that stores in SQLite takes any.
    pub fn start_with_tls(tls: &Tls) -> Option<Self> {
        Self::start_own(Some(tls))
    }

    fn start_own(tls: Option<&Tls>) -> Option<Self> {
        let mut process = Box::new(Process::new("ferretdb", go::build("ferretdb")?));
        let listen = format!("127.0.0.1:{}", process.port());
        let data = process.directory().join("data");
        std::fs::create_dir(&data).expect("a directory for the databases");
        let mut arguments = vec!["-listen".to_owned(), listen, format!("-directory={}", data.display())];
        if let Some(tls) = tls {
            arguments.push(format!("-certificate={}", tls.certificate.display()));
            arguments.push(format!("-key={}", tls.key.display()));
            arguments.extend(tls.clients.iter().map(|clients| format!("-authority={}", clients.display())));
        }
        process.set_arguments(arguments);
        process.start();
        Some(Self { server: Server::Own { process, options: if tls.is_some() { "?tls=true" } else { "" } } })
    }

    /// Where clients find it: `mongodb://127.0.0.1:PORT/`, with `?tls=true` where it speaks TLS.
    pub fn uri(&self) -> String {
        match &self.server {
            Server::Own { process, options } => format!("mongodb://127.0.0.1:{}/{options}", process.port()),
            Server::Foreign(uri) => uri.clone(),
        }
    }

    /// The port.
    ///
    /// # Panics
    /// The server is somebody else's.
    pub fn port(&self) -> u16 {
        self.own().port()
    }

    /// Whether the server is somebody else's, and cannot be killed or paused.
    pub fn is_foreign(&self) -> bool {
        matches!(self.server, Server::Foreign(_))
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// The server is somebody else's.
    pub fn kill(&mut self) {
        self.own_mut().kill();
    }

    /// Starts it again on the same port and data.
    ///
    /// # Panics
    /// The server is somebody else's.
    pub fn restart(&mut self) {
        let process = self.own_mut();
        process.kill();
        process.start();
    }

    /// Stops it in the middle of whatever it does; connections stay open.
    ///
    /// # Panics
    /// The server is somebody else's.
    pub fn pause(&self) {
        self.own().pause();
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// The server is somebody else's.
    pub fn resume(&self) {
        self.own().resume();
    }

    fn own(&self) -> &Process {
        match &self.server {
            Server::Own { process, .. } => process,
            Server::Foreign(_) => panic!("the server of {URI} is not ours to stop"),
        }
    }

    fn own_mut(&mut self) -> &mut Process {
        match &mut self.server {
            Server::Own { process, .. } => process,
            Server::Foreign(_) => panic!("the server of {URI} is not ours to stop"),
        }
    }
}
