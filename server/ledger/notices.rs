//! What happened beside the journal and is to be told: a document for each thing, deleted when it was told.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::store::records::{Page, Place, Range, Record, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::Timestamp;

/// The index of notices by age.
const AGE: &str = "age";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its id: the same change makes the same id.
    pub id: String,
    /// What happened.
    pub kind: NoticeKind,
    /// Whose it is.
    pub tenant: String,
    /// When it happened.
    pub at: Timestamp,
    /// The thing as it is now, as JSON.
    pub body: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A tenant was moved to another plan, version or anchor.
    SubscriptionChanged,
}

impl Record for Notice {
    const KIND: &'static str = "notice";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, format!("{:020}", self.at.micros().max(0)))]
    }
}

/// The notices of all rooms. Where nobody tells them, none are kept.
#[derive(Debug)]
pub struct Notices {
    records: Option<Records<Notice>>,
    posted: Notify,
}

impl Notices {
    /// Notices in a store; somebody tells and deletes them.
    #[must_use]
    pub fn kept(documents: &Arc<dyn Documents>) -> Self {
        Self { records: Some(Records::new(Arc::clone(documents))), posted: Notify::new() }
    }

    /// Nobody tells them.
    #[must_use]
    pub fn dropped() -> Self {
        Self { records: None, posted: Notify::new() }
    }

    /// Keeps a notice of `thing`, once for each state of it. It is posted after the change that it tells of: whoever
    /// retries the change posts it again.
    pub async fn post<T: Serialize + Sync>(
        &self,
        kind: NoticeKind,
        tenant: &str,
        at: Timestamp,
        thing: &T,
    ) -> Result<(), StoreError> {
        let Some(records) = &self.records else { return Ok(()) };
        let body = serde_json::to_string(thing)
            .map_err(|error| StoreError::corrupt(format!("a notice of tenant `{tenant}`"), error))?;
        let notice = Notice { id: id(kind, tenant, &body), kind, tenant: tenant.to_owned(), at, body };
        // An id that is taken is this very notice.
        records.insert(&notice).await?;
        self.posted.notify_one();
        Ok(())
    }

    /// The oldest notices after a place.
    pub async fn page(&self, after: Option<&Place>, limit: usize) -> Result<Page<Notice>, StoreError> {
        let Some(records) = &self.records else { return Ok(Page { records: Vec::new(), next: None }) };
        records.page(Range { index: AGE, prefix: "", order: Order::Ascending, after }, limit).await
    }

    /// Deletes a notice that was told.
    pub async fn delete(&self, id: &str) -> Result<(), StoreError> {
        let Some(records) = &self.records else { return Ok(()) };
        // A notice never changes. Another replica may have told and deleted it too.
        records.delete(id, 1).await?;
        Ok(())
    }

    /// Returns when this process has posted one.
    pub async fn posted(&self) {
        self.posted.notified().await;
    }
}

fn id(kind: NoticeKind, tenant: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    hash.update([kind as u8]);
    hash.update(tenant.len().to_le_bytes());
    hash.update(tenant);
    hash.update(body);
    let digest = hash.finalize();
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("notice-{hex}")
}
