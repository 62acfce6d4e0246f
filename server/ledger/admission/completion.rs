//! Outcomes that come after their calls, each once (T8).

use std::sync::Arc;

use prost::Message as _;

use super::{Admission, AdmissionError, Subject};
use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::counters;
use crate::ledger::entry::{Change, Head};
use crate::ledger::event::{self, KeyKind, Outcome};
use crate::ledger::events::{Events, Placed};
use crate::ledger::loader::Loader;
use crate::ledger::queue::{Commit, Kept, Place};
use crate::ledger::record::{Body, Completion as CompletionRecord};

/// The outcome of one call.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The id that the call was tracked with.
    pub event_id: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// An outcome that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Whether it was added before.
    pub replayed: bool,
    /// How safely it is kept.
    pub kept: Kept,
}

/// An outcome on its way to the journal.
#[derive(Debug)]
pub struct Completing {
    replayed: bool,
    commit: Option<Commit>,
    unmarked: Option<Unmarked>,
}

/// An outcome of an event without a mark: only the ledger knows whether another one came before it.
#[derive(Debug)]
struct Unmarked {
    events: Arc<dyn Events>,
    loader: Arc<Loader>,
    key: EventKey,
    payload: PayloadHash,
    event_id: String,
}

impl Completing {
    /// Waits until it is durable.
    pub async fn finish(self) -> Result<Completed, AdmissionError> {
        let kept = match self.commit {
            Some(commit) => commit.wait().await?,
            None => Kept::Committed,
        };
        if let Some(unmarked) = self.unmarked.filter(|_| kept == Kept::Committed) {
            unmarked.check().await?;
        }
        Ok(Completed { replayed: self.replayed, kept })
    }

    const fn known() -> Self {
        Self { replayed: true, commit: None, unmarked: None }
    }
}

impl Unmarked {
    async fn check(self) -> Result<(), AdmissionError> {
        self.loader.settled().await?;
        match self.events.amendment(self.key).await? {
            Some(kept) if kept.payload != self.payload => {
                Err(AdmissionError::CompletionConflict(self.event_id))
            }
            _ => Ok(()),
        }
    }
}

impl Admission {
    /// Adds an outcome to an event that was tracked before.
    pub async fn complete(
        &self,
        subject: Subject<'_>,
        completion: Completion,
    ) -> Result<Completing, AdmissionError> {
        let tenant = subject.tenant;
        let event = event::key(tenant, KeyKind::Event, &completion.event_id);
        let payload = event::payload(b'c', &completion.outcome.encode_to_vec());
        let mut place = Some(self.queue.place()?);
        let mut completed = self.counters.complete(tenant, event, payload).await?;
        if completed == counters::Completed::Unknown {
            // The mark may only not be loaded yet; a load while the ledger is asked would not know of this outcome.
            drop(place.take());
            self.loader.load(tenant).await?;
            place = Some(self.queue.place()?);
            completed = self.counters.complete(tenant, event, payload).await?;
        }
        let mut unmarked = None;
        let replayed = match completed {
            counters::Completed::Fresh => false,
            counters::Completed::Replayed { durable: true } => return Ok(Completing::known()),
            counters::Completed::Replayed { durable: false } => true,
            counters::Completed::Conflict => {
                return Err(AdmissionError::CompletionConflict(completion.event_id));
            }
            counters::Completed::Unknown => match self.look_up(event, payload, &mut place).await? {
                Some(Placed::Fresh) => {
                    let (events, loader) = (Arc::clone(&self.events), Arc::clone(&self.loader));
                    let (key, event_id) = (event.completion(), completion.event_id.clone());
                    unmarked = Some(Unmarked { events, loader, key, payload, event_id });
                    false
                }
                Some(Placed::Replay | Placed::Duplicate) => return Ok(Completing::known()),
                Some(Placed::Conflict) => {
                    return Err(AdmissionError::CompletionConflict(completion.event_id));
                }
                None => return Err(AdmissionError::EventUnknown(completion.event_id)),
            },
        };
        let key = event.completion();
        let head = Head { tenant, key, payload };
        let Completion { event_id, outcome } = completion;
        let body = Body::Completion(CompletionRecord { event_id, outcome });
        let place = match place {
            Some(place) => place,
            None => self.queue.place()?,
        };
        let commit = place
            .commit(head.record(self.counters.now(), Change::NONE, body), Some((Arc::clone(tenant), key)));
        Ok(Completing { replayed, commit: Some(commit), unmarked })
    }

    /// What the ledger knows of an event whose mark is gone. `None`: it does not know the event.
    /// The place is given back meanwhile, so that nobody who asks for an unknown event holds low-water back.
    async fn look_up<'a>(
        &'a self,
        event: EventKey,
        payload: PayloadHash,
        place: &mut Option<Place<'a>>,
    ) -> Result<Option<Placed>, AdmissionError> {
        drop(place.take());
        self.loader.settled().await?;
        *place = Some(self.queue.place()?);
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
