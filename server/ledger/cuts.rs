//! Tenants whose counters may differ from the ledger, and what is folded while somebody looks at them (rule M).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failpoint::{self, Mutant};
use crate::ledger::account::Account;
use crate::ledger::record::Record;
use crate::ledger::stamp::{Position, Stamp};

/// Suspected tenants, and the cuts that are open.
#[derive(Debug, Default)]
pub struct Cuts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    suspects: HashSet<Arc<str>>,
    /// By their stamps: a round that is folded again brings the same.
    open: HashMap<Arc<str>, BTreeMap<Stamp, Record>>,
}

/// A record that an account absorbs.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// Whose account.
    pub tenant: &'a Arc<str>,
    /// Where it stands.
    pub stamp: Stamp,
    /// The record.
    pub record: &'a Record,
}

impl Cuts {
    /// Says that a tenant's counters may be off: something was charged that does not count.
    pub fn suspect(&self, tenant: &Arc<str>) {
        self.lock().suspects.insert(Arc::clone(tenant));
    }

    /// The suspects; from now on what is folded for them is remembered.
    pub fn open(&self) -> Vec<Arc<str>> {
        let mut inner = self.lock();
        let suspects = inner.suspects.drain().collect::<Vec<_>>();
        inner.open.extend(suspects.iter().map(|tenant| (Arc::clone(tenant), BTreeMap::new())));
        suspects
    }

    /// Remembers what is about to be folded into the accounts of tenants that are looked at.
    pub fn observe(&self, postings: &[Posting<'_>]) {
        let mut inner = self.lock();
        if inner.open.is_empty() {
            return;
        }
        for posting in postings {
            if let Some(records) = inner.open.get_mut(posting.tenant) {
                records.insert(posting.stamp, posting.record.clone());
            }
        }
    }

    /// Ends the look at a tenant: of what an account that stands at `positions` has absorbed since, the sum of that under
    /// numbers above `number`.
    pub fn close(
        &self,
        tenant: &Arc<str>,
        counter_epoch: u64,
        number: u64,
        positions: &[Position],
    ) -> Account {
        let records = self.lock().open.remove(tenant).unwrap_or_default();
        let mut above = Account::default();
        for (stamp, record) in records {
            let is_above = record.counter_epoch == counter_epoch && record.number > number;
            let is_cut = !failpoint::is(Mutant::ReconcileWithoutCut);
            if is_above && is_cut && stamp.position.is_absorbed(positions) {
                above.absorb(&record);
            }
        }
        above
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::{Body, GrantPosted};

    fn batch(batch: u64) -> Position {
        Position { slot: 0, epoch: 1, batch }
    }

    fn posted(number: u64, micros: i64) -> Record {
        let grant = GrantPosted { id: "g".to_owned(), micros, ..GrantPosted::default() };
        Record { counter_epoch: 1, number, body: Some(Body::Grant(grant)), ..Record::default() }
    }

    fn check(account_at: u64, expected: i64) {
        let (cuts, tenant) = (Cuts::default(), Arc::from("acme"));
        cuts.suspect(&tenant);
        assert_eq!(cuts.open(), [Arc::clone(&tenant)]);
        // Batch 2 is folded twice, because the store failed in between; number 5 was there when the counters were read.
        for (number, in_batch, micros) in [(5, 1, 1), (6, 2, 10), (6, 2, 10), (7, 3, 100)] {
            let stamp = Stamp { position: batch(in_batch), place: 0 };
            cuts.observe(&[Posting { tenant: &tenant, stamp, record: &posted(number, micros) }]);
        }
        let above = cuts.close(&tenant, 1, 5, &[batch(account_at)]);
        assert_eq!(above.granted_micros, expected);
    }

    #[test]
    fn what_the_account_has_not_absorbed_yet_is_not_taken_out_of_it() {
        check(1, 0);
        check(2, 10);
        check(3, 110);
    }
}
