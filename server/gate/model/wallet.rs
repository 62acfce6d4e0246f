//! Credits as simply as can be: grants sorted anew at each question, and a book of where every micro-credit went.

use std::collections::{BTreeMap, BTreeSet};

use crate::gate::credit;
use crate::gate::decision::Burn;
use crate::gate::state::State;
use crate::time::{HOUR, Timestamp};

/// All grants that ever were.
#[derive(Clone, Debug, Default)]
pub(super) struct Wallet {
    given: BTreeSet<String>,
    grants: BTreeMap<String, Account>,
}

/// One grant, and where it went.
#[derive(Clone, Debug)]
struct Account {
    priority: u8,
    expires_at: Timestamp,
    given: i64,
    paid: i64,
    held: i64,
    broken: i64,
    forgotten: bool,
}

impl Account {
    fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at && !self.forgotten
    }

    fn remaining(&self) -> i64 {
        self.given - self.paid - self.held - self.broken
    }
}

impl Wallet {
    pub(super) fn give(&mut self, id: &str, priority: u8, expires_at: Option<Timestamp>, given: i64) {
        let expires_at = expires_at.unwrap_or(Timestamp::MAX);
        self.given.insert(id.into());
        self.grants.insert(
            id.into(),
            Account { priority, expires_at, given, paid: 0, held: 0, broken: 0, forgotten: false },
        );
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.given.contains(id)
    }

    pub(super) fn balance(&self, now: Timestamp) -> i64 {
        self.grants.values().filter(|grant| grant.is_live(now)).map(Account::remaining).sum()
    }

    /// Who pays a price, in order, and what nobody pays.
    pub(super) fn split(&self, price: i64, now: Timestamp) -> (Vec<Burn>, i64) {
        let mut live: Vec<_> = self.grants.iter().filter(|(_, grant)| grant.is_live(now)).collect();
        live.sort_by_key(|(id, grant)| (grant.priority, grant.expires_at, (*id).clone()));
        let mut rest = price;
        let mut burns = Vec::new();
        for (id, grant) in live {
            let micros = grant.remaining().min(rest);
            rest -= micros;
            if micros > 0 {
                burns.push(Burn { grant: id.as_str().into(), micros });
            }
        }
        (burns, rest)
    }

    pub(super) fn pay(&mut self, burns: &[Burn]) {
        self.each(burns, |grant, micros| grant.paid += micros);
    }

    pub(super) fn hold(&mut self, burns: &[Burn]) {
        self.each(burns, |grant, micros| grant.held += micros);
    }

    /// Pays out of what was held.
    pub(super) fn pay_held(&mut self, burns: &[Burn]) {
        self.each(burns, |grant, micros| {
            grant.held -= micros;
            grant.paid += micros;
        });
    }

    /// Frees what was held; of a grant that has expired it is breakage.
    pub(super) fn release(&mut self, burns: &[Burn], now: Timestamp) {
        self.each(burns, |grant, micros| {
            grant.held -= micros;
            if !grant.is_live(now) {
                grant.broken += micros;
            }
        });
    }

    /// An hour after its expiry a grant is forgotten, and a clock that steps back finds nothing of it.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.grants.values_mut().for_each(|grant| grant.forgotten |= grant.expires_at.plus(HOUR) <= now);
        self.grants.retain(|_, grant| !grant.forgotten || grant.held > 0);
    }

    /// Promise I6, grant by grant.
    pub(super) fn check(&self, state: &State, now: Timestamp) {
        for (id, account) in &self.grants {
            assert!(account.remaining() >= 0 && account.held >= 0, "{id}: {account:?}");
            let known = state.grants.iter().find(|grant| *grant.id == **id);
            if let Some(known) = known {
                assert_eq!(known.remaining_micros, account.remaining(), "{id}: {account:?}");
            }
            assert_eq!(known.is_none(), account.forgotten, "{id}: {account:?}");
        }
        assert_eq!(credit::balance(&state.grants, now), self.balance(now));
    }

    fn each(&mut self, burns: &[Burn], change: impl Fn(&mut Account, i64)) {
        for burn in burns {
            change(self.grants.get_mut(&*burn.grant).expect("a grant that was given"), burn.micros);
        }
    }
}
