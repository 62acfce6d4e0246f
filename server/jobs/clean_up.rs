//! Deletes what is older than anybody asked to keep it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::identity::accounts::Accounts;
use crate::identity::requests::Requests;
use crate::jobs::pieces::{PIECE, in_pieces};
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::ledger::events::Events;
use crate::store::StoreError;
use crate::time::{Clock, DAY, HOUR};

/// Deletes events and refusals whose retention is over, requests whose retries are over, and codes that are not good any
/// more. Sums of usage and wallets stay for ever.
#[derive(Debug)]
pub struct CleanUp {
    /// The rows of the ledger.
    pub events: Arc<dyn Events>,
    /// The requests that were made before.
    pub requests: Arc<Requests>,
    /// What people do with their accounts.
    pub accounts: Arc<Accounts>,
    /// The server's clock.
    pub clock: Arc<dyn Clock>,
    /// How many days events are kept, from their receipt.
    pub retention_days: u32,
}

#[async_trait]
impl Job for CleanUp {
    fn name(&self) -> &'static str {
        "clean_up"
    }

    fn description(&self) -> &'static str {
        "Deletes events whose retention is over, requests that are too old to be repeated, and codes that have expired."
    }

    fn schedule(&self) -> Schedule {
        Schedule::Daily { hour: 3, minute: 0 }
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        // A whole hour, so that a second run finds the same.
        let before = self.clock.now().minus(i64::from(self.retention_days).saturating_mul(DAY)).floor(HOUR);
        let events = in_pieces(stop, || self.events.purge(before, PIECE)).await?;
        let requests = in_pieces(stop, || self.requests.purge(PIECE)).await?;
        let codes = in_pieces(stop, || self.accounts.purge(PIECE)).await?;
        let days = self.retention_days;
        Ok(format!(
            "deleted {events} events and refusals older than {days} days, {requests} old requests, and {codes} codes and invitations that ended"
        ))
    }
}
