//! Deletes the changes that every server has heard of.

use std::num::NonZeroU16;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::jobs::pieces::{PIECE, in_pieces};
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::store::StoreError;
use crate::store::changes::Teller;

const MINUTES: NonZeroU16 = NonZeroU16::new(10).expect("ten is above zero");

/// Deletes the changes that every server has heard of.
#[derive(Debug)]
pub struct ForgetChanges {
    /// Those who tell of changes.
    pub teller: Teller,
}

#[async_trait]
impl Job for ForgetChanges {
    fn name(&self) -> &'static str {
        "forget_changes"
    }

    fn description(&self) -> &'static str {
        "Deletes notes of changed keys, tenants and plans that every server has read."
    }

    fn schedule(&self) -> Schedule {
        Schedule::EveryMinutes(MINUTES)
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        let changes = in_pieces(stop, || self.teller.purge(PIECE)).await?;
        Ok(format!("deleted {changes} changes"))
    }
}
