//! How a failure is sent: from a fault of any room to a status with `ErrorInfo`, in this one place.

use std::collections::HashMap;
use std::time::Duration;

use tollgate_client::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use tracing::{Span, debug, error, warn};

use crate::fault::{Fault, Kind, Reason};
use crate::id;
use crate::telemetry::scrub;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "tollgate";
/// The queue of an overloaded server is empty again after about that long.
const OVERLOAD_RETRY: Duration = Duration::from_millis(100);
/// A status travels in the trailers, which clients bound to some kilobytes.
const VIOLATIONS_MAX: usize = 16;
const DESCRIPTION_CHARACTERS_MAX: usize = 160;
const MESSAGE_CHARACTERS_MAX: usize = 1_000;

/// The header of every answer that is an error: by it the call is found in the log, in Sentry and in its trace.
pub const CALL_ID: &str = "x-call-id";

/// The status of a fault, with an id by which the call is found again. What its caller cannot act on goes to the log.
#[must_use]
pub fn from_fault(fault: &dyn Fault) -> Status {
    let reason = fault.reason();
    let name = reason_name(reason);
    let call_id = id::fresh("call");
    let span = Span::current();
    span.record("call_id", call_id.as_str()).record("reason", name);
    let message = match reason.kind() {
        Kind::Internal => {
            span.record("otel.status_code", "ERROR");
            error!(%call_id, reason = name, error = chain(fault), "a defect ended a call: {fault}");
            format!("a defect of the server; its log has the details under `{call_id}`")
        }
        Kind::Unavailable => {
            span.record("otel.status_code", "ERROR");
            warn!(%call_id, reason = name, error = chain(fault), "a call could not be served: {fault}");
            fault.to_string()
        }
        _ => {
            // What the caller sent may stand in the fault's own words, and has no business in the log.
            debug!(%call_id, reason = name, "a call was answered with {name}");
            fault.to_string()
        }
    };
    let mut metadata = fault.metadata();
    metadata.push(("call_id", call_id.clone()));
    let metadata: HashMap<_, _> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), scrub(&value).into_owned())).collect();
    let mut details = ErrorDetails::with_error_info(name, DOMAIN, metadata);
    if !fault.violations().is_empty() {
        details.set_bad_request(violations(fault));
    }
    let overload = (reason == Reason::ServerOverloaded).then_some(OVERLOAD_RETRY);
    if let Some(retry_after) = fault.retry_after().or(overload) {
        details.set_retry_info(Some(retry_after));
    }
    let mut status =
        Status::with_error_details(code(reason.kind()), shortened(&message, MESSAGE_CHARACTERS_MAX), details);
    if let Ok(call_id) = call_id.parse() {
        status.metadata_mut().insert(CALL_ID, call_id);
    }
    status
}

/// A failed answer with its reason, where the transport failed it and knows no reasons: a message is too large, is
/// compressed, or is none.
pub(super) fn with_info<B: Default>(answer: ::http::Response<B>) -> ::http::Response<B> {
    let failed = answer.headers().get("grpc-status").is_some_and(|code| code != "0");
    if !failed || answer.headers().contains_key("grpc-status-details-bin") {
        return answer;
    }
    Status::from_header_map(answer.headers()).map_or(answer, |status| explained(&status).into_http())
}

/// What the transport says of a request, with its reason.
fn explained(status: &Status) -> Status {
    if !status.details().is_empty() {
        return status.clone();
    }
    let reason = match status.code() {
        Code::OutOfRange => Reason::MessageTooLarge,
        Code::Unimplemented => Reason::Unsupported,
        // It calls a request that it cannot read an internal error: that would page whoever runs the server.
        Code::Internal | Code::InvalidArgument => Reason::InvalidField,
        _ => return status.clone(),
    };
    let details = ErrorDetails::with_error_info(reason_name(reason), DOMAIN, HashMap::new());
    let message = shortened(status.message(), MESSAGE_CHARACTERS_MAX);
    let mut explained = Status::with_error_details(code(reason.kind()), message, details);
    // What is spoken instead is said there.
    *explained.metadata_mut() = status.metadata().clone();
    explained
}

/// The name of a reason as `ErrorInfo` has it, for example `INVALID_FIELD`.
#[must_use]
pub fn reason_name(reason: Reason) -> &'static str {
    let name = to_contract(reason).as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn violations(fault: &dyn Fault) -> Vec<FieldViolation> {
    let first = fault.violations().iter().take(VIOLATIONS_MAX);
    first
        .map(|wrong| {
            FieldViolation::new(
                shortened(&wrong.field, DESCRIPTION_CHARACTERS_MAX),
                shortened(&wrong.description, DESCRIPTION_CHARACTERS_MAX),
            )
        })
        .collect()
}

/// What a caller mistook for a field may be its key, and errors end in many logs.
fn shortened(text: &str, characters: usize) -> String {
    let text = scrub(text);
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.into_owned(),
    }
}

/// An error with all that caused it.
fn chain(fault: &dyn Fault) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::AlreadyExists,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Denied => Code::PermissionDenied,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

