//! What went wrong, as RFC 9457 has it.

use ::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use ::http::{HeaderMap, StatusCode};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::http::answer::Answer;
use crate::api::http::request::field_name;
use crate::api::status::CALL_ID;

/// A refusal or a fault as `application/problem+json`.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<FieldProblem>,
    #[serde(flatten)]
    body: Body,
    #[serde(skip)]
    retry_after_seconds: Option<u64>,
    #[serde(skip)]
    call_id: Option<HeaderValue>,
}

/// A refusal has all that an answer has, its reason too.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Fault { reason: String },
    Refusal(Box<Answer>),
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize)]
struct FieldProblem {
    field: String,
    description: String,
}

impl Problem {
    /// `reason` is an `ErrorReason` or a `DenialReason` by name, without its prefix.
    pub(in crate::api) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("urn:tollgate:{}", reason.to_ascii_lowercase()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            violations: Vec::new(),
            body: Body::Fault { reason: reason.to_owned() },
            retry_after_seconds: None,
            call_id: None,
        }
    }

    /// The same fault as a gRPC client would see.
    pub(in crate::api) fn of_fault(fault: &Status) -> Self {
        let details = fault.get_error_details();
        let reason = details.error_info().map_or("INTERNAL", |info| info.reason.as_str());
        let mut problem = Self::new(fault_status(fault.code()), reason, fault.message());
        if let Some(bad) = details.bad_request() {
            let each = bad.field_violations.iter();
            problem.violations = each
                .map(|wrong| FieldProblem {
                    field: field_name(&wrong.field).to_owned(),
                    description: wrong.description.clone(),
                })
                .collect();
            // The fault's own words name the contract's fields.
            let each =
                problem.violations.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description));
            problem.detail = each.collect::<Vec<_>>().join("; ");
        }
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        problem.retry_after_seconds =
            delay.map(|delay| delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1));
        problem.call_id =
            fault.metadata().get(CALL_ID).and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        problem
    }

    /// The same, with the whole answer in it.
    pub(super) fn with_answer(mut self, answer: Answer) -> Self {
        self.body = Body::Refusal(Box::new(answer));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(call_id) = self.call_id.clone() {
            headers.insert(CALL_ID, call_id);
        }
        let mut response = (status, headers, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// How a fault is said over HTTP.
const fn fault_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    async fn read(problem: Problem) -> (StatusCode, HeaderMap, String) {
        let (parts, body) = problem.into_response().into_parts();
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_fault_says_over_http_what_it_says_over_grpc() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_FIELD", "tollgate", std::collections::HashMap::new());
        details.add_bad_request_violation("event.service", "is empty");
        let fault = Status::with_error_details(Code::InvalidArgument, "event.service: is empty", details);
        let (status, headers, body) = read(Problem::of_fault(&fault)).await;
        assert_eq!(StatusCode::BAD_REQUEST, status);
        assert_eq!("application/problem+json", headers["content-type"]);
        assert_eq!(
            r#"{"type":"urn:tollgate:invalid_field","title":"Bad Request","status":400,"detail":"service_name: is empty","violations":[{"field":"service_name","description":"is empty"}],"reason":"INVALID_FIELD"}"#,
            body
        );
    }

    #[tokio::test]
    async fn an_overloaded_server_says_when_to_come_back() {
        let mut details = ErrorDetails::new();
        details.set_error_info("SERVER_OVERLOADED", "tollgate", std::collections::HashMap::new());
        details.set_retry_info(Some(Duration::from_millis(1_200)));
        let fault = Status::with_error_details(Code::ResourceExhausted, "later", details);
        let (status, headers, _) = read(Problem::of_fault(&fault)).await;
        assert_eq!(StatusCode::SERVICE_UNAVAILABLE, status);
        assert_eq!("2", headers["retry-after"]);
    }

    #[tokio::test]
    async fn who_is_not_known_is_asked_for_a_credential() {
        let (status, headers, body) = read(Problem::of_fault(&Status::unauthenticated("who?"))).await;
        assert_eq!(
            (StatusCode::UNAUTHORIZED, "Bearer"),
            (status, headers["www-authenticate"].to_str().unwrap())
        );
        assert!(body.contains("who?"));
    }
}
