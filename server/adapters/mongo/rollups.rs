//! The port `Rollups` on MongoDB: a document for each tenant and hour, found by an `_id` that is both.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use prost::Message as _;
use tracing::instrument;

use crate::adapters::mongo::conditional::{self, REVISION, Replacement};
use crate::adapters::mongo::connect::MongoStore;
use crate::adapters::mongo::convert::{Fields, ID, bytes, moment, sortable, unreadable};
use crate::ledger::rollups::{Detail, RollupKey, Rollups, StoredRollup};
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

const POSITIONS: &str = "positions";
const TOTALS: &str = "totals";
const MINUTES: &str = "minutes";
const DIMENSIONS: &str = "dimensions";
/// Between the tenant and the hour.
const BAR: char = '|';

/// Rollups in a collection.
#[derive(Clone, Debug)]
pub struct MongoRollups {
    store: MongoStore,
    collection: Collection<Document>,
}

/// Positions as they are kept.
#[derive(Clone, PartialEq, prost::Message)]
struct Positions {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Position>,
}

impl MongoRollups {
    /// The rollups of a store.
    #[must_use]
    pub fn new(store: &MongoStore) -> Self {
        Self { store: store.clone(), collection: store.collection("rollups") }
    }
}

#[async_trait]
impl Rollups for MongoRollups {
    #[instrument(level = "debug", skip_all, name = "rollups.get", target = "tollgate::store")]
    async fn get(&self, keys: &[RollupKey]) -> Result<Vec<Option<StoredRollup>>, StoreError> {
        let ids: Vec<_> = keys.iter().map(|key| id(&key.tenant, key.hour)).collect();
        let mut found = HashMap::with_capacity(ids.len());
        for kept in self.store.find_ids(&self.collection, &ids, None).await? {
            let rollup = to_rollup(kept)?;
            found.insert(rollup.key.clone(), rollup);
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    #[instrument(level = "debug", skip_all, name = "rollups.replace", target = "tollgate::store")]
    async fn replace(&self, rollups: Vec<StoredRollup>) -> Result<Vec<bool>, StoreError> {
        let replacements = rollups.into_iter().map(|rollup| {
            let positions = Positions { all: rollup.positions }.encode_to_vec();
            let sizes = [positions.len(), rollup.totals.len(), rollup.minutes.len(), rollup.dimensions.len()];
            Replacement {
                id: id(&rollup.key.tenant, rollup.key.hour),
                revision: rollup.revision,
                bytes: sizes.iter().sum(),
                fields: doc! {
                    POSITIONS: bytes(&positions),
                    TOTALS: bytes(&rollup.totals),
                    MINUTES: bytes(&rollup.minutes),
                    DIMENSIONS: bytes(&rollup.dimensions),
                },
            }
        });
        conditional::replace(&self.store, &self.collection, replacements.collect()).await
    }

    #[instrument(level = "debug", skip_all, name = "rollups.range", target = "tollgate::store")]
    async fn range(
        &self,
        tenant: &str,
        start: Timestamp,
        end: Timestamp,
        detail: Detail,
        limit: usize,
    ) -> Result<Vec<StoredRollup>, StoreError> {
        let hours = doc! { "_id": { "$gte": id(tenant, start), "$lt": id(tenant, end) } };
        let mut wanted = doc! { REVISION: 1, POSITIONS: 1, TOTALS: 1 };
        match detail {
            Detail::Totals => None,
            Detail::Minutes => wanted.insert(MINUTES, 1),
            Detail::Dimensions => wanted.insert(DIMENSIONS, 1),
        };
        let mut find = self.collection.find(hours).projection(wanted).sort(doc! { "_id": 1 });
        // No limit is 0 there. No id of a tenant has a bar, so that no other tenant's hours stand among these.
        if let Some(limit) = i64::try_from(limit).ok().filter(|limit| *limit > 0) {
            find = find.limit(limit);
        }
        let kept = self.store.collect(find).await?.into_iter().take(limit);
        kept.map(to_rollup).collect()
    }
}

fn id(tenant: &str, hour: Timestamp) -> String {
    format!("{tenant}{BAR}{}", sortable(hour.micros()))
}

fn to_rollup(kept: Document) -> Result<StoredRollup, StoreError> {
    let mut kept = Fields(kept);
    let (tenant, hour) = kept
        .text(ID)?
        .rsplit_once(BAR)
        .and_then(|(tenant, hour)| Some((tenant, moment(hour)?)))
        .ok_or_else(|| unreadable(ID, "it is no tenant and hour"))?;
    let key = RollupKey { tenant: Arc::from(tenant), hour: Timestamp::from_micros(hour) };
    let positions =
        Positions::decode(kept.bytes(POSITIONS)?.as_slice()).map_err(|error| unreadable(POSITIONS, error))?;
    let mut detail = |name| if kept.0.contains_key(name) { kept.bytes(name) } else { Ok(Vec::new()) };
    let (minutes, dimensions) = (detail(MINUTES)?, detail(DIMENSIONS)?);
    Ok(StoredRollup {
        key,
        revision: kept.unsigned(REVISION)?,
        positions: positions.all,
        totals: kept.bytes(TOTALS)?,
        minutes,
        dimensions,
    })
}
