//! Ends deleted tenants whose grace is over.

use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::identity::holdings::Holdings;
use crate::identity::tenants::Tenants;
use crate::jobs::pieces::in_pieces;
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::store::StoreError;

const MINUTES: NonZeroU16 = NonZeroU16::new(60).expect("sixty is above zero");
/// Tenants that are ended in one round.
const ROUND: usize = 100;

/// Deletes what is held on deleted tenants whose grace is over.
///
/// What they used and paid stays, under their ids, and so does the audit log, without what names people.
#[derive(Debug)]
pub struct EndTenants {
    /// The tenants.
    pub tenants: Arc<Tenants>,
    /// What is held on them.
    pub holdings: Holdings,
}

#[async_trait]
impl Job for EndTenants {
    fn name(&self) -> &'static str {
        "end_tenants"
    }

    fn description(&self) -> &'static str {
        "Deletes members, sessions, invitations, roles, keys and names of deleted tenants whose grace is over."
    }

    fn schedule(&self) -> Schedule {
        Schedule::EveryMinutes(MINUTES)
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        let (mut ended, mut deleted) = (0_usize, 0_usize);
        while !stop.is_cancelled() {
            let due = self.tenants.due_to_end(ROUND).await?;
            if due.is_empty() {
                break;
            }
            for tenant in due {
                for holding in self.holdings.kinds() {
                    let records = in_pieces(stop, || holding.remove(&tenant.id)).await?;
                    deleted = deleted.saturating_add(records);
                }
                if stop.is_cancelled() {
                    break;
                }
                self.tenants.ended(&tenant.id).await?;
                ended = ended.saturating_add(1);
            }
        }
        Ok(format!("ended {ended} tenants, and deleted or erased {deleted} of what was held on them"))
    }
}
