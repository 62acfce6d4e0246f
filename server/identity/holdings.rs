//! What is held on a tenant: to be exported, and to be deleted at its end.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::identity::api_key::{ApiKey, OWNER};
use crate::identity::departures::Departures;
use crate::identity::member::{Member, TENANT, USER};
use crate::identity::tenant::Tenant;
use crate::identity::user::User;
use crate::plans::subscription::Subscription;
use crate::store::records::{Page, Place, Range, Record, Records};
use crate::store::{Documents, Order, StoreError};

/// How many records are read, or deleted, at once.
const PIECE: usize = 100;
/// What is a secret, or made of one, in any record.
const SECRETS: [&str; 3] = ["digest", "password", "second_factor"];

/// One kind of what is held on tenants.
///
/// # Contract
///
/// An export has no secret. Removing may end anywhere, and is done again until nothing is left.
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
    /// What this room holds: the tenant itself, its subscription, its keys and its people.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, departures: Arc<Departures>) -> Self {
        let kinds: Vec<Arc<dyn Holding>> = vec![
            Arc::new(Single::<Tenant>(Records::new(Arc::clone(documents)))),
            Arc::new(Single::<Subscription>(Records::new(Arc::clone(documents)))),
            Arc::new(Keys(Records::new(Arc::clone(documents)))),
            Arc::new(People {
                members: Records::new(Arc::clone(documents)),
                users: Records::new(Arc::clone(documents)),
                departures,
            }),
        ];
        Self { kinds }
    }

    /// With what another room holds.
    #[must_use]
    pub fn with(mut self, holding: Arc<dyn Holding>) -> Self {
        self.kinds.push(holding);
        self
    }

    /// All kinds, the tenant itself first.
    #[must_use]
    pub fn kinds(&self) -> &[Arc<dyn Holding>] {
        &self.kinds
    }
}

/// The one record whose id is the tenant's. It stays, under that id.
#[derive(Debug)]
struct Single<R>(Records<R>);

#[async_trait]
impl<R: Record + fmt::Debug + 'static> Holding for Single<R> {
    fn kind(&self) -> &'static str {
        R::KIND
    }

    async fn some(&self, tenant: &str, _after: Option<&Place>) -> Result<Part, StoreError> {
        let found = self.0.get(tenant).await?;
        let records = found.iter().map(|kept| shown(&kept.record)).collect::<Result<_, _>>()?;
        Ok(Part { records, next: None })
    }

    async fn remove(&self, _tenant: &str) -> Result<usize, StoreError> {
        Ok(0)
    }
}

#[derive(Debug)]
struct Keys(Records<ApiKey>);

#[async_trait]
impl Holding for Keys {
    fn kind(&self) -> &'static str {
        ApiKey::KIND
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let page = of(&self.0, OWNER, &ApiKey::owner_prefix(Some(tenant)), after).await?;
        let records = page.records.iter().map(shown).collect::<Result<_, _>>()?;
        Ok(Part { records, next: page.next })
    }

    async fn remove(&self, tenant: &str) -> Result<usize, StoreError> {
        let page = of(&self.0, OWNER, &ApiKey::owner_prefix(Some(tenant)), None).await?;
        for key in &page.records {
            delete(&self.0, &key.id).await?;
        }
        Ok(page.records.len())
    }
}

/// The members of a tenant, each with the person. A person ends with the last membership.
#[derive(Debug)]
struct People {
    members: Records<Member>,
    users: Records<User>,
    departures: Arc<Departures>,
}

#[async_trait]
impl Holding for People {
    fn kind(&self) -> &'static str {
        Member::KIND
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let page = of(&self.members, TENANT, &Member::prefix(tenant), after).await?;
        let ids: Vec<_> = page.records.iter().map(|member| member.user.clone()).collect();
        let users = self.users.get_many(&ids).await?;
        let mut records = Vec::with_capacity(page.records.len());
        for (member, user) in page.records.iter().zip(users) {
            let mut record = shown(member)?;
            if let (Value::Object(fields), Some(user)) = (&mut record, user) {
                fields.insert(String::from("person"), shown(&user.record)?);
            }
            records.push(record);
        }
        Ok(Part { records, next: page.next })
    }

    async fn remove(&self, tenant: &str) -> Result<usize, StoreError> {
        let page = of(&self.members, TENANT, &Member::prefix(tenant), None).await?;
        for member in &page.records {
            let all = of(&self.members, USER, &Member::prefix(&member.user), None).await?;
            // The person first: a membership that is left leads back to it.
            if all.records.iter().all(|other| other.tenant == tenant)
                && let Some(user) = self.users.get(&member.user).await?
            {
                self.departures.forget(&user.record).await?;
            }
            self.members.remove(member.id()).await?;
        }
        Ok(page.records.len())
    }
}

async fn of<R: Record>(
    records: &Records<R>,
    index: &'static str,
    prefix: &str,
    after: Option<&Place>,
) -> Result<Page<R>, StoreError> {
    records.page(Range { index, prefix, order: Order::Ascending, after }, PIECE).await
}

/// Deletes a record at whatever revision it is; one that changes meanwhile is left for the next round.
async fn delete<R: Record>(records: &Records<R>, id: &str) -> Result<(), StoreError> {
    if let Some(kept) = records.get(id).await? {
        records.delete(id, kept.revision).await?;
    }
    Ok(())
}

/// A record without what is secret in it.
fn shown<R: Record>(record: &R) -> Result<Value, StoreError> {
    let mut value = serde_json::to_value(record)
        .map_err(|error| StoreError::corrupt(format!("{} `{}`", R::KIND, record.id()), error))?;
    if let Value::Object(fields) = &mut value {
        for secret in SECRETS {
            fields.remove(secret);
        }
    }
    Ok(value)
}
