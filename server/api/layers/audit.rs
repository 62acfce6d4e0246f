//! Around every method that changes something: its entry in the audit log.

mod methods;

use std::future::Future;

use ::http::{Extensions, HeaderMap, Response};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::serve::peer;
use crate::api::status::{from_fault, reason_name};
use crate::fault::Fault;
use crate::identity::audit::entry::{Actor, Outcome};
use crate::identity::audit::note::{Note, noting};
use crate::identity::audit::{Action, Audit};
use crate::identity::caller::Caller;

pub(super) use crate::api::layers::audit::methods::is_audited;

/// Does the work of a call and keeps its entry. Where no intent can be kept the work is not done; where its entry cannot be
/// kept the caller does not learn how it went: both are UNAVAILABLE, and of the second a job makes the entry later.
pub(super) async fn witnessed<B: Default, E>(
    audit: &Audit,
    caller: &Caller,
    call: Seen,
    work: impl Future<Output = Result<Response<B>, E>>,
) -> Result<Response<B>, E> {
    let intent = match audit.begin(call.action(Some(caller))).await {
        Ok(intent) => intent,
        Err(error) => return Ok(from_fault(&error).into_http()),
    };
    let (answer, note) = noting(work).await;
    let answer = answer?;
    match audit.end(intent, note, outcome(answer.headers())).await {
        Ok(()) => Ok(answer),
        Err(error) => Ok(from_fault(&error).into_http()),
    }
}

/// Does the work of a call that anybody may make, and keeps its entry if it came to something. No intent is kept: whoever
/// can send a message could fill the log. For the same reason what was malformed or too much leaves no entry.
pub(super) async fn attempted<B: Default, E>(
    audit: &Audit,
    call: Seen,
    work: impl Future<Output = Result<Response<B>, E>>,
) -> Result<Response<B>, E> {
    let (answer, note) = noting(work).await;
    let answer = answer?;
    if matches!(code(answer.headers()), Code::InvalidArgument | Code::ResourceExhausted | Code::Unavailable) {
        return Ok(answer);
    }
    match audit.record(call.action(None), note, outcome(answer.headers())).await {
        Ok(()) => Ok(answer),
        Err(error) => Ok(from_fault(&error).into_http()),
    }
}

/// Keeps that a caller was refused.
pub(super) async fn refused<B: Default>(
    audit: &Audit,
    caller: &Caller,
    call: Seen,
    refusal: impl Fault + Send,
) -> Response<B> {
    let outcome = Outcome::Denied(reason_name(refusal.reason()).to_owned());
    match audit.record(call.action(Some(caller)), Note::default(), outcome).await {
        Ok(()) => from_fault(&refusal).into_http(),
        Err(error) => from_fault(&error).into_http(),
    }
}

/// What is seen of a call from outside.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    method: String,
    peer: String,
}

impl Seen {
    pub(super) fn new(path: &str, extensions: &Extensions) -> Self {
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        let peer = peer(extensions).map(|peer| peer.to_string()).unwrap_or_default();
        Self { method, peer }
    }

    fn action(self, caller: Option<&Caller>) -> Action {
        Action {
            actor: caller.map_or_else(Actor::anyone, Actor::of),
            scope: caller.and_then(Caller::tenant).map(ToString::to_string).unwrap_or_default(),
            method: self.method,
            peer: self.peer,
        }
    }
}

fn code(headers: &HeaderMap) -> Code {
    headers.get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

fn outcome(headers: &HeaderMap) -> Outcome {
    let code = code(headers);
    if code == Code::Ok {
        return Outcome::Done;
    }
    let status = Status::from_header_map(headers);
    let info = status.and_then(|status| status.get_details_error_info());
    let reason = info.map_or_else(|| format!("{code:?}"), |info| info.reason);
    match code {
        Code::PermissionDenied | Code::Unauthenticated => Outcome::Denied(reason),
        _ => Outcome::Failed(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Invalid;
    use crate::identity::caller::PermissionMissing;
    use crate::identity::permission::Permission;

    #[test]
    fn outcome_is_read_from_the_answer() {
        let check = |answer: Response<()>, expected: Outcome| {
            assert_eq!(outcome(answer.headers()), expected);
        };
        check(Response::new(()), Outcome::Done);
        check(
            from_fault(&Invalid::field("name", "is required")).into_http(),
            Outcome::Failed(String::from("INVALID_FIELD")),
        );
        check(
            from_fault(&PermissionMissing(Permission::KeysWrite)).into_http(),
            Outcome::Denied(String::from("PERMISSION_MISSING")),
        );
        check(Status::not_found("nobody").into_http(), Outcome::Failed(String::from("NotFound")));
    }
}
