//! Writes the entries of actions whose server ended half way.

use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::identity::audit::Audit;
use crate::jobs::pieces::{PIECE, in_pieces};
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::store::StoreError;

const MINUTES: NonZeroU16 = NonZeroU16::new(5).expect("five is above zero");

/// Writes the entries of actions whose server ended half way.
#[derive(Debug)]
pub struct CloseAudit {
    /// The audit log.
    pub audit: Arc<Audit>,
}

#[async_trait]
impl Job for CloseAudit {
    fn name(&self) -> &'static str {
        "close_audit"
    }

    fn description(&self) -> &'static str {
        "Writes the audit entries of actions whose server ended half way."
    }

    fn schedule(&self) -> Schedule {
        Schedule::EveryMinutes(MINUTES)
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        let entries = in_pieces(stop, || self.audit.sweep(PIECE)).await?;
        Ok(format!("wrote {entries} entries"))
    }
}
