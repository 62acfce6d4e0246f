//! Lets another key sign tokens each month.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::identity::signing_keys::{Rotated, SigningKeys};
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::store::StoreError;

/// Lets the announced key sign where another one has signed for thirty days.
#[derive(Debug)]
pub struct RotateSigningKeys {
    /// The keys.
    pub signing_keys: Arc<SigningKeys>,
}

#[async_trait]
impl Job for RotateSigningKeys {
    fn name(&self) -> &'static str {
        "rotate_signing_keys"
    }

    fn description(&self) -> &'static str {
        "Lets another key sign tokens where one has signed for 30 days."
    }

    fn schedule(&self) -> Schedule {
        Schedule::Daily { hour: 4, minute: 0 }
    }

    async fn run(&self, _stop: &CancellationToken) -> Result<String, StoreError> {
        let done = match self.signing_keys.rotate_when_due().await? {
            Rotated::Yes => "another key signs",
            Rotated::NotYet => "the key that signs has not signed for 30 days",
        };
        Ok(done.to_owned())
    }
}
