//! Tenants whose counters may differ from the ledger, and what must be kept while somebody looks at them (rule M).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;

use crate::ledger::journal::Batch;
use crate::ledger::record::{Body, Record};
use crate::ledger::stamp::{Position, Positions};
use crate::store::StoreError;

/// How long after a death a tenant is looked at when it first calls: for longer, no counters are kept of one that does not call.
const MOURNING: Duration = Duration::from_secs(3_700);
/// Tenants that are known to have called since a death. Any more are looked at again at each call.
const MET_MAX: usize = 1_000_000;

/// Suspected tenants, and the cut that is open.
#[derive(Debug, Default)]
pub struct Cuts {
    inner: Mutex<Inner>,
    /// Whether a writer has died lately: else nobody who calls is looked at, and no lock is taken.
    mourns: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    suspects: HashSet<Arc<str>>,
    /// Batches after these are not forgotten: whoever looks will read them again.
    open: Option<Positions>,
    /// Until when tenants are looked at that call for the first time since a death.
    mourning: Option<Instant>,
    /// Those who have called since.
    met: HashSet<Arc<str>>,
}

impl Cuts {
    /// Says that a tenant's counters may be off: something was charged that does not count.
    pub fn suspect(&self, tenant: &Arc<str>) {
        self.lock().suspects.insert(Arc::clone(tenant));
    }

    /// Says that whoever is charged in a batch may be off, and whoever's counters had still to be told of something.
    pub fn suspect_all(&self, batch: &Batch) -> Result<(), StoreError> {
        for (_, body) in batch.stamped()? {
            let record = Record::decode(body).map_err(|error| batch.corrupt(error))?;
            let is_told = matches!(record.body, Some(Body::End(_) | Body::Grant(_) | Body::Breakage(_)));
            if record.number > 0 || is_told {
                self.suspect(&Arc::from(record.tenant));
            }
        }
        Ok(())
    }

    /// Says that a writer has died. What it charged and never wrote stands in nobody's journal: so each tenant is suspected
    /// when it next calls.
    pub fn mourn(&self) {
        let mut inner = self.lock();
        inner.mourning = Some(Instant::now() + MOURNING);
        inner.met.clear();
        self.mourns.store(true, Ordering::Release);
    }

    /// Says that a tenant was charged here.
    pub fn met(&self, tenant: &Arc<str>) {
        if self.mourns.load(Ordering::Acquire) {
            self.met_at(tenant, Instant::now());
        }
    }

    fn met_at(&self, tenant: &Arc<str>, now: Instant) {
        let mut inner = self.lock();
        if inner.mourning.is_none_or(|until| now >= until) {
            inner.mourning = None;
            inner.met = HashSet::new();
            self.mourns.store(false, Ordering::Release);
        } else if !inner.met.contains(tenant) {
            inner.suspects.insert(Arc::clone(tenant));
            if inner.met.len() < MET_MAX {
                inner.met.insert(Arc::clone(tenant));
            }
        }
    }

    /// The suspects. Batches after `folded` are kept until the cut is closed.
    pub fn open(&self, folded: impl FnOnce() -> Positions) -> Vec<Arc<str>> {
        let mut inner = self.lock();
        let suspects = inner.suspects.drain().collect::<Vec<_>>();
        if !suspects.is_empty() {
            inner.open = Some(folded());
        }
        suspects
    }

    /// Ends the look.
    pub fn close(&self) {
        self.lock().open = None;
    }

    /// How far a slot's journal may be forgotten, of what is folded.
    #[must_use]
    pub fn bound(&self, folded: Position) -> Position {
        self.lock().open.as_ref().map_or(folded, |open| open.of(folded.slot).min(folded))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn batch(batch: u64) -> Position {
        Position { slot: 0, epoch: 1, batch }
    }

    #[test]
    fn what_is_looked_at_is_kept_until_the_look_ends() {
        let (cuts, tenant) = (Cuts::default(), Arc::from("acme"));
        assert_eq!(cuts.open(|| batch(3).into()), Vec::<Arc<str>>::new());
        assert_eq!(cuts.bound(batch(9)), batch(9), "nobody is suspected");
        cuts.suspect(&tenant);
        assert_eq!(cuts.open(|| batch(3).into()), [Arc::clone(&tenant)]);
        assert_eq!((cuts.bound(batch(9)), cuts.bound(batch(2))), (batch(3), batch(2)));
        cuts.close();
        assert_eq!(cuts.bound(batch(9)), batch(9));
    }

    #[test]
    fn after_a_death_each_tenant_is_suspected_when_it_first_calls() {
        let (cuts, tenant) = (Cuts::default(), Arc::from("acme"));
        let suspects = |cuts: &Cuts| cuts.open(Positions::default).len();
        cuts.met(&tenant);
        assert_eq!(suspects(&cuts), 0, "nobody has died");
        for _ in 0..2 {
            cuts.mourn();
            cuts.met(&tenant);
            assert_eq!(suspects(&cuts), 1);
            cuts.met(&tenant);
            assert_eq!(suspects(&cuts), 0, "it was looked at since");
        }
        cuts.met(&Arc::from("other"));
        assert_eq!(suspects(&cuts), 1);
        cuts.met_at(&Arc::from("third"), Instant::now() + MOURNING);
        assert_eq!(suspects(&cuts), 0, "its counters were loaded since");
    }
}
