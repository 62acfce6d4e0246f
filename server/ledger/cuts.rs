//! Tenants whose counters may differ from the ledger, and what is folded while somebody looks at them (rule M).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ledger::account::Account;
use crate::ledger::record::Record;

/// Suspected tenants, and the cuts that are open.
#[derive(Debug, Default)]
pub struct Cuts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    suspects: HashSet<Arc<str>>,
    open: HashMap<Arc<str>, Vec<Record>>,
}

/// A record that an account absorbs.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// Whose account.
    pub tenant: &'a Arc<str>,
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
        inner.open.extend(suspects.iter().map(|tenant| (Arc::clone(tenant), Vec::new())));
        suspects
    }

    /// Remembers what was folded for tenants that are looked at.
    pub fn observe(&self, postings: &[Posting<'_>]) {
        let mut inner = self.lock();
        if inner.open.is_empty() {
            return;
        }
        for posting in postings {
            if let Some(records) = inner.open.get_mut(posting.tenant) {
                records.push(posting.record.clone());
            }
        }
    }

    /// Ends the look at a tenant: the sum of what was folded since under numbers above `number`.
    pub fn close(&self, tenant: &Arc<str>, counter_epoch: u64, number: u64) -> Account {
        let records = self.lock().open.remove(tenant).unwrap_or_default();
        let mut above = Account::default();
        for record in
            records.iter().filter(|record| record.counter_epoch == counter_epoch && record.number > number)
        {
            above.absorb(record);
        }
        above
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
