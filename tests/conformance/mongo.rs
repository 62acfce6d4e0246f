//! What only MongoDB is asked for: many writers at once, answers that are lost, and starts that are refused.

mod connection;
mod crashes;
mod impostor;
mod lost;
mod proxy;
mod replicas;

use tollgate::adapters::mongo::connect::MongoStore;
use tollgate::adapters::mongo::settings::Settings;

use crate::backends::{Backend, backends};

/// A database of the server that all cases share, with nothing in it. `None`: there is no server here.
fn config() -> Option<Settings> {
    backends().into_iter().find_map(|backend| match backend {
        Backend::Mongo(config) => Some(config),
        Backend::Sqlite(_) => None,
    })
}

async fn connect(config: &Settings) -> MongoStore {
    MongoStore::connect(config).await.expect("a server that answers")
}

/// The same database, reached at another port.
fn through(config: &Settings, port: u16) -> Settings {
    Settings { uri: Some(format!("mongodb://127.0.0.1:{port}/").into()), ..config.clone() }
}

/// The port of a server on this machine.
fn port(config: &Settings) -> u16 {
    use secrecy::ExposeSecret as _;
    let uri = config.uri.as_ref().expect("an address").expose_secret();
    let port = uri.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("an address that ends with a port")
}
