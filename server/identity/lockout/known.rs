//! Networks from which an account's owner has logged in lately.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::lockout::lock::moment;
use crate::store::records::{Change, Record, Records};
use crate::store::{Documents, StoreError};
use crate::time::{DAY, Timestamp};

/// How long a network is known.
const KNOWN: i64 = 30 * DAY;
/// How often a login from it is written down.
const AGAIN: i64 = DAY;
/// The index by age.
const AGE: &str = "age";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownNetwork {
    /// The digest of the account and the network.
    id: String,
    /// When there was a login from it, to a day.
    at: Timestamp,
}

impl Record for KnownNetwork {
    const KIND: &'static str = "known_network";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, moment(self.at))]
    }
}

/// Networks that are known.
#[derive(Debug)]
pub(super) struct KnownNetworks {
    networks: Records<KnownNetwork>,
}

impl KnownNetworks {
    pub(super) fn new(documents: &Arc<dyn Documents>) -> Self {
        Self { networks: Records::new(Arc::clone(documents)) }
    }

    pub(super) async fn is_known(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let found = self.networks.get(id).await?;
        Ok(found.is_some_and(|kept| now.since(kept.record.at) < KNOWN))
    }

    /// Knows a network from now on.
    pub(super) async fn learn(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let again = |known: &mut KnownNetwork| {
            if now.since(known.at) < AGAIN {
                return Ok::<_, StoreError>(Change::None);
            }
            known.at = now;
            Ok(Change::Keep)
        };
        if self.networks.update(id, again).await?.is_none() {
            // Should another have learned it meanwhile, it is known.
            self.networks.insert(&KnownNetwork { id: id.to_owned(), at: now }).await?;
        }
        Ok(())
    }

    pub(super) async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.networks.purge(AGE, &moment(now.minus(KNOWN)), limit).await
    }
}
