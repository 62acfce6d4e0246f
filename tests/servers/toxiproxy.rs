//! Toxiproxy, which stands between a client and a server and harms what passes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::go;
use crate::port::Port;
use crate::process::Process;

/// For a reply of its control.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that holds any number of proxies. Killed when dropped, and its proxies with it.
#[derive(Debug)]
pub struct Toxiproxy {
    process: Process,
}

/// One way to one server. It works as long as its [`Toxiproxy`] lives.
#[derive(Debug)]
pub struct Proxy {
    name: String,
    control: u16,
    port: Port,
}

/// Which half of a connection is harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the client sends.
    ToServer,
    /// What the server answers.
    ToClient,
}

impl Toxiproxy {
    /// A process without proxies. `None`: there is no Go here to build it.
    pub fn start() -> Option<Self> {
        let mut process = Process::new("toxiproxy", go::build("toxiproxy")?);
        process.set_arguments(vec!["-listen".to_owned(), format!("127.0.0.1:{}", process.port())]);
        process.start();
        Some(Self { process })
    }

    /// A way to `upstream` (`127.0.0.1:PORT`), which is harmless at first.
    ///
    /// # Panics
    /// There is a proxy of that name.
    pub fn proxy(&self, name: &str, upstream: &str) -> Proxy {
        let proxy = Proxy { name: name.to_owned(), control: self.process.port(), port: Port::take() };
        let body = json!({ "name": name, "listen": proxy.address(), "upstream": upstream, "enabled": true });
        proxy.tell("POST", "", &body);
        proxy
    }
}

impl Proxy {
    /// Where clients find it: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port of that.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Adds a harm, to open connections too: `latency` (`latency`, `jitter` in ms), `timeout` (`timeout` in ms, 0 is a
    /// black hole), `reset_peer` (`timeout` in ms), `limit_data` (`bytes`), `bandwidth` (`rate` in kB/s), `slicer`.
    ///
    /// # Panics
    /// `attributes` is no object in JSON, or that harm is there already.
    pub fn toxic(&self, kind: &str, stream: Stream, attributes: &str) {
        let stream = match stream {
            Stream::ToServer => "upstream",
            Stream::ToClient => "downstream",
        };
        let attributes: Value = serde_json::from_str(attributes).expect("attributes in JSON");
        let name = format!("{kind}_{stream}");
        let body = json!({ "name": name, "type": kind, "stream": stream, "attributes": attributes });
        self.tell("POST", &format!("/{}/toxics", self.name), &body);
    }

    /// Closes every connection and takes no new one.
    pub fn cut(&self) {
        self.enable(false);
    }

    /// Takes every harm away, and connections again.
    pub fn heal(&self) {
        let toxics = self.tell("GET", &format!("/{}/toxics", self.name), &Value::Null);
        for toxic in toxics.as_array().expect("a list of harms") {
            let name = toxic.get("name").and_then(Value::as_str).expect("a harm has a name");
            self.tell("DELETE", &format!("/{}/toxics/{name}", self.name), &Value::Null);
        }
        self.enable(true);
    }

    fn enable(&self, enabled: bool) {
        self.tell("POST", &format!("/{}", self.name), &json!({ "enabled": enabled }));
    }

    fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} /proxies{path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = send(self.control, &request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
        assert!(head.contains(" 20"), "{method} {path}: {reply}");
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("a reply in JSON") }
    }
}

fn send(port: u16, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    // It closes after its reply.
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}
