//! The HTTP edge: JSON for callers that do not speak gRPC, through the same door as theirs.

mod answer;
mod decimal;
mod headers;
mod problem;
pub(in crate::api) mod request;

use std::borrow::Cow;
use std::sync::Arc;

use ::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderMap, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;

use crate::api::http::request::TrackBody;
use crate::api::layers::auth::authenticate;
use crate::api::status;
use crate::api::track::Door;
use crate::config::ResetFormat;
use crate::fault::{Fault, Reason};
use crate::identity::keyring::Keyring;
use crate::identity::permission::Permission;
use crate::telemetry::scrub;
use crate::time::Clock;

pub(super) use crate::api::http::problem::Problem;

/// What the edge needs behind it.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Where calls are decided.
    pub door: Door,
    /// Who knows the callers.
    pub keyring: Arc<Keyring>,
    /// The clock that waiting times are counted from.
    pub clock: Arc<dyn Clock>,
    /// How moments are said.
    pub reset_format: ResetFormat,
    /// The largest body.
    pub body_bytes_max: usize,
}

impl Edge {
    /// The routes of the edge.
    pub fn routes(self) -> Router {
        Router::new().route("/api/track", post(track)).with_state(Arc::new(self))
    }

    async fn track(&self, request: Request) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        if parts.uri.query().is_some_and(|query| matches!(scrub(query), Cow::Owned(_))) {
            return Err(fault(&Spoken));
        }
        let caller = authenticate(&self.keyring, &parts.headers, &parts.extensions).await;
        let caller = caller.map_err(|error| fault(&error))?;
        caller.require(Permission::UsageTrack).map_err(|error| fault(&error))?;
        let body = self.read(&parts.headers, body).await?;
        let body: TrackBody = serde_json::from_slice(&body).map_err(|error| fault(&Unreadable(error)))?;
        let request = body.into_request().map_err(|error| fault(&error))?;
        let tracked = self.door.track(&caller, request).await.map_err(|error| fault(&error))?;
        Ok(answer::respond(tracked, self.clock.now(), self.reset_format))
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<axum::body::Bytes, Problem> {
        if headers.contains_key(CONTENT_ENCODING) || !is_json(headers) {
            let detail = "the body must be application/json, without a content coding";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", detail));
        }
        let too_large = || {
            let detail = format!("the body has more than {} bytes", self.body_bytes_max);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_FIELD", detail)
        };
        // Nobody waits for a body whose length alone is too much.
        let length =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > self.body_bytes_max) {
            return Err(too_large());
        }
        axum::body::to_bytes(body, self.body_bytes_max).await.map_err(|_| too_large())
    }
}

/// Addresses end in many logs: a credential in one is a credential that was told to others.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a credential stands in the address: send it in a header, and rotate it")]
struct Spoken;

impl Fault for Spoken {
    fn reason(&self) -> Reason {
        Reason::CredentialInvalid
    }
}

/// The body is not the JSON of a call.
#[derive(Debug, thiserror::Error)]
#[error("the body is not the JSON of a call: {0}")]
struct Unreadable(serde_json::Error);

impl Fault for Unreadable {
    fn reason(&self) -> Reason {
        Reason::InvalidField
    }
}

async fn track(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    edge.track(request).await.unwrap_or_else(Problem::into_response)
}

fn fault(fault: &dyn Fault) -> Problem {
    Problem::of_fault(&status::from_fault(fault))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}
