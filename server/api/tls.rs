//! The certificates of the port: read from files, checked, and read again when the files change.
//!
//! What new connections use is replaced as a whole. A set of files that does not fit together is not used at all: the
//! last good one stays.

mod files;
mod validity;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
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
    // One look at a time.
    seen: Arc<Mutex<Seen>>,
}

/// What was seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    digest: [u8; 32],
    outcome: Look,
}

/// What became of the files when they were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are what is in use.
    Unchanged,
    /// They are new, and new connections use them.
    Renewed,
    /// They cannot be used, and the last good ones stay.
    Unused,
}

impl Certificates {
    /// Reads the files that the settings name; `None` where they name none.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let Some(files) = Files::named(config)? else { return Ok(None) };
        let contents = files.read()?;
        let current = Arc::new(RwLock::new(Arc::new(files.check(&contents)?)));
        let seen = Seen { digest: contents.digest(), outcome: Look::Unchanged };
        Ok(Some(Self { seen: Arc::new(Mutex::new(seen)), files, current }))
    }

    /// What a new connection uses.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Looks at the files every few seconds, until `stopping`.
    pub async fn keep_fresh(self, stopping: CancellationToken) {
        while stopping.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            self.look().await;
        }
    }

    /// Uses what the files hold now, if that is new and good. What is bad is told in the log once.
    pub async fn look(&self) -> Look {
        let mut seen = self.seen.lock().await;
        let (files, digest) = (self.files.clone(), seen.digest);
        // The disk may hang, and no call should wait for it.
        let looked = tokio::task::spawn_blocking(move || files.news(digest)).await;
        let Ok(Some((digest, found))) = looked else {
            return if seen.outcome == Look::Unused { Look::Unused } else { Look::Unchanged };
        };
        let outcome = match found {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                info!("the certificate of the port was read again; new connections use it");
                Look::Renewed
            }
            Err(error) => {
                let chain = files::chain(&error);
                error!(
                    error = chain,
                    "the new certificate of the port is not used, the old one stays: {chain}"
                );
                Look::Unused
            }
        };
        *seen = Seen { digest, outcome };
        outcome
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
