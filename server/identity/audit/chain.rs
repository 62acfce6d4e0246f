//! Chains of entries: appending, and looking whether all are as they were written.

use std::sync::Arc;

use secrecy::SecretBox;
use serde::{Deserialize, Serialize};

use crate::identity::audit::entry::{CHAIN, Draft, Entry};
use crate::identity::tenant::Tenant;
use crate::identity::turns::Turns;
use crate::secrets::seal::Seal;
use crate::store::records::{Change, Place, Range, Record, Records};
use crate::store::{Documents, Inserted, Order, StoreError};
use crate::time::Clock;

/// How many entries of other servers one that is appended may meet.
const COLLISIONS_MAX: usize = 256;
/// How many entries are looked at in one call.
const VERIFIED_MAX: u64 = 20_000;
const PAGE: usize = 1_000;

/// All chains.
#[derive(Debug)]
pub(super) struct Chain {
    entries: Records<Entry>,
    heads: Records<Head>,
    tenants: Records<Tenant>,
    seal: Seal,
    turns: Turns,
    clock: Arc<dyn Clock>,
}

/// How far a chain goes at least: so entries that are missing at its end are found too. It follows behind the entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    id: String,
    number: u64,
    digest: String,
}

impl Record for Head {
    const KIND: &'static str = "audit_head";

    fn id(&self) -> &str {
        &self.id
    }
}

/// What was found out about a part of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries were looked at.
    pub entries: u64,
    /// The first that is not as it was written.
    pub broken: Option<Broken>,
    /// The number that goes on; `None`: the chain was looked at to its end.
    pub next: Option<u64>,
}

/// Where a chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The entry with that number is missing.
    Missing(u64),
    /// The entry with that number was edited, or stands where another one stood.
    Changed(u64),
}

impl Chain {
    pub(super) fn new(
        documents: &Arc<dyn Documents>,
        secret: &SecretBox<[u8; 32]>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            entries: Records::new(Arc::clone(documents)),
            heads: Records::new(Arc::clone(documents)),
            tenants: Records::new(Arc::clone(documents)),
            seal: Seal::new(secret, "audit"),
            turns: Turns::new(),
            clock,
        }
    }

    pub(super) async fn append(&self, said: Draft) -> Result<(), StoreError> {
        let scope = said.scope.clone();
        let _turn = self.turns.take(&scope).await;
        let (mut number, mut previous) = self.head(&scope).await?;
        for _ in 0..COLLISIONS_MAX {
            let entry = Entry::new(&self.seal, number.saturating_add(1), previous, said.clone());
            if self.entries.insert(&entry).await? == Inserted::Yes {
                return self.follow(&scope, &entry).await;
            }
            (number, previous) = self.last(&scope).await?;
        }
        Err(StoreError::unavailable(format!("others append to the audit log of `{scope}` all the time")))
    }

    /// Looks at entries from the one with number `first`.
    pub(super) async fn verify(&self, scope: &str, first: u64) -> Result<Verified, StoreError> {
        let first = first.max(1);
        let may_be_erased = self.has_ended(scope).await?;
        let (head, _) = self.head(scope).await?;
        let mut previous = match first.checked_sub(1) {
            None | Some(0) => String::new(),
            Some(before) => match self.entries.get(&Entry::id_of(scope, before)).await? {
                Some(kept) => kept.record.digest,
                None => {
                    return Ok(Verified { entries: 0, broken: Some(Broken::Missing(before)), next: None });
                }
            },
        };
        let prefix = Entry::prefix(scope);
        let mut after = Some(place(scope, first.saturating_sub(1)));
        let mut expected = first;
        while let Some(from) = after {
            let entries = expected.saturating_sub(first);
            if entries >= VERIFIED_MAX {
                return Ok(Verified { entries, broken: None, next: Some(expected) });
            }
            let range = Range { index: CHAIN, prefix: &prefix, order: Order::Ascending, after: Some(&from) };
            let page = self.entries.page(range, PAGE).await?;
            for entry in page.records {
                let is_allowed = may_be_erased || !entry.is_erased;
                if let Some(broken) = self.look(&entry, scope, expected, &previous, is_allowed) {
                    let entries = expected.saturating_sub(first);
                    return Ok(Verified { entries, broken: Some(broken), next: None });
                }
                expected = expected.saturating_add(1);
                previous = entry.digest;
            }
            after = page.next;
        }
        let broken = (expected <= head).then_some(Broken::Missing(expected));
        Ok(Verified { entries: expected.saturating_sub(first), broken, next: None })
    }

    fn look(
        &self,
        entry: &Entry,
        scope: &str,
        expected: u64,
        previous: &str,
        is_allowed: bool,
    ) -> Option<Broken> {
        let is_as_written = is_allowed && entry.said.scope == scope && entry.is_whole(&self.seal);
        match entry.number {
            number if number > expected && is_as_written => Some(Broken::Missing(expected)),
            number if number == expected && is_as_written && entry.previous == previous => None,
            _ => Some(Broken::Changed(expected)),
        }
    }

    /// Whether entries of a chain may be erased: its tenant was deleted, and the grace is over.
    async fn has_ended(&self, scope: &str) -> Result<bool, StoreError> {
        if scope.is_empty() {
            return Ok(false);
        }
        let found = self.tenants.get(scope).await?;
        let ends_at = found.and_then(|kept| kept.record.deletion).map(|deletion| deletion.ends_at);
        Ok(ends_at.is_some_and(|ends_at| ends_at <= self.clock.now()))
    }

    /// The number and digest of the last entry of a chain.
    async fn last(&self, scope: &str) -> Result<(u64, String), StoreError> {
        let prefix = Entry::prefix(scope);
        let range = Range { index: CHAIN, prefix: &prefix, order: Order::Descending, after: None };
        let last = self.entries.page(range, 1).await?.records.pop();
        Ok(last.map_or((0, String::new()), |entry| (entry.number, entry.digest)))
    }

    /// The number and digest of an entry that stands near the end of a chain.
    async fn head(&self, scope: &str) -> Result<(u64, String), StoreError> {
        let head = self.heads.get(&head_id(scope)).await?;
        Ok(head.map_or((0, String::new()), |kept| (kept.record.number, kept.record.digest)))
    }

    async fn follow(&self, scope: &str, entry: &Entry) -> Result<(), StoreError> {
        let (id, number, digest) = (head_id(scope), entry.number, entry.digest.clone());
        let head = Head { id: id.clone(), number, digest };
        if self.heads.insert(&head).await? == Inserted::Yes {
            return Ok(());
        }
        let followed = self.heads.update(&id, |there: &mut Head| {
            if there.number >= head.number {
                return Ok(Change::None);
            }
            there.clone_from(&head);
            Ok::<_, StoreError>(Change::Keep)
        });
        followed.await.map(|_| ())
    }
}

fn head_id(scope: &str) -> String {
    format!("of/{scope}")
}

fn place(scope: &str, number: u64) -> Place {
    Place { value: Entry::id_of(scope, number), id: Entry::id_of(scope, number) }
}
