//! The ways between replicas and stores, and what may happen on them.

use rand::RngExt as _;
use rand::rngs::StdRng;
use test_servers::{Proxy, Stream, Toxiproxy};

use super::REPLICAS;

/// A way of its own from each replica to each store.
#[derive(Debug)]
pub(crate) struct Network {
    redis: Vec<Proxy>,
    mongo: Vec<Proxy>,
    _toxiproxy: Toxiproxy,
}

/// A store at the end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    Mongo,
}

impl Network {
    /// Ways to the stores on those ports. `None`: this machine lacks the proxy.
    pub(crate) fn to(redis: u16, mongo: u16) -> Option<Self> {
        let toxiproxy = Toxiproxy::start()?;
        let ways = |name: &str, port: u16| {
            let way = |replica| toxiproxy.proxy(&format!("{name}-{replica}"), &format!("127.0.0.1:{port}"));
            (0..REPLICAS).map(way).collect()
        };
        Some(Self { redis: ways("redis", redis), mongo: ways("mongo", mongo), _toxiproxy: toxiproxy })
    }

    /// The address of a replica's way to a store.
    pub(crate) fn address(&self, store: Store, replica: usize) -> String {
        self.ways(store)[replica].address()
    }

    /// Harms the way of one replica, or of all, in one manner; answers which.
    pub(crate) fn harm(&self, store: Store, random: &mut StdRng) -> String {
        let ways = self.ways(store);
        let harmed = match random.random_range(0..=REPLICAS) {
            REPLICAS => ways.iter().collect(),
            replica => vec![&ways[replica]],
        };
        let (kind, stream, attributes) = toxic(random);
        for way in &harmed {
            match kind {
                "cut" => way.cut(),
                kind => way.toxic(kind, stream, &attributes),
            }
        }
        format!("{kind} {stream:?} {attributes} on {} ways to {store:?}", harmed.len())
    }

    /// Takes every harm away.
    pub(crate) fn heal(&self) {
        self.redis.iter().chain(&self.mongo).for_each(Proxy::heal);
    }

    fn ways(&self, store: Store) -> &[Proxy] {
        match store {
            Store::Redis => &self.redis,
            Store::Mongo => &self.mongo,
        }
    }
}

/// What happens to what passes: it is late, cut in the middle of a reply, lost, or the connection is.
fn toxic(random: &mut StdRng) -> (&'static str, Stream, String) {
    let stream = if random.random_range(0..3) == 0 { Stream::ToServer } else { Stream::ToClient };
    match random.random_range(0..6) {
        0 => {
            let latency = random.random_range(20..400);
            ("latency", stream, format!("{{\"latency\":{latency},\"jitter\":{}}}", latency / 2))
        }
        1 => ("reset_peer", stream, format!("{{\"timeout\":{}}}", random.random_range(0..200))),
        2 => ("timeout", stream, "{\"timeout\":0}".to_owned()),
        3 => ("limit_data", stream, format!("{{\"bytes\":{}}}", random.random_range(1..20_000))),
        4 => ("slicer", stream, "{\"average_size\":40,\"size_variation\":20,\"delay\":200}".to_owned()),
        _ => ("cut", stream, "{}".to_owned()),
    }
}
