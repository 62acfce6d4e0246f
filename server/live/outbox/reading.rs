//! Folded batches become announcements.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use prost::Message as _;
use prost::bytes::Bytes;
use prost::encoding::decode_varint;

use super::{Outlet, Shared, alerts, usage};
use crate::gate::call::EventKey;
use crate::ledger::account::Account;
use crate::ledger::journal::Batch;
use crate::ledger::record::{Body, Mode, Record};
use crate::ledger::stamp::{Position, Stamp};
use crate::live::announcement::Announcement;
use crate::store::StoreError;
use crate::time::Timestamp;

/// What some batches have to tell.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Announcements, in the order of their records.
    pub(super) announcements: Vec<Announcement>,
    /// The ids of those that are alerts.
    pub(super) alerts: Vec<String>,
    /// Tenants whose accounts were changed.
    pub(super) tenants: HashSet<Arc<str>>,
}

/// One record, where it stands.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) stamp: Stamp,
    pub(super) tenant: Arc<str>,
    pub(super) record: Record,
}

/// Accounts after the fold.
pub(super) type Accounts = BTreeMap<Arc<str>, Account>;

/// What the batches have to tell.
pub(super) async fn read(shared: &Shared, outlet: &Outlet, batches: &[Batch]) -> Result<Step, StoreError> {
    let items = decode(batches)?;
    let counted = counted(shared, &items).await?;
    let accounts = accounts(shared, &items).await?;
    let mut step = Step::default();
    for item in &items {
        if changes_account(item) {
            step.tenants.insert(Arc::clone(&item.tenant));
        }
        if counted.contains(&item.stamp) {
            step.announcements.extend(usage::announcement(item)?);
        }
        let alert = alerts::of(item, accounts.get(&item.tenant), outlet).await?;
        let is_new = |alert: &Announcement| !shared.is_sent(&alert.id) && !step.alerts.contains(&alert.id);
        if let Some(alert) = alert.filter(is_new) {
            step.alerts.push(alert.id.clone());
            step.announcements.push(alert);
        }
    }
    Ok(step)
}

/// Whether all that is in a batch was decided before `end`. One that cannot be read is not let go.
pub(super) fn is_older(batch: &Batch, end: Timestamp) -> bool {
    let items = decode(std::slice::from_ref(batch));
    items.is_ok_and(|items| items.iter().all(|item| item.record.at_micros < end.micros()))
}

fn decode(batches: &[Batch]) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    for batch in batches {
        let mut records = batch.records.clone();
        let mut place = 0;
        while !records.is_empty() {
            let body = next_record(&mut records, batch.position)?;
            let record = Record::decode(body).map_err(|error| corrupt(batch.position, error))?;
            let tenant = Arc::from(record.tenant.as_str());
            items.push(Item { stamp: Stamp { position: batch.position, place }, tenant, record });
            place += 1;
        }
    }
    Ok(items)
}

/// The calls that the ledger counts: their rows have their own stamps (rule H). History is not news.
async fn counted(shared: &Shared, items: &[Item]) -> Result<HashSet<Stamp>, StoreError> {
    let is_news =
        |item: &&Item| matches!(&item.record.body, Some(Body::Usage(usage)) if usage.mode() != Mode::Import);
    let calls: Vec<_> = items.iter().filter(is_news).collect();
    let keys: Vec<EventKey> = calls.iter().map(|item| item.record.key()).collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = shared.parts.events.get(&keys).await?;
    let counted = calls.iter().zip(rows).filter_map(|(item, row)| {
        let stamp = row?.row.stamp;
        (stamp == item.stamp).then_some(stamp)
    });
    Ok(counted.collect())
}

/// The accounts of those who spent credits, or had none to spend.
async fn accounts(shared: &Shared, items: &[Item]) -> Result<Accounts, StoreError> {
    let spenders = items.iter().filter(|item| alerts::needs_account(item));
    let tenants: HashSet<_> = spenders.map(|item| Arc::clone(&item.tenant)).collect();
    if tenants.is_empty() {
        return Ok(Accounts::new());
    }
    let tenants: Vec<_> = tenants.into_iter().collect();
    let kept = shared.accounts.get_many(&tenants).await?;
    Ok(kept.into_iter().map(|kept| (kept.tenant, kept.account)).collect())
}

const fn changes_account(item: &Item) -> bool {
    match &item.record.body {
        Some(Body::Usage(_) | Body::Extension(_) | Body::End(_) | Body::Grant(_) | Body::Breakage(_)) => true,
        Some(Body::Completion(_) | Body::Refusal(_)) | None => false,
    }
}

fn next_record(records: &mut Bytes, position: Position) -> Result<Bytes, StoreError> {
    let length = decode_varint(records).map_err(|error| corrupt(position, error))?;
    let length = usize::try_from(length).map_err(|error| corrupt(position, error))?;
    if length > records.len() {
        return Err(corrupt(position, "a record is longer than its batch"));
    }
    Ok(records.split_to(length))
}

fn corrupt(position: Position, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let Position { slot, epoch, batch } = position;
    StoreError::corrupt(format!("batch {batch} of slot {slot}, epoch {epoch}"), source)
}
