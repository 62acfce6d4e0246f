//! How servers of Redis are reached: by the address and the credentials that `redis.url` has at each connection.

use std::path::PathBuf;
use std::time::Duration;

use deadpool_redis::redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::adapters::redis::RedisError;
use crate::secrets::current::Current;

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://` or `rediss://`; any one server of a cluster. Its user and password are asked for at each connection.
    pub url: Current<SecretString>,
    /// Certificates that sign the server's, in PEM; `None`: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a decision waits for its answer.
    pub timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Access {
    url: Current<SecretString>,
    certificates: Option<Vec<u8>>,
    pub(super) connect_timeout: Duration,
}

impl Access {
    /// Reads the certificates. Answers also where the first server is.
    pub(super) fn new(settings: &Settings) -> Result<(Self, ConnectionAddr), RedisError> {
        let info = read(&settings.url.get())?;
        let certificates = match &settings.ca_file {
            Some(path) => Some(
                std::fs::read(path).map_err(|source| RedisError::CaFile { path: path.clone(), source })?,
            ),
            None => None,
        };
        if certificates.is_some() && !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(RedisError::CaFileWithoutTls);
        }
        let access =
            Self { url: settings.url.clone(), certificates, connect_timeout: settings.connect_timeout };
        access.client(info.addr())?;
        Ok((access, info.addr().clone()))
    }

    /// What makes the next connection to that server.
    pub(super) fn client(&self, server: &ConnectionAddr) -> Result<Client, RedisError> {
        let info = read(&self.url.get())?.set_addr(server.clone());
        let client = match &self.certificates {
            None => Client::open(info),
            Some(certificates) => {
                let root_cert = Some(certificates.clone());
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
        };
        client.map_err(|_| RedisError::Url)
    }
}

/// Whether both lead to the same database, whoever asks there.
pub fn same_place(one: &SecretString, other: &SecretString) -> Result<bool, RedisError> {
    let (one, other) = (read(one)?, read(other)?);
    let (db, protocol) = (one.redis_settings().db(), one.redis_settings().protocol());
    let in_same_way = db == other.redis_settings().db() && protocol == other.redis_settings().protocol();
    Ok(one.addr() == other.addr() && in_same_way)
}

fn read(url: &SecretString) -> Result<ConnectionInfo, RedisError> {
    url.expose_secret().into_connection_info().map_err(|_| RedisError::Url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_may_change_and_where_may_not() {
        let check = |other: &str, expected: Option<bool>| {
            let here = SecretString::from("rediss://me:s3cret@127.0.0.1:7000/1");
            assert_eq!(expected, same_place(&here, &other.into()).ok(), "{other}");
        };
        check("rediss://me:another@127.0.0.1:7000/1", Some(true));
        check("rediss://:another@127.0.0.1:7000/1", Some(true));
        check("rediss://me:s3cret@127.0.0.1:7001/1", Some(false));
        check("rediss://me:s3cret@127.0.0.2:7000/1", Some(false));
        check("rediss://me:s3cret@127.0.0.1:7000/2", Some(false));
        check("redis://me:s3cret@127.0.0.1:7000/1", Some(false));
        check("rediss://me:s3cret@127.0.0.1:7000/1#insecure", Some(false));
        check("me:s3cret@127.0.0.1:7000", None);
    }
}
