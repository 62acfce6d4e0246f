//! Outcomes that come after their calls, each once (T8).

use std::sync::Arc;

use prost::Message as _;

use super::{Admission, AdmissionError};
use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::counters::Completed;
use crate::ledger::entry::Head;
use crate::ledger::event::{self, KeyKind, Outcome};
use crate::ledger::events::Placed;
use crate::ledger::queue::Commit;
use crate::ledger::record::{Body, Completion as CompletionRecord};

/// The outcome of one call.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The id that the call was tracked with.
    pub event_id: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// An outcome on its way to the journal.
#[derive(Debug)]
pub struct Completing {
    replayed: bool,
    commit: Option<Commit>,
}

impl Completing {
    /// Waits until it is durable; answers whether it was added before.
    pub async fn finish(self) -> Result<bool, AdmissionError> {
        if let Some(commit) = self.commit {
            commit.wait().await?;
        }
        Ok(self.replayed)
    }
}

impl Admission {
    /// Adds an outcome to an event that was tracked before.
    pub async fn complete(
        &self,
        tenant: &Arc<str>,
        completion: Completion,
    ) -> Result<Completing, AdmissionError> {
        let place = self.queue.place()?;
        let event = event::key(tenant, KeyKind::Event, &completion.event_id);
        let payload = event::payload(b'c', &completion.outcome.encode_to_vec());
        let replayed = match self.counters.complete(tenant, event, payload).await? {
            Completed::Fresh => false,
            Completed::Replayed { durable: true } => return Ok(Completing { replayed: true, commit: None }),
            Completed::Replayed { durable: false } => true,
            Completed::Conflict => return Err(AdmissionError::CompletionConflict(completion.event_id)),
            Completed::Unknown => match self.look_up(event, payload).await? {
                Some(Placed::Fresh) => false,
                Some(Placed::Replay | Placed::Duplicate) => {
                    return Ok(Completing { replayed: true, commit: None });
                }
                Some(Placed::Conflict) => {
                    return Err(AdmissionError::CompletionConflict(completion.event_id));
                }
                None => return Err(AdmissionError::EventUnknown(completion.event_id)),
            },
        };
        let key = event.completion();
        let counter_epoch = self.queue.head().epoch;
        let head = Head { tenant, key, payload, counter_epoch };
        let Completion { event_id, outcome } = completion;
        let body = Body::Completion(CompletionRecord { event_id, outcome });
        let commit = place.commit(head.record(self.counters.now(), 0, body), Some((Arc::clone(tenant), key)));
        Ok(Completing { replayed, commit: Some(commit) })
    }

    /// What the ledger knows of an event whose mark is gone. `None`: it does not know the event.
    async fn look_up(&self, event: EventKey, payload: PayloadHash) -> Result<Option<Placed>, AdmissionError> {
        self.loader.settled().await?;
        if self.events.get(&[event]).await?.into_iter().flatten().next().is_none() {
            return Ok(None);
        }
        let known = self.events.amendment(event.completion()).await?;
        Ok(Some(match known {
            None => Placed::Fresh,
            Some(known) if known.payload == payload => Placed::Duplicate,
            Some(_) => Placed::Conflict,
        }))
    }
}
