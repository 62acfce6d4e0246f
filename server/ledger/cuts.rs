//! Tenants whose counters may differ from the ledger, and what must be kept while somebody looks at them (rule M).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;

use crate::ledger::journal::Batch;
use crate::ledger::record::{Body, Record};
use crate::ledger::stamp::{Position, Positions};
use crate::store::StoreError;

/// Suspected tenants, and the cut that is open.
#[derive(Debug, Default)]
pub struct Cuts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    suspects: HashSet<Arc<str>>,
    /// Batches after these are not forgotten: whoever looks will read them again.
    open: Option<Positions>,
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
}
