//! Ends deleted people whose grace is over.

use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::identity::departures::{Departures, Ending};
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::store::StoreError;

const MINUTES: NonZeroU16 = NonZeroU16::new(60).expect("sixty is above zero");
/// People who are read at once.
const PIECE: usize = 100;

/// Deletes all that is held on deleted people whose grace is over.
#[derive(Debug)]
pub struct EndUsers {
    /// Who ends people.
    pub departures: Arc<Departures>,
}

#[async_trait]
impl Job for EndUsers {
    fn name(&self) -> &'static str {
        "end_users"
    }

    fn description(&self) -> &'static str {
        "Deletes accounts, sessions, memberships, codes and letters of deleted people whose grace is over."
    }

    fn schedule(&self) -> Schedule {
        Schedule::EveryMinutes(MINUTES)
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        let (mut ended, mut waiting, mut after) = (0_usize, 0_usize, None);
        loop {
            let page = self.departures.due(after.as_ref(), PIECE).await?;
            for user in page.records.iter().take_while(|_| !stop.is_cancelled()) {
                match self.departures.end(&user.id).await? {
                    Ending::Ended => ended = ended.saturating_add(1),
                    Ending::Otherwise => {}
                    Ending::Owns(tenant) => {
                        waiting = waiting.saturating_add(1);
                        warn!(
                            user = user.id,
                            tenant, "user `{}` cannot end: tenant `{tenant}` has no other owner", user.id
                        );
                    }
                }
            }
            after = page.next;
            if after.is_none() || stop.is_cancelled() {
                break;
            }
        }
        Ok(format!("ended {ended} people; {waiting} are the last owners of tenants, and wait for others"))
    }
}
