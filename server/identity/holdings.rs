//! What is held on a tenant: to be exported, and to be deleted at its end.

mod entries;
mod members;
mod spent;
mod used;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::identity::accounts::invitation::{self, Invitation};
use crate::identity::api_key::{self, ApiKey};
use crate::identity::departures::Departures;
use crate::identity::holdings::entries::Entries;
use crate::identity::holdings::members::Members;
use crate::identity::holdings::spent::Wallet;
use crate::identity::holdings::used::{Events, Hours};
use crate::identity::roles::roster::Roster;
use crate::identity::session::{self, Session};
use crate::identity::tenant::Tenant;
use crate::ledger::works::Ledger;
use crate::plans::subscription::Subscription;
use crate::store::records::{Page, Place, Range, Record, Records};
use crate::store::{Documents, Order, StoreError};

/// How many records are read, or deleted, at once.
const PIECE: usize = 100;
/// What is a secret, or made of one, in the record of a person.
const OF_PEOPLE: &[&str] = &["password", "second_factor"];
/// The same in that of a key.
const OF_KEYS: &[&str] = &["digest"];

/// One kind of what is held on tenants.
///
/// # Contract
///
/// An export has no secret. What is read at once has a bound. Removing may end anywhere, and is done again until nothing is
/// left.
#[async_trait]
pub trait Holding: Send + Sync + fmt::Debug {
    /// What it is, for example `api_key`.
    fn kind(&self) -> &'static str;

    /// Some of it, and after which place the rest stands; `None`: this is the last.
    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError>;

    /// Deletes some of it; answers how much. 0: nothing is left, or it stays for ever.
    async fn remove(&self, tenant: &str) -> Result<usize, StoreError>;
}

/// A part of what is held.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The records.
    pub records: Vec<Value>,
    /// After which the rest stands; `None`: this is the last.
    pub next: Option<Place>,
}

/// All kinds of what is held on tenants.
#[derive(Clone, Debug)]
pub struct Holdings {
    kinds: Vec<Arc<dyn Holding>>,
}

impl Holdings {
    /// What this room holds: the tenant itself, its subscription, its roles, keys and people, and what was done there.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, departures: Arc<Departures>) -> Self {
        let kinds: Vec<Arc<dyn Holding>> = vec![
            Arc::new(Single::<Tenant> { id: str::to_owned, fate: Fate::Stays, records: of(documents) }),
            Arc::new(Single::<Subscription> { id: str::to_owned, fate: Fate::Stays, records: of(documents) }),
            Arc::new(Indexed::<ApiKey> {
                index: api_key::OWNER,
                prefix: |tenant| ApiKey::owner_prefix(Some(tenant)),
                secrets: OF_KEYS,
                records: of(documents),
            }),
            // Before the members: a session leads to nobody.
            Arc::new(Indexed::<Session> {
                index: session::TENANT,
                prefix: Session::prefix,
                secrets: &[],
                records: of(documents),
            }),
            Arc::new(Members::new(documents, departures)),
            // After them: it is changed with them.
            Arc::new(Single::<Roster> { id: Roster::id_of, fate: Fate::Ends, records: of(documents) }),
            Arc::new(Indexed::<Invitation> {
                index: invitation::TENANT,
                prefix: Invitation::prefix,
                secrets: &[],
                records: of(documents),
            }),
            Arc::new(Entries(of(documents))),
        ];
        Self { kinds }
    }

    /// With what the ledger holds: the wallet, the sums of usage, and the calls. All of it stays, under the tenant's id.
    #[must_use]
    pub fn with_ledger(mut self, ledger: &Ledger) -> Self {
        self.kinds.push(Arc::new(Wallet(ledger.clone())));
        self.kinds.push(Arc::new(Hours(ledger.clone())));
        self.kinds.push(Arc::new(Events::counted(ledger)));
        self.kinds.push(Arc::new(Events::refused(ledger)));
        self
    }

    /// All kinds, the tenant itself first.
    #[must_use]
    pub fn kinds(&self) -> &[Arc<dyn Holding>] {
        &self.kinds
    }
}

/// What becomes of it at the tenant's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays, under the tenant's id.
    Stays,
    /// It ends.
    Ends,
}

/// The one record whose id is made of the tenant's.
#[derive(Debug)]
struct Single<R> {
    id: fn(&str) -> String,
    fate: Fate,
    records: Records<R>,
}

#[async_trait]
impl<R: Record + fmt::Debug + 'static> Holding for Single<R> {
    fn kind(&self) -> &'static str {
        R::KIND
    }

    async fn some(&self, tenant: &str, _after: Option<&Place>) -> Result<Part, StoreError> {
        let found = self.records.get(&(self.id)(tenant)).await?;
        let records = found.iter().map(|kept| shown(R::KIND, &kept.record, &[])).collect::<Result<_, _>>()?;
        Ok(Part { records, next: None })
    }

    async fn remove(&self, tenant: &str) -> Result<usize, StoreError> {
        let id = (self.id)(tenant);
        if self.fate == Fate::Stays || self.records.get(&id).await?.is_none() {
            return Ok(0);
        }
        self.records.remove(&id).await?;
        Ok(1)
    }
}

/// The records that an index finds by their tenant. They end with it.
#[derive(Debug)]
struct Indexed<R> {
    index: &'static str,
    prefix: fn(&str) -> String,
    secrets: &'static [&'static str],
    records: Records<R>,
}

#[async_trait]
impl<R: Record + fmt::Debug + 'static> Holding for Indexed<R> {
    fn kind(&self) -> &'static str {
        R::KIND
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let page = page_of(&self.records, self.index, &(self.prefix)(tenant), after).await?;
        let shown = page.records.iter().map(|record| shown(R::KIND, record, self.secrets));
        Ok(Part { records: shown.collect::<Result<_, _>>()?, next: page.next })
    }

    async fn remove(&self, tenant: &str) -> Result<usize, StoreError> {
        let page = page_of(&self.records, self.index, &(self.prefix)(tenant), None).await?;
        for record in &page.records {
            self.records.remove(record.id()).await?;
        }
        Ok(page.records.len())
    }
}

fn of<R: Record>(documents: &Arc<dyn Documents>) -> Records<R> {
    Records::new(Arc::clone(documents))
}

async fn page_of<R: Record>(
    records: &Records<R>,
    index: &'static str,
    prefix: &str,
    after: Option<&Place>,
) -> Result<Page<R>, StoreError> {
    records.page(Range { index, prefix, order: Order::Ascending, after }, PIECE).await
}

/// A record of a kind without what is secret in it.
fn shown(kind: &str, record: &impl Serialize, secrets: &[&str]) -> Result<Value, StoreError> {
    let value = serde_json::to_value(record);
    let mut value =
        value.map_err(|error| StoreError::corrupt(format!("a record of kind `{kind}`"), error))?;
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| !secrets.contains(&name.as_str()));
    }
    Ok(value)
}
