//! What went wrong, as RFC 9457 has it.

use ::http::StatusCode;
use ::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal or a fault as `application/problem+json`.
#[derive(Clone, Debug, Serialize)]
pub(in crate::api) struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    reason: String,
    detail: String,
}

impl Problem {
    /// `reason` is an `ErrorReason` or a `DenialReason` by name, without its prefix.
    pub(in crate::api) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("urn:tollgate:{}", reason.to_ascii_lowercase()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            reason: reason.to_owned(),
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
