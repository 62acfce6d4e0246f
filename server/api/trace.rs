//! The span of a call: it goes on with the trace that its client began.

use ::http::HeaderMap;
use tracing::Span;
use tracing::field::Empty;

use crate::trace;

/// The span of a call of that method; none while nobody traces. Of what the client sent, only W3C's `traceparent` and
/// `tracestate` are read.
pub(super) fn call(method: &str, headers: &HeaderMap) -> Span {
    let span = tracing::debug_span!(
        target: "tollgate::call",
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        code = Empty,
        call_id = Empty,
        reason = Empty,
    );
    trace::go_on(&span, &|name| headers.get(name)?.to_str().ok());
    span
}
