//! The feed: the newest folded account of each tenant that somebody watches (rule J).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger::account::Account;
use crate::ledger::fold::{FoldObserver, FoldedRound};
use crate::ledger::stamp::Positions;

/// Tenants that are watched. A tenant nobody watches costs nothing.
#[derive(Debug, Default)]
pub struct Feed {
    watched: Mutex<HashMap<Arc<str>, watch::Sender<Folded>>>,
    ended: CancellationToken,
}

/// A tenant's account after a round of the fold. States are absolute: a subscriber that is slow sees the newest one, and
/// nothing waits for it.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    /// The account; `None`: nothing was folded since the subscription.
    pub account: Option<Arc<Account>>,
    /// The last batch of each slot that it includes.
    pub positions: Positions,
}

impl Feed {
    /// Watches a tenant from now on.
    pub fn subscribe(&self, tenant: &Arc<str>) -> watch::Receiver<Folded> {
        let mut watched = self.lock();
        // Nobody tells the feed that a subscriber has gone: whoever comes next clears up.
        watched.retain(|_, sender| sender.receiver_count() > 0);
        watched.entry(Arc::clone(tenant)).or_default().subscribe()
    }

    /// Ends all streams: the server is ending, and does not wait for those who would watch for ever.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Is cancelled when all streams must end.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, watch::Sender<Folded>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FoldObserver for Feed {
    fn watched(&self) -> Vec<Arc<str>> {
        let watched = self.lock();
        let watched = watched.iter().filter(|(_, sender)| sender.receiver_count() > 0);
        watched.map(|(tenant, _)| Arc::clone(tenant)).collect()
    }

    fn is_watched(&self) -> bool {
        self.lock().values().any(|sender| sender.receiver_count() > 0)
    }

    fn folded(&self, round: &FoldedRound<'_>) {
        let watched = self.lock();
        if watched.is_empty() {
            return;
        }
        for (tenant, account) in &round.accounts {
            if let Some(sender) = watched.get(*tenant) {
                let account = Some(Arc::new(Account::clone(account)));
                sender.send_replace(Folded { account, positions: round.positions.clone() });
            }
        }
    }
}
