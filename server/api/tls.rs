//! The certificates of the port: read from files, checked, and read again when the files change.
//!
//! What new connections use is replaced as a whole. A set of files that does not fit together is not used at all: the
//! last good one stays.

mod files;
mod validity;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use crate::api::tls::files::TlsError;
use crate::api::tls::files::{Contents, Files};
use crate::config::TlsConfig;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// What the port shows to its clients, and asks them for. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificates {
    files: Files,
    current: Arc<RwLock<Arc<ServerConfig>>>,
    used: [u8; 32],
}

impl Certificates {
    /// Reads the files that the settings name; `None` where they name none.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let Some(files) = Files::named(config)? else { return Ok(None) };
        let contents = files.read()?;
        let current = Arc::new(RwLock::new(Arc::new(files.check(&contents)?)));
        Ok(Some(Self { used: contents.digest(), files, current }))
    }

    /// What a new connection uses.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Looks at the files every few seconds, and at once at each SIGHUP, until `stopping`.
    pub async fn keep_fresh(mut self, stopping: CancellationToken) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                error!("SIGHUP cannot be heard; certificates are looked at by the clock: {error}");
                None
            }
        };
        loop {
            let told = async {
                match &mut hangups {
                    Some(hangups) => drop(hangups.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = told => {}
            }
            self.look().await;
        }
    }

    /// Uses what the files hold now, if that is new and good. What is bad is told once.
    async fn look(&mut self) {
        let files = self.files.clone();
        let used = self.used;
        // The disk may hang, and no call should wait for it.
        let looked = tokio::task::spawn_blocking(move || files.news(used)).await;
        let Ok(Some((seen, outcome))) = looked else { return };
        self.used = seen;
        match outcome {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                info!("the certificate of the port was read again; new connections use it");
            }
            Err(error) => {
                let chain = files::chain(&error);
                error!(
                    error = chain,
                    "the new certificate of the port is not used, the old one stays: {chain}"
                );
            }
        }
    }
}

impl Files {
    /// What the files hold, if that is not what was seen last.
    fn news(&self, seen: [u8; 32]) -> Option<([u8; 32], Result<ServerConfig, TlsError>)> {
        match self.read() {
            Ok(contents) if contents.digest() == seen => None,
            Ok(contents) => Some((contents.digest(), self.check(&contents))),
            Err(error) => {
                let mark = Contents::digest_of(&[files::chain(&error).as_bytes()]);
                (mark != seen).then_some((mark, Err(error)))
            }
        }
    }
}
