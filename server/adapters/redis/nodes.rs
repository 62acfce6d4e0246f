//! The servers: one, or those of a cluster, each with the slots that it has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::ConnectionAddr;
use tracing::warn;

use crate::adapters::redis::RedisError;
use crate::adapters::redis::access::{Access, Settings};
use crate::adapters::redis::link::{Answered, Link, LinkError, Order};
use crate::adapters::redis::start::{self, Share};
use crate::tasks::Tasks;

/// How often one call is sent on to another server of the cluster.
const REDIRECTS_MAX: usize = 3;

/// How often the cluster is asked where its slots are, at most.
const MAP_EVERY: Duration = Duration::from_millis(100);

/// All servers.
#[derive(Debug)]
pub(super) struct Nodes {
    access: Arc<Access>,
    /// The server that was named to us.
    address: ConnectionAddr,
    tasks: Tasks,
    map: Mutex<Map>,
    is_mapping: AtomicBool,
}

#[derive(Debug, Default)]
struct Map {
    links: HashMap<String, Arc<Link>>,
    /// Where slots are; empty: there is one server, and no cluster.
    shares: Vec<Share>,
    /// The server that was named to us.
    first: Option<Arc<Link>>,
}

impl Nodes {
    /// Connects, and refuses what cannot keep counters.
    pub(super) async fn connect(settings: &Settings, tasks: &Tasks) -> Result<Arc<Self>, RedisError> {
        let (access, address) = Access::new(settings)?;
        let nodes = Arc::new(Self {
            access: Arc::new(access),
            address,
            tasks: tasks.clone(),
            map: Mutex::default(),
            is_mapping: AtomicBool::new(false),
        });
        let first = nodes.link(nodes.address.clone());
        let mut connection = first.connect().await?;
        let is_cluster = start::check(&mut connection).await?;
        nodes.lock().first = Some(first);
        if is_cluster {
            let shares = start::shares(&mut connection, &nodes.host()).await?;
            nodes.take(shares)?;
            let links: Vec<_> = nodes.lock().links.values().cloned().collect();
            for link in links {
                start::check(&mut link.connect().await?).await?;
            }
        }
        Ok(nodes)
    }

    /// Does what is ordered where its key is.
    pub(super) async fn run(self: &Arc<Self>, order: Order<'_>) -> Result<Answered, LinkError> {
        let mut link = self.of(order.key)?;
        for _ in 0..REDIRECTS_MAX {
            match link.run(order).await {
                Err(LinkError::Moved(address)) => {
                    self.map_soon();
                    link = self.at(&address).map_err(|_| LinkError::Down(address))?;
                }
                answered => {
                    if answered.is_err() && self.is_cluster() {
                        self.map_soon();
                    }
                    return answered;
                }
            }
        }
        Err(LinkError::Down(String::from("any server of the cluster that keeps a key")))
    }

    fn of(&self, key: &str) -> Result<Arc<Link>, LinkError> {
        let map = self.lock();
        if map.shares.is_empty() {
            return map.first.clone().ok_or(LinkError::Answer);
        }
        let slot = slot(key);
        let share = map.shares.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        let link = share.and_then(|(_, _, address)| map.links.get(address));
        link.cloned().ok_or_else(|| LinkError::Down(format!("the slot {slot}")))
    }

    /// The link to a server of the cluster, which is made if there is none.
    fn at(&self, address: &str) -> Result<Arc<Link>, RedisError> {
        if let Some(link) = self.lock().links.get(address) {
            return Ok(Arc::clone(link));
        }
        let (host, port) = address.rsplit_once(':').ok_or(RedisError::Answer { what: "an address" })?;
        let host = if host.is_empty() { self.host() } else { host.to_owned() };
        let port = port.parse().map_err(|_| RedisError::Answer { what: "an address" })?;
        let there = match &self.address {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => ConnectionAddr::Tcp(host, port),
        };
        let link = self.link(there);
        self.lock().links.insert(address.to_owned(), Arc::clone(&link));
        Ok(link)
    }

    fn link(&self, server: ConnectionAddr) -> Arc<Link> {
        Link::new(server, Arc::clone(&self.access), &self.tasks)
    }

    /// Takes over where slots are. Servers that have none any longer are let go.
    fn take(&self, shares: Vec<Share>) -> Result<(), RedisError> {
        for (_, _, address) in &shares {
            self.at(address)?;
        }
        let mut map = self.lock();
        map.links.retain(|address, _| shares.iter().any(|(_, _, known)| known == address));
        map.shares = shares;
        Ok(())
    }

    /// Asks in the background where slots are now, unless that is under way.
    fn map_soon(self: &Arc<Self>) {
        if self.is_mapping.swap(true, Ordering::SeqCst) {
            return;
        }
        let nodes = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = nodes.map().await {
                warn!(error = %error, "nobody says where the slots of the cluster are: {error}");
            }
            tokio::time::sleep(MAP_EVERY).await;
            nodes.is_mapping.store(false, Ordering::SeqCst);
        });
    }

    async fn map(&self) -> Result<(), RedisError> {
        let links: Vec<_> = {
            let map = self.lock();
            map.links.values().chain(&map.first).cloned().collect()
        };
        let mut answered = Err(RedisError::Unreachable { reason: String::from("no server answers") });
        for link in links {
            answered = match link.connect().await {
                Ok(mut connection) => start::shares(&mut connection, &self.host()).await,
                Err(error) => Err(error),
            };
            if answered.is_ok() {
                break;
            }
        }
        self.take(answered?)
    }

    fn is_cluster(&self) -> bool {
        !self.lock().shares.is_empty()
    }

    fn host(&self) -> String {
        match &self.address {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => String::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        // What it guards is replaced piece by piece, and each piece is whole.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a key: CRC-16 (XMODEM) over what stands between its first braces.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    let hash = tag.bytes().fold(0_u16, |hash, byte| {
        (0..8).fold(hash ^ u16::from(byte) << 8, |hash, _| {
            if hash & 0x8000 == 0 { hash << 1 } else { hash << 1 ^ 0x1021 }
        })
    });
    hash % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_in_the_slot_of_its_tag() {
        assert_eq!((slot("foo"), slot("tg:{foo}"), slot("tg:{foo}:e:{bar}")), (12_182, 12_182, 12_182));
        assert_eq!(slot("123456789"), 0x31c3);
    }
}
