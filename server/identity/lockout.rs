//! Who guesses passwords waits longer and longer, and locks out nobody but themselves.
//!
//! A try is charged before its password is looked at, and given back if it was right: so many that come at once are no way
//! round. Counts may be lost; what a count has led to is a document, so that losing them unlocks nobody. There are three rules
//! for each try:
//!
//! - one account from one network: five wrong ones in a row, then a wait of 1, 2, 4 … s up to 15 min before the next;
//! - all accounts from one network: a hundred in ten minutes, then none for the rest of them;
//! - one account from all networks where its owner did not log in for 30 days: 25 in half an hour, then one a minute, and never
//!   more than 33. So there are at most 99 in any hour, and never none for good. An owner logs in from a known network all the
//!   same, whatever others do elsewhere.

use std::net::IpAddr;
use std::sync::Arc;

use metrics::counter;
use secrecy::SecretBox;

use crate::identity::lockout::failures::Failures;
use crate::identity::lockout::known::KnownNetworks;
use crate::identity::lockout::letters::LockLetters;
use crate::identity::lockout::lock::{Locks, Taken};
use crate::identity::lockout::network::Network;
use crate::identity::lockout::rule::Rule;
use crate::identity::user::User;
use crate::mail::outbox::Outbox;
use crate::secrets::seal::{Seal, to_hex};
use crate::store::{Documents, StoreError};
use crate::tasks::Tasks;
use crate::time::{Clock, MINUTE, Timestamp};

pub mod failures;
mod known;
mod letters;
mod lock;
pub mod network;
mod rule;

/// What the digests of accounts and networks are made for.
const PURPOSE: &str = "lockout";
/// The owner is told of a wait that is as long as that.
const TOLD: i64 = MINUTE;
/// Tries that had to wait, by `rule`.
const LOCKED: &str = "tollgate_logins_locked_total";

/// Decides which tries to log in are looked at.
#[derive(Debug)]
pub struct Lockout {
    failures: Arc<dyn Failures>,
    locks: Locks,
    known: KnownNetworks,
    letters: Arc<LockLetters>,
    seal: Seal,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

/// Whether a try is looked at.
#[derive(Debug)]
pub enum Admission {
    /// It is. It is charged as a wrong one until [`Lockout::succeeded`] or [`Lockout::withdrawn`].
    Admitted(Attempt),
    /// It is not before that moment. It says nothing of whether there is such an account.
    Locked {
        /// When the next one may be looked at.
        until: Timestamp,
    },
}

/// A try that is looked at.
#[derive(Debug)]
pub struct Attempt {
    /// The digest of the account.
    account: String,
    /// The digest of the account and the network.
    place: String,
    /// When it was admitted.
    at: Timestamp,
    charges: Vec<Charge>,
}

/// What a try was charged by one rule.
#[derive(Debug)]
struct Charge {
    rule: Rule,
    id: String,
    lock: Option<Taken>,
}

impl Lockout {
    /// A lockout over those counts. Letters go to `outbox`.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        failures: Arc<dyn Failures>,
        outbox: Arc<Outbox>,
        secret: &SecretBox<[u8; 32]>,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Self {
        Self {
            failures,
            locks: Locks::new(documents),
            known: KnownNetworks::new(documents),
            letters: Arc::new(LockLetters::new(documents, outbox, secret, Arc::clone(&clock))),
            seal: Seal::new(secret, PURPOSE),
            clock,
            tasks: tasks.clone(),
        }
    }

    /// Charges a try on an account, by its address in small letters, whether there is one or not.
    pub async fn admit(&self, account: &str, from: IpAddr) -> Result<Admission, StoreError> {
        let now = self.clock.now();
        let account = self.digest("account", &[account]);
        let network = Network::of(from).to_string();
        let pair = self.digest("pair", &[&account, &network]);
        let is_known = self.known.is_known(&pair, now).await?;
        // In this order, because many at once from one place are then few before they are counted for all.
        let mut rules =
            vec![(Rule::Pair, pair.clone()), (Rule::Network, self.digest("network", &[&network]))];
        if !is_known {
            rules.push((Rule::Account, account.clone()));
        }
        let ids: Vec<String> = rules.iter().map(|(_, id)| id.clone()).collect();
        let locks = self.locks.of(&ids).await?;
        let until = locks.iter().flatten().map(|kept| kept.record.until).max();
        if let Some(until) = until.filter(|until| *until > now) {
            counter!(LOCKED).increment(1);
            return Ok(Admission::Locked { until });
        }
        let mut attempt = Attempt { account, place: pair, at: now, charges: Vec::new() };
        for ((rule, id), lock) in rules.into_iter().zip(locks) {
            let count = self.failures.add(&id, rule.lifetime(), now).await;
            let next = rule.lock(&id, &attempt.account, lock.as_ref().map(|kept| &kept.record), count, now);
            let taken = match next {
                Some(next) => match self.locks.take(lock.as_ref(), next).await? {
                    Some(taken) => Some(taken),
                    // Another try came first, and this one waits like any that comes after it.
                    None => return self.overtaken(&attempt, &id, now).await,
                },
                None => None,
            };
            attempt.charges.push(Charge { rule, id, lock: taken });
        }
        Ok(Admission::Admitted(attempt))
    }

