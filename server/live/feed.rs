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
    /// The account.
    pub account: Arc<Account>,
    /// The last batch of each slot that it includes.
    pub positions: Positions,
    /// The revision of the account's document; 0: nothing was folded yet.
    revision: u64,
}

/// Somebody who watches a tenant.
#[derive(Debug)]
pub struct Subscriber {
    folded: watch::Receiver<Folded>,
    /// The newest revision of the account that was seen.
    seen: u64,
}

impl Subscriber {
    /// What comes next shall be newer than this revision of the account.
    pub const fn has_seen(&mut self, revision: u64) {
        self.seen = revision;
    }

    /// The newest account, as soon as one is newer than all that was seen. Waiting may be given up without a loss. `None`:
    /// the feed is gone.
    pub async fn next(&mut self) -> Option<Folded> {
        let seen = self.seen;
        let folded = self.folded.wait_for(|folded| folded.revision > seen).await.ok()?.clone();
        self.seen = folded.revision;
        Some(folded)
    }
}

impl Feed {
    /// Watches a tenant from now on.
    pub fn subscribe(&self, tenant: &Arc<str>) -> Subscriber {
        let mut watched = self.lock();
        // Nobody tells the feed that a subscriber has gone: whoever comes next clears up.
        watched.retain(|_, sender| sender.receiver_count() > 0);
        let folded = watched.entry(Arc::clone(tenant)).or_default().subscribe();
        Subscriber { folded, seen: 0 }
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
        for kept in &round.accounts {
            let Some(sender) = watched.get(&kept.tenant) else { continue };
            sender.send_if_modified(|folded| {
                // Who looked at the folds of the others may have read it before our own fold wrote it anew.
                let is_newer = kept.revision > folded.revision;
                if is_newer {
                    let account = Arc::new(kept.account.clone());
                    *folded = Folded { account, positions: round.positions.clone(), revision: kept.revision };
                }
                is_newer
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::ledger::accounts::KeptAccount;
    use crate::ledger::sums::Sums;

    /// The account after so many calls, each of them a revision.
    fn account(calls: u64) -> KeptAccount {
        let totals = Sums { calls: calls.try_into().unwrap(), ..Sums::default() };
        let account = Account { totals, ..Account::default() };
        KeptAccount { tenant: "acme".into(), revision: calls, account }
    }

    fn fold(feed: &Feed, calls: u64) {
        let kept = account(calls);
        feed.folded(&FoldedRound { positions: Positions::default(), accounts: vec![&kept] });
    }

    /// How many calls the subscriber is told of, if it is told anything.
    fn told(subscriber: &mut Subscriber) -> Option<i64> {
        subscriber.next().now_or_never().map(|folded| folded.unwrap().account.totals.calls)
    }

    #[test]
    fn an_older_account_that_comes_later_is_not_shown() {
        let feed = Feed::default();
        let mut subscriber = feed.subscribe(&"acme".into());
        assert_eq!(told(&mut subscriber), None);
        for (calls, shown) in [(2, Some(2)), (1, None), (2, None), (4, Some(4)), (3, None)] {
            fold(&feed, calls);
            assert_eq!(told(&mut subscriber), shown, "{calls}");
        }
        // A slow one sees the newest, not the latest.
        fold(&feed, 6);
        fold(&feed, 5);
        assert_eq!(told(&mut subscriber), Some(6));
    }

    #[test]
    fn what_a_snapshot_has_shown_is_not_taken_back() {
        let feed = Feed::default();
        let mut subscriber = feed.subscribe(&"acme".into());
        fold(&feed, 2);
        subscriber.has_seen(3);
        assert_eq!(told(&mut subscriber), None);
        fold(&feed, 3);
        assert_eq!(told(&mut subscriber), None);
        fold(&feed, 4);
        assert_eq!(told(&mut subscriber), Some(4));
        // Who comes later, and has seen nothing, is told at once.
        assert_eq!(told(&mut feed.subscribe(&"acme".into())), Some(4));
    }
}