const fn to_contract(reason: Reason) -> ErrorReason {
    // A reason has one name on both sides; one that is missing here does not compile.
    macro_rules! same {
        ($($name:ident)*) => { match reason { $(Reason::$name => ErrorReason::$name,)* } };
    }
    same! {
        InvalidField PageTokenInvalid ResumeTokenInvalid QueryTooLarge CredentialMissing CredentialInvalid
        CredentialRevoked CredentialExpired CredentialAmbiguous PermissionMissing TenantForbidden
        TenantNotFound PlanNotFound PlanVersionNotFound ApiKeyNotFound EventNotFound ReservationNotFound
        EventConflict CompletionConflict RequestConflict TenantExists PlanExists PlanNotPublished
        ReservationSettled ReservationReleased ReservationExpired SettlementAboveHold WalletFull
        ServerOverloaded HashingBusy DecisionAbandoned StoreUnavailable FreshnessTimeout ShuttingDown
        Internal Unsupported JobNotFound SignUpClosed CodeInvalid PasswordWrong AddressTaken SecondFactorSet
        SecondFactorMissing InvitationNotFound InvitationsFull AccountExists JobRunning MessageTooLarge
        MemberNotFound RoleNotFound GrantExceedsOwn LastOwner RoleExists RoleInUse RosterFull LoginFailed
        LoginLocked SecondFactorRequired RefreshTokenInvalid SessionNotFound SessionRequired
        ApiKeyRestricted ApiKeyEnded TenantDeleted TenantEnded UserEnded UserNotFound
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::fault::{Invalid, Violation};
    use crate::identity::caller::PermissionMissing;
    use crate::identity::permission::Permission;
    use crate::store::StoreError;

    const CONTRACT: &str = include_str!("../../proto/tollgate/v1/error_reason.proto");

    /// Every reason of the contract, with the reason of the server that it is; both ways are exhaustive.
    fn from_contract(reason: ErrorReason) -> Option<Reason> {
        Some(match reason {
            ErrorReason::Unspecified => return None,
            ErrorReason::InvalidField => Reason::InvalidField,
            ErrorReason::PageTokenInvalid => Reason::PageTokenInvalid,
            ErrorReason::ResumeTokenInvalid => Reason::ResumeTokenInvalid,
            ErrorReason::QueryTooLarge => Reason::QueryTooLarge,
            ErrorReason::CredentialMissing => Reason::CredentialMissing,
            ErrorReason::CredentialInvalid => Reason::CredentialInvalid,
            ErrorReason::CredentialRevoked => Reason::CredentialRevoked,
            ErrorReason::CredentialExpired => Reason::CredentialExpired,
            ErrorReason::CredentialAmbiguous => Reason::CredentialAmbiguous,
            ErrorReason::PermissionMissing => Reason::PermissionMissing,
            ErrorReason::TenantForbidden => Reason::TenantForbidden,
            ErrorReason::TenantNotFound => Reason::TenantNotFound,
            ErrorReason::PlanNotFound => Reason::PlanNotFound,
            ErrorReason::PlanVersionNotFound => Reason::PlanVersionNotFound,
            ErrorReason::ApiKeyNotFound => Reason::ApiKeyNotFound,
            ErrorReason::EventNotFound => Reason::EventNotFound,
            ErrorReason::ReservationNotFound => Reason::ReservationNotFound,
            ErrorReason::EventConflict => Reason::EventConflict,
            ErrorReason::CompletionConflict => Reason::CompletionConflict,
            ErrorReason::RequestConflict => Reason::RequestConflict,
            ErrorReason::TenantExists => Reason::TenantExists,
            ErrorReason::PlanExists => Reason::PlanExists,
            ErrorReason::PlanNotPublished => Reason::PlanNotPublished,
            ErrorReason::ReservationSettled => Reason::ReservationSettled,
            ErrorReason::ReservationReleased => Reason::ReservationReleased,
            ErrorReason::ReservationExpired => Reason::ReservationExpired,
            ErrorReason::SettlementAboveHold => Reason::SettlementAboveHold,
            ErrorReason::WalletFull => Reason::WalletFull,
            ErrorReason::ServerOverloaded => Reason::ServerOverloaded,
            ErrorReason::HashingBusy => Reason::HashingBusy,
            ErrorReason::DecisionAbandoned => Reason::DecisionAbandoned,
            ErrorReason::StoreUnavailable => Reason::StoreUnavailable,
            ErrorReason::FreshnessTimeout => Reason::FreshnessTimeout,
            ErrorReason::ShuttingDown => Reason::ShuttingDown,
            ErrorReason::Internal => Reason::Internal,
            ErrorReason::Unsupported => Reason::Unsupported,
            ErrorReason::JobNotFound => Reason::JobNotFound,
            ErrorReason::SignUpClosed => Reason::SignUpClosed,
            ErrorReason::CodeInvalid => Reason::CodeInvalid,
            ErrorReason::PasswordWrong => Reason::PasswordWrong,
            ErrorReason::AddressTaken => Reason::AddressTaken,
            ErrorReason::SecondFactorSet => Reason::SecondFactorSet,
            ErrorReason::SecondFactorMissing => Reason::SecondFactorMissing,
            ErrorReason::InvitationNotFound => Reason::InvitationNotFound,
            ErrorReason::InvitationsFull => Reason::InvitationsFull,
            ErrorReason::AccountExists => Reason::AccountExists,
            ErrorReason::JobRunning => Reason::JobRunning,
            ErrorReason::MessageTooLarge => Reason::MessageTooLarge,
            ErrorReason::MemberNotFound => Reason::MemberNotFound,
            ErrorReason::RoleNotFound => Reason::RoleNotFound,
            ErrorReason::GrantExceedsOwn => Reason::GrantExceedsOwn,
            ErrorReason::LastOwner => Reason::LastOwner,
            ErrorReason::RoleExists => Reason::RoleExists,
            ErrorReason::RoleInUse => Reason::RoleInUse,
            ErrorReason::RosterFull => Reason::RosterFull,
            ErrorReason::LoginFailed => Reason::LoginFailed,
            ErrorReason::LoginLocked => Reason::LoginLocked,
            ErrorReason::SecondFactorRequired => Reason::SecondFactorRequired,
            ErrorReason::RefreshTokenInvalid => Reason::RefreshTokenInvalid,
            ErrorReason::SessionNotFound => Reason::SessionNotFound,
            ErrorReason::SessionRequired => Reason::SessionRequired,
            ErrorReason::ApiKeyRestricted => Reason::ApiKeyRestricted,
            ErrorReason::ApiKeyEnded => Reason::ApiKeyEnded,
            ErrorReason::TenantDeleted => Reason::TenantDeleted,
            ErrorReason::TenantEnded => Reason::TenantEnded,
            ErrorReason::UserEnded => Reason::UserEnded,
            ErrorReason::UserNotFound => Reason::UserNotFound,
        })
    }

    #[test]
    fn reasons_of_the_server_are_those_of_the_contract() {
        let numbers = (0..1_000).filter_map(|number| ErrorReason::try_from(number).ok());
        let mut known = 0;
        for in_contract in numbers {
            let Some(reason) = from_contract(in_contract) else { continue };
            assert_eq!(to_contract(reason), in_contract);
            let name = format!("{reason:?}");
            assert_eq!(reason_name(reason).replace('_', "").to_lowercase(), name.to_lowercase());
            known += 1;
        }
        assert_eq!(known, in_contract());
    }

    #[test]
    fn each_reason_has_the_code_that_the_contract_says() {
        let mut said = None;
        let mut checked = 0;
        for line in CONTRACT.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("// ") {
                let word = comment.split(['.', ' ']).next().unwrap_or_default();
                said = said.or_else(|| Code::from_name(word));
            } else if let Some((name, _)) =
                line.split_once(" = ").filter(|(name, _)| name.starts_with("ERROR_"))
            {
                let in_contract = ErrorReason::from_str_name(name).unwrap();
                if let Some(reason) = from_contract(in_contract) {
                    assert_eq!(Some(code(reason.kind())), said, "{name}");
                    checked += 1;
                }
                said = None;
            }
        }
        assert_eq!(checked, in_contract());
    }

    /// How many reasons the contract has.
    fn in_contract() -> usize {
        let values = CONTRACT.lines().filter(|line| line.trim().starts_with("ERROR_REASON_"));
        values.count() - 1
    }

    trait FromName: Sized {
        fn from_name(name: &str) -> Option<Self>;
    }

    impl FromName for Code {
        fn from_name(name: &str) -> Option<Self> {
            (1..=16).map(Self::from_i32).find(|code| {
                let words = format!("{code:?}");
                name.replace('_', "").eq_ignore_ascii_case(&words) && name.to_uppercase() == name
            })
        }
    }

    #[test]
    fn wrong_fields_are_named_within_bounds() {
        let long = Violation { field: String::from("event.id"), description: "x".repeat(100_000) };
        let status = from_fault(&Invalid(vec![long; 500]));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().chars().count() <= 1_001);
        let details = status.get_error_details();
        let wrong = details.bad_request().unwrap();
        assert_eq!(
            (wrong.field_violations.len(), wrong.field_violations[0].field.as_str()),
            (16, "event.id")
        );
        assert!(status.details().len() < 4_096, "{} bytes", status.details().len());
    }

    #[test]
    fn missing_permission_is_named() {
        let status = from_fault(&PermissionMissing(Permission::TenantsWrite));
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("PERMISSION_MISSING", "tollgate"));
        assert_eq!(info.metadata["permission"], "tenants.write");
    }

    #[test]
    fn defect_shows_its_call_id_and_nothing_else() {
        let status = from_fault(&StoreError::corrupt("wallet `secret`", "byte 7"));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret") && !status.message().contains("byte"));
        let details = status.get_error_details();
        let call_id = &details.error_info().unwrap().metadata["call_id"];
        assert!(call_id.starts_with("call_") && status.message().contains(call_id));
        let status = from_fault(&StoreError::unavailable("disk /dev/secret"));
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the store is unavailable"));
    }
}
