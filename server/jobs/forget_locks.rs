//! Deletes locks of logins that have ended, and networks that are known no longer.

use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::identity::lockout::Lockout;
use crate::jobs::pieces::{PIECE, in_pieces};
use crate::jobs::runner::Job;
use crate::jobs::schedule::Schedule;
use crate::store::StoreError;

const MINUTES: NonZeroU16 = NonZeroU16::new(60).expect("sixty is above zero");

/// Deletes locks of logins that have ended, and networks that are known no longer.
#[derive(Debug)]
pub struct ForgetLocks {
    /// Who locks.
    pub lockout: Arc<Lockout>,
}

#[async_trait]
impl Job for ForgetLocks {
    fn name(&self) -> &'static str {
        "forget_locks"
    }

    fn description(&self) -> &'static str {
        "Deletes locks of logins that have ended, and notes of networks that people logged in from long ago."
    }

    fn schedule(&self) -> Schedule {
        Schedule::EveryMinutes(MINUTES)
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        let notes = in_pieces(stop, || self.lockout.purge(PIECE)).await?;
        Ok(format!("deleted {notes} locks and notes of logins"))
    }
}
