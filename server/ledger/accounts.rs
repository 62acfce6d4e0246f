//! The accounts as documents: one for each tenant.

use std::sync::Arc;

use prost::Message as _;

use crate::ledger::account::Account;
use crate::store::{Document, Documents, Order, Replaced, Search, StoreError};
use crate::time::Timestamp;

const KIND: &str = "account";
/// Finds accounts in which something ends by time (rule I).
const DUE: &str = "due";

/// All accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    documents: Arc<dyn Documents>,
}

/// An account at a revision.
#[derive(Clone, Debug)]
pub struct KeptAccount {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Grows by one with each replacement; 0: not kept yet.
    pub revision: u64,
    /// The account.
    pub account: Account,
}

impl Accounts {
    /// The accounts among `documents`.
    #[must_use]
    pub const fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents }
    }

    /// A tenant's account; an empty one if nothing was folded for it yet.
    pub async fn get(&self, tenant: &Arc<str>) -> Result<KeptAccount, StoreError> {
        let kept = self.get_many(std::slice::from_ref(tenant)).await?;
        Ok(kept.into_iter().next().unwrap_or_else(|| KeptAccount::empty(tenant)))
    }

    /// The tenants' accounts, in that order.
    pub async fn get_many(&self, tenants: &[Arc<str>]) -> Result<Vec<KeptAccount>, StoreError> {
        let ids = tenants.iter().map(|tenant| tenant.as_ref().to_owned()).collect::<Vec<_>>();
        let found = self.documents.get_many(KIND, &ids).await?;
        tenants.iter().zip(found).map(|(tenant, document)| decode(tenant, document)).collect()
    }

    /// Replaces each account whose revision is still the same; answers which were, in order, with their new revision.
    pub async fn replace(
        &self,
        accounts: impl Iterator<Item = &KeptAccount>,
    ) -> Result<Vec<Replaced>, StoreError> {
        let documents = accounts.map(|kept| Document {
            kind: KIND,
            id: kept.tenant.as_ref().to_owned(),
            revision: kept.revision,
            body: kept.account.encode_to_vec(),
            unique: Vec::new(),
            ranges: due(&kept.account).map(|at| (DUE, sortable(at))).into_iter().collect(),
        });
        let documents = documents.collect();
        self.documents.replace_many(documents).await
    }

    /// Tenants in whose accounts something ended before `now`, the earliest first.
    pub async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<KeptAccount>, StoreError> {
        let search =
            Search { kind: KIND, index: DUE, prefix: "", after: None, order: Order::Ascending, limit };
        let found = self.documents.find(search).await?;
        let ended = sortable(now.micros());
        let due = found.into_iter().filter(|found| found.value <= ended);
        due.map(|found| decode(&Arc::from(found.document.id.as_str()), Some(found.document))).collect()
    }
}

impl KeptAccount {
    fn empty(tenant: &Arc<str>) -> Self {
        Self { tenant: Arc::clone(tenant), revision: 0, account: Account::default() }
    }
}

fn decode(tenant: &Arc<str>, document: Option<Document>) -> Result<KeptAccount, StoreError> {
    let Some(document) = document else { return Ok(KeptAccount::empty(tenant)) };
    let account = Account::decode(document.body.as_slice())
        .map_err(|error| StoreError::corrupt(format!("an account of tenant `{tenant}`"), error))?;
    Ok(KeptAccount { tenant: Arc::clone(tenant), revision: document.revision, account })
}

/// When the next thing in it ends by time, in microseconds since the epoch.
fn due(account: &Account) -> Option<i64> {
    let grants =
        account.grants.iter().filter(|grant| !grant.closed).filter_map(|grant| grant.expires_at_micros);
    let holds = account.holds.iter().filter(|hold| hold.lives()).map(|hold| hold.expires_at_micros);
    grants.chain(holds).min()
}

/// Moments after 1970 in an order that text has too.
fn sortable(micros: i64) -> String {
    format!("{:020}", micros.max(0))
}
