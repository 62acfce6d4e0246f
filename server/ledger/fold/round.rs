//! One round of the fold: some batches, decoded, and what each record of them changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message as _;
use prost::bytes::Bytes;

use crate::ledger::journal::Batch;
use crate::ledger::record::{Body, Record};
use crate::ledger::rollups::RollupKey;
use crate::ledger::stamp::{Position, Stamp};
use crate::ledger::standing::Standing;
use crate::ledger::sums::{Change, Effect};
use crate::store::StoreError;
use crate::time::{HOUR, Timestamp};

/// Tenants whose names are shared between rounds.
const INTERNED_MAX: usize = 200_000;

/// Some batches, decoded.
#[derive(Debug)]
pub(super) struct Round {
    /// The last batch.
    pub(super) position: Position,
    /// All records, in order.
    pub(super) items: Vec<Item>,
}

/// One record, and what the ledger made of it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) stamp: Stamp,
    pub(super) tenant: Arc<str>,
    pub(super) record: Record,
    pub(super) body: Bytes,
    /// Whether the account absorbs it: it is new, or our own replay (rule H).
    pub(super) posted: bool,
    /// Whether it is of a reservation whose end counts already: it holds nothing any more (rule T).
    pub(super) is_over: bool,
    /// What it changes in sums.
    pub(super) tallies: Vec<Tally>,
}

/// What a record changes in sums.
#[derive(Debug)]
pub(super) enum Tally {
    /// The event of the record itself counts, as it was decided.
    Event,
    /// An event becomes another.
    Amended { before: Box<Standing>, after: Box<Standing> },
    /// The refusal of the record itself counts.
    Refused,
}

impl Round {
    pub(super) fn decode(batches: &[Batch], interned: &mut HashSet<Arc<str>>) -> Result<Self, StoreError> {
        if interned.len() > INTERNED_MAX {
            interned.clear();
        }
        // Items are large, and a round has thousands: they are never moved to a larger place.
        let mut bodies = Vec::new();
        for batch in batches {
            bodies.extend(batch.stamped()?.into_iter().map(|(stamp, body)| (batch, stamp, body)));
        }
        let mut items: Vec<Item> = Vec::with_capacity(bodies.len());
        for (batch, stamp, body) in bodies {
            let record = Record::decode(body.clone()).map_err(|error| batch.corrupt(error))?;
            let tenant = intern(interned, &record.tenant);
            items.push(Item {
                stamp,
                tenant,
                record,
                body,
                posted: false,
                is_over: false,
                tallies: Vec::new(),
            });
        }
        let position = batches.last().map(|batch| batch.position).unwrap_or_default();
        Ok(Self { position, items })
    }

    /// What changes in each rollup, in order.
    pub(super) fn rollup_changes(&self) -> HashMap<RollupKey, Vec<(Position, Change<'_>)>> {
        let mut changes: HashMap<RollupKey, Vec<(Position, Change<'_>)>> = HashMap::new();
        for item in &self.items {
            for change in item.changes() {
                let key =
                    RollupKey { tenant: Arc::clone(&item.tenant), hour: change.occurred_at.floor(HOUR) };
                changes.entry(key).or_default().push((item.stamp.position, change));
            }
        }
        changes
    }

    /// The records of each tenant that its account absorbs or sums, in order.
    pub(super) fn by_tenant(&self) -> HashMap<Arc<str>, Vec<&Item>> {
        let mut tenants: HashMap<Arc<str>, Vec<&Item>> = HashMap::new();
        for item in self.items.iter().filter(|item| item.posted || !item.tallies.is_empty()) {
            tenants.entry(Arc::clone(&item.tenant)).or_default().push(item);
        }
        tenants
    }
}

impl Item {
    /// What it changes in sums.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.tallies.iter().filter_map(|tally| match tally {
            Tally::Event => {
                let Some(Body::Usage(usage)) = &self.record.body else { return None };
                let micros = usage.event.occurred_at_micros.unwrap_or(self.record.at_micros);
                let effect = Effect::Count(usage.counted());
                Some(Change { occurred_at: Timestamp::from_micros(micros), effect })
            }
            Tally::Amended { before, after } => {
                let effect = Effect::Amend { before: before.counted()?, after: after.counted()? };
                Some(Change { occurred_at: occurred_at(before), effect })
            }
            Tally::Refused => {
                let Some(Body::Refusal(refusal)) = &self.record.body else { return None };
                let micros = refusal.event.occurred_at_micros.unwrap_or(self.record.at_micros);
                let effect = Effect::Refuse { event: &refusal.event, api_key_id: &refusal.api_key_id };
                Some(Change { occurred_at: Timestamp::from_micros(micros), effect })
            }
        })
    }
}

/// When the call was made.
fn occurred_at(standing: &Standing) -> Timestamp {
    let sent = standing.event().and_then(|event| event.occurred_at_micros);
    Timestamp::from_micros(sent.unwrap_or(standing.record.at_micros))
}

fn intern(interned: &mut HashSet<Arc<str>>, tenant: &str) -> Arc<str> {
    if let Some(known) = interned.get(tenant) {
        return Arc::clone(known);
    }
    let tenant = Arc::<str>::from(tenant);
    interned.insert(Arc::clone(&tenant));
    tenant
}
