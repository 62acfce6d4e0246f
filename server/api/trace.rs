//! The span of a call: it goes on with the trace that its client began.

use ::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

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
    if !span.is_disabled() {
        let client = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        // It fails only where the span was begun, or nobody traces: then there is nothing to go on with.
        let _taken = span.set_parent(client).is_ok();
    }
    span
}

/// The headers of a request, as the propagator reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
