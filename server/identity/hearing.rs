//! Hears of what other servers changed, so that no key, tenant or plan is remembered longer than it is true (I11).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::identity::directory::Directory;
use crate::identity::keyring::Keyring;
use crate::identity::roles::Roles;
use crate::store::changes::{Changed, Listener, Subject};
use crate::store::{Documents, StoreError};
use crate::time::Clock;

/// How often changes are asked for.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the store may take to answer. A pause, two attempts and the call that uses what is remembered take less than
/// the 5 s that are promised.
const PATIENCE: Duration = Duration::from_secs(1);

/// Forgets what others have changed.
#[derive(Debug)]
pub struct Hearing {
    listener: Listener,
    keyring: Arc<Keyring>,
    directory: Arc<Directory>,
    roles: Arc<Roles>,
}

impl Hearing {
    /// Hears for a keyring, a directory and roles that were made just now, over the same store.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        keyring: Arc<Keyring>,
        directory: Arc<Directory>,
        roles: Arc<Roles>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { listener: Listener::new(documents, clock), keyring, directory, roles }
    }

    /// Hears again and again until it is stopped.
    pub async fn run(&self, stopping: CancellationToken) {
        let mut was_heard = true;
        loop {
            let heard = self.hear().await;
            match (&heard, was_heard) {
                (Err(error), true) => warn!(
                    error = %error,
                    "could not ask for changes of keys, tenants and plans; what is known of them is used for 15 minutes: {error}"
                ),
                (Ok(()), false) => info!("changes of keys, tenants and plans are heard again"),
                _ => {}
            }
            // The first failure may be of a server that was asleep, and is tried again at once.
            let pause = if heard.is_err() && was_heard { Duration::ZERO } else { PAUSE };
            was_heard = heard.is_ok();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Asks once for what has changed, and forgets it.
    pub async fn hear(&self) -> Result<(), StoreError> {
        let asked = tokio::time::timeout(PATIENCE, self.listener.news()).await;
        let news = match asked.unwrap_or_else(|late| Err(StoreError::unavailable(late))) {
            Ok(news) => news,
            Err(error) => {
                self.keyring.confirmed().failed();
                self.directory.confirmed().failed();
                self.roles.confirmed().failed();
                return Err(error);
            }
        };
        match news.changed {
            Changed::These(subjects) => subjects.iter().for_each(|subject| self.forget(subject)),
            Changed::Anything => {
                self.keyring.forget_all();
                self.directory.forget_all();
                self.roles.forget_all();
            }
        }
        // Only now: what was to be forgotten is.
        self.keyring.confirmed().confirm(news.as_of);
        self.directory.confirmed().confirm(news.as_of);
        self.roles.confirmed().confirm(news.as_of);
        Ok(())
    }

    fn forget(&self, subject: &Subject) {
        match subject {
            Subject::Credential(digest) => self.keyring.forget_digest(digest),
            Subject::Tenant(id) => self.directory.forget(id),
            Subject::TenantEnd(id) => {
                self.directory.forget(id);
                self.keyring.forget_all();
            }
            Subject::Catalogue => self.directory.forget_all(),
            Subject::Role(tenant) => {
                self.roles.forget(tenant);
                self.keyring.forget_role(tenant);
            }
            Subject::Member(id) => self.keyring.forget_member(id),
        }
    }
}
