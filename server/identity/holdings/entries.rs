//! The audit log of a tenant. It stays, without what may name people: see [`Entry`].

use async_trait::async_trait;

use crate::identity::audit::entry::{CHAIN, Entry, FULL};
use crate::identity::holdings::{Holding, Part, page_of, shown};
use crate::store::StoreError;
use crate::store::records::{Change, Place, Record as _, Records};

/// What says nothing of a person, and would only help to find out what was erased.
const SECRETS: &[&str] = &["salt", "details"];

/// The entries of a tenant's chain.
#[derive(Debug)]
pub(super) struct Entries(pub(super) Records<Entry>);

#[async_trait]
impl Holding for Entries {
    fn kind(&self) -> &'static str {
        Entry::KIND
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let page = page_of(&self.0, CHAIN, &Entry::prefix(tenant), after).await?;
        let shown = page.records.iter().map(|entry| shown(Entry::KIND, entry, SECRETS));
        Ok(Part { records: shown.collect::<Result<_, _>>()?, next: page.next })
    }

    async fn remove(&self, tenant: &str) -> Result<usize, StoreError> {
        let page = page_of(&self.0, FULL, &Entry::prefix(tenant), None).await?;
        for entry in &page.records {
            let erased = self.0.update(entry.id(), |entry: &mut Entry| {
                entry.erase();
                Ok::<_, StoreError>(Change::Keep)
            });
            erased.await?;
        }
        Ok(page.records.len())
    }
}
