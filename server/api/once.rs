//! A method that changes something, made safe to repeat: a retry gets the first answer.

use std::future::Future;

use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::api::status::from_fault;
use crate::fault::Fault;
use crate::identity::caller::Caller;
use crate::identity::requests::{Begun, Request, Requests};
use crate::store::StoreError;

/// A call that its caller may repeat.
#[derive(Debug)]
pub(super) struct Call<'a, M> {
    /// Who calls.
    pub(super) caller: &'a Caller,
    /// The method.
    pub(super) method: &'static str,
    /// The id that the caller gave the request; may be empty.
    pub(super) request_id: &'a str,
    /// The request.
    pub(super) request: &'a M,
}

/// Does the work of a call, or answers what it answered before.
///
/// All ids of the work are made of the seed it is given. `redact` takes out of the answer what nobody may see twice.
pub(super) async fn once<M: Message, A: Message + Default + Clone, E: Fault, W>(
    requests: &Requests,
    call: Call<'_, M>,
    redact: impl FnOnce(&mut A),
    work: impl FnOnce(Uuid) -> W,
) -> Result<A, Status>
where
    W: Future<Output = Result<A, E>>,
{
    let request = Request {
        scope: &call.caller.scope(),
        method: call.method,
        id: call.request_id,
        payload: &call.request.encode_to_vec(),
    };
    let todo = match requests.begin(request).await.map_err(|error| from_fault(&error))? {
        Begun::Do(todo) => todo,
        Begun::Done(answer) => {
            return A::decode(answer.as_slice()).map_err(|error| from_fault(&unreadable(&call, error)));
        }
    };
    let answer = work(todo.seed).await.map_err(|error| from_fault(&error))?;
    let mut kept = answer.clone();
    redact(&mut kept);
    requests.finish(&todo, &kept.encode_to_vec()).await.map_err(|error| from_fault(&error))?;
    Ok(answer)
}

/// Nothing is taken out of an answer that has no secret.
pub(super) const fn whole<A>(_answer: &mut A) {}

fn unreadable<M>(call: &Call<'_, M>, error: prost::DecodeError) -> StoreError {
    StoreError::corrupt(format!("the answer to {} `{}`", call.method, call.request_id), error)
}
