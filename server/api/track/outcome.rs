//! `Complete`: outcomes that come after their calls.

use tollgate_client::v1;

use super::event::{Check, outcome};
use super::{Door, DoorError, bounded, durability, item_error, subject};
use crate::fault::Invalid;
use crate::identity::caller::Caller;
use crate::identity::directory::TenantEntry;
use crate::ledger::admission::{Completed, Completing, Completion};

impl Door {
    /// Adds outcomes to events, each on its own.
    pub async fn complete(
        &self,
        caller: &Caller,
        request: v1::CompleteRequest,
    ) -> Result<v1::CompleteResponse, DoorError> {
        bounded("completions", request.completions.len())?;
        let entry = self.resolver.tenant(caller, &request.tenant_id).await?;
        let mut begun = Vec::with_capacity(request.completions.len());
        for completion in request.completions {
            let id = completion.event_id.clone();
            begun.push((id, self.begin_completion(&entry, completion).await));
        }
        let mut results = Vec::with_capacity(begun.len());
        for (event_id, completing) in begun {
            let finished = match completing {
                Ok(completing) => completing.finish().await.map_err(DoorError::from),
                Err(error) => Err(error),
            };
            results.push(match finished {
                Ok(Completed { replayed, kept }) => {
                    let durability = durability(kept).into();
                    v1::CompleteResult { event_id, replayed, durability, error: None }
                }
                Err(error) => {
                    let error = Some(item_error(&error));
                    v1::CompleteResult { event_id, error, ..v1::CompleteResult::default() }
                }
            });
        }
        Ok(v1::CompleteResponse { results })
    }

    async fn begin_completion(
        &self,
        entry: &TenantEntry,
        completion: v1::Completion,
    ) -> Result<Completing, DoorError> {
        let completion = checked(completion)?;
        Ok(self.ledger.admission.complete(subject(entry, None), completion).await?)
    }
}

fn checked(completion: v1::Completion) -> Result<Completion, Invalid> {
    let v1::Completion { event_id, status_code, latency, tokens, quantities } = completion;
    let mut check = Check::default();
    check.id("event_id", &event_id);
    if status_code == 0 {
        check.wrong("status_code", "is missing");
    }
    let outcome = outcome(&mut check, "", status_code, latency, tokens, quantities);
    check.done()?;
    Ok(Completion { event_id, outcome })
}
