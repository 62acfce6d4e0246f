//! Redis and Valkey, alone or as a cluster of three.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::certificates::Tls;
use crate::installed::{program, skip};
use crate::process::Process;
use crate::{port::Port, resp};

const READY_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// The slots of a cluster's three masters.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// One server, or the three masters of a cluster. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    nodes: Vec<Node>,
    door: Door,
}

/// How clients come in.
#[derive(Clone, Copy, Debug)]
enum Door {
    Plain,
    Tls,
}

#[derive(Debug)]
struct Node {
    process: Process,
    /// Where it speaks TLS, or with the other nodes of its cluster.
    second: Port,
}

impl Redis {
    /// Redis without persistence that evicts nothing. `None`: it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Redis with further settings of its configuration file, such as `("appendonly", "yes")`.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Self> {
        Self::alone("redis", "redis-server", Door::Plain, settings)
    }

    /// Redis that clients reach over TLS: its address is `rediss://`. `None`: it is not installed.
    pub fn start_with_tls(tls: &Tls, settings: &[(&str, &str)]) -> Option<Self> {
        let text = |path: &Path| path.display().to_string();
        let (certificate, key) = (text(&tls.certificate), text(&tls.key));
        // Without an authority it does not start, even where it asks clients for nothing.
        let clients = text(tls.clients.as_deref().unwrap_or(&tls.certificate));
        let ask = if tls.clients.is_some() { "yes" } else { "no" };
        let mut all = vec![
            ("tls-cert-file", certificate.as_str()),
            ("tls-key-file", &key),
            ("tls-ca-cert-file", &clients),
            ("tls-auth-clients", ask),
        ];
        all.extend(settings);
        Self::alone("redis", "redis-server", Door::Tls, &all)
    }

    /// The same on Valkey. `None`: it is not installed.
    pub fn valkey() -> Option<Self> {
        Self::alone("valkey", "valkey-server", Door::Plain, &[])
    }

    /// Three masters that serve all slots between them. `None`: Redis is not installed.
    pub fn cluster() -> Option<Self> {
        let Some(program) = program("redis-server") else {
            return skip("redis", "redis-server is not installed");
        };
        let settings = [("cluster-enabled", "yes"), ("cluster-node-timeout", "2000")];
        let nodes = SLOTS.map(|_| Node::start("redis", program.clone(), "cluster-port", &settings));
        let cluster = Self { nodes: nodes.into(), door: Door::Plain };
        cluster.introduce();
        cluster.wait_until_ready();
        Some(cluster)
    }

    fn alone(name: &'static str, server: &str, door: Door, settings: &[(&str, &str)]) -> Option<Self> {
        let Some(program) = program(server) else {
            return skip(name, &format!("{server} is not installed"));
        };
        let second = match door {
            Door::Plain => "cluster-port",
            Door::Tls => "tls-port",
        };
        let redis = Self { nodes: vec![Node::start(name, program, second, settings)], door };
        redis.wait_until_ready();
        Some(redis)
    }

    /// Where clients find it: `redis://127.0.0.1:PORT`, in a cluster the first master.
    pub fn url(&self) -> String {
        self.urls().remove(0)
    }

    /// Where clients find each master.
    pub fn urls(&self) -> Vec<String> {
        let url = |node: &Node| match self.door {
            Door::Plain => format!("redis://127.0.0.1:{}", node.process.port()),
            Door::Tls => format!("rediss://127.0.0.1:{}", node.second.number()),
        };
        self.nodes.iter().map(url).collect()
    }

    /// The port without TLS, in a cluster that of the first master.
    pub fn port(&self) -> u16 {
        self.ports().next().expect("there is always one node")
    }

    /// `kill -9` of every node. What was not persisted is gone.
    pub fn kill(&mut self) {
        for node in &mut self.nodes {
            node.process.kill();
        }
    }

    /// Starts what was killed, on the same ports and directories, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        for node in &mut self.nodes {
            node.process.start();
        }
        self.wait_until_ready();
    }

    /// Stops every node in the middle of whatever it does; connections stay open.
    pub fn pause(&self) {
        self.nodes.iter().for_each(|node| node.process.pause());
    }

    /// Lets every node go on.
    pub fn resume(&self) {
        self.nodes.iter().for_each(|node| node.process.resume());
    }

    /// The reply to a command as text, in a cluster from the master that has the key.
    ///
    /// # Panics
    /// No reply comes.
    pub fn command(&self, words: &[&str]) -> String {
        let reply = ask(self.port(), words);
        match reply.strip_prefix("MOVED ").and_then(|moved| moved.rsplit(':').next()?.parse().ok()) {
            Some(port) => ask(port, words),
            None => reply,
        }
    }

    /// The reply of each node to a command, such as `FLUSHALL`.
    ///
    /// # Panics
    /// No reply comes.
    pub fn command_to_each(&self, words: &[&str]) -> Vec<String> {
        self.ports().map(|port| ask(port, words)).collect()
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        self.nodes.iter().map(|node| node.process.port())
    }

    /// Gives each node its slots and tells it of the others.
    fn introduce(&self) {
        for (index, (node, (from, to))) in self.nodes.iter().zip(SLOTS).enumerate() {
            let ask = |words: &[&str]| assert_eq!("OK", ask(node.process.port(), words), "{words:?}");
            // Epochs that differ from the start save the nodes their vote on it.
            ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            ask(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
            for other in &self.nodes {
                let (port, bus) = (other.process.port().to_string(), other.second.number().to_string());
                ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
    }

    fn wait_until_ready(&self) {
        let since = Instant::now();
        for node in &self.nodes {
            while !node.is_ready(self.nodes.len()) {
                assert!(
                    since.elapsed() < READY_PATIENCE,
                    "not ready in {READY_PATIENCE:?}:\n{}",
                    node.process.last_words()
                );
                std::thread::sleep(POLL);
            }
        }
    }
}

impl Node {
    fn start(name: &'static str, program: PathBuf, second: &str, settings: &[(&str, &str)]) -> Self {
        let mut node = Self { process: Process::new(name, program), second: Port::take() };
        let port = node.process.port().to_string();
        let directory = node.process.directory().display().to_string();
        let mut file = String::new();
        let own = [
            ("bind", "127.0.0.1"),
            ("port", port.as_str()),
            ("dir", directory.as_str()),
            ("save", "\"\""),
            ("maxmemory-policy", "noeviction"),
            (second, &node.second.number().to_string()),
        ]
        .map(|(name, value)| format!("{name} {value}\n"));
        file.extend(own);
        file.extend(settings.iter().map(|(name, value)| format!("{name} {value}\n")));
        let path = node.process.directory().join("redis.conf");
        std::fs::write(&path, file).expect("a file for the settings");
        node.process.set_arguments(vec![path.display().to_string()]);
        node.process.start();
        node
    }

    /// Whether it answers, has read its data, and knows every master of its cluster.
    fn is_ready(&self, nodes: usize) -> bool {
        let ask = |words: &[&str]| resp::ask(self.process.port(), words).unwrap_or_default();
        if nodes == 1 {
            let pong = ask(&["PING"]);
            // With a password it is ready too, and says so.
            return pong == "PONG" || pong.starts_with("NOAUTH");
        }
        let state = ask(&["CLUSTER", "INFO"]);
        let serves = state.contains("cluster_state:ok") && state.contains(&format!("cluster_size:{nodes}"));
        serves && state.contains("cluster_slots_ok:16384")
    }
}

#[track_caller]
fn ask(port: u16, words: &[&str]) -> String {
    resp::ask(port, words).unwrap_or_else(|error| panic!("no reply to {words:?}: {error}"))
}