    /// It was wrong. The owner, where there is one, is told of a long wait, at most once an hour and behind the answer.
    pub fn failed(&self, attempt: Attempt, owner: Option<&User>) {
        let waits = attempt.charges.iter().filter(|charge| charge.rule != Rule::Network);
        let until = waits.filter_map(|charge| Some(charge.lock.as_ref()?.until())).max();
        // From when it was admitted: hashing the password took some of the wait.
        let is_long = |until: &Timestamp| until.since(attempt.at) >= TOLD;
        let (Some(owner), Some(until)) = (owner, until.filter(is_long)) else {
            return;
        };
        let (letters, owner, account) = (Arc::clone(&self.letters), owner.clone(), attempt.account);
        self.tasks.spawn(async move { letters.tell(&account, &owner, until).await });
    }

    /// It was right, and the second factor too: the account is open from there again, and the network is known.
    pub async fn succeeded(&self, attempt: Attempt) -> Result<(), StoreError> {
        let now = self.clock.now();
        for charge in &attempt.charges {
            if charge.rule == Rule::Pair {
                self.failures.forget(&charge.id).await;
                self.locks.delete(&charge.id).await?;
            } else {
                self.give_back(charge, now).await?;
            }
        }
        self.known.learn(&attempt.place, now).await
    }

    /// It was not looked at after all: it counts for nothing.
    pub async fn withdrawn(&self, attempt: Attempt) -> Result<(), StoreError> {
        let now = self.clock.now();
        for charge in &attempt.charges {
            self.give_back(charge, now).await?;
        }
        Ok(())
    }

    /// Opens an account, by its address in small letters, for tries from everywhere.
    pub async fn unlock(&self, account: &str) -> Result<(), StoreError> {
        self.open(&self.digest("account", &[account])).await
    }

    /// Opens the account that a code was sent for, once, and knows the network that it comes from. `false`: the code is good
    /// for nothing.
    pub async fn unlock_with_code(&self, code: &str, from: IpAddr) -> Result<bool, StoreError> {
        let Some(account) = self.letters.redeem(code).await? else { return Ok(false) };
        self.open(&account).await?;
        let network = Network::of(from).to_string();
        let pair = self.digest("pair", &[&account, &network]);
        self.known.learn(&pair, self.clock.now()).await?;
        Ok(true)
    }

    /// Deletes at most `limit` of what says nothing any longer; answers how many. 0: none is left.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let locks = self.locks.purge(now, limit).await?;
        let known = self.known.purge(now, limit).await?;
        Ok(locks.saturating_add(known).saturating_add(self.letters.purge(now, limit).await?))
    }

    async fn open(&self, account: &str) -> Result<(), StoreError> {
        self.failures.forget(account).await;
        for lock in self.locks.on(account).await? {
            self.failures.forget(&lock).await;
            self.locks.delete(&lock).await?;
        }
        Ok(())
    }

    async fn overtaken(&self, attempt: &Attempt, id: &str, now: Timestamp) -> Result<Admission, StoreError> {
        for charge in &attempt.charges {
            self.give_back(charge, now).await?;
        }
        self.failures.take_back(id, now).await;
        let found = self.locks.of(&[id.to_owned()]).await?;
        let until = found.into_iter().flatten().map(|kept| kept.record.until).max();
        Ok(Admission::Locked { until: until.filter(|until| *until > now).unwrap_or(now) })
    }

    async fn give_back(&self, charge: &Charge, now: Timestamp) -> Result<(), StoreError> {
        self.failures.take_back(&charge.id, now).await;
        match &charge.lock {
            Some(taken) => self.locks.give_back(taken, now).await,
            None => Ok(()),
        }
    }

    /// Neither an address of a person nor one of a network stands in the store.
    fn digest(&self, kind: &str, parts: &[&str]) -> String {
        let parts = std::iter::once(kind).chain(parts.iter().copied());
        let whole: Vec<&[u8]> = parts.flat_map(|part| [part.as_bytes(), b"\0"]).collect();
        to_hex(&self.seal.digest(&whole))
    }
}
