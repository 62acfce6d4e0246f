//! The way that a call takes through the rooms, for those who trace it.
//!
//! A span is made with `tracing::debug_span!`, or around a whole function with
//! `#[tracing::instrument(level = "debug", skip_all, name = "documents.get", target = "tollgate::store")]`: by what is
//! done, with no field that a caller filled freely. The target says where: `tollgate::call`, `::admission`, `::journal`,
//! `::store` and `::broker`. While nobody traces, the level alone says so, and no span is made.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Calls that one span of shared work points to, at most.
const LINKS_MAX: usize = 64;

/// Which call asked for something that others go on with. Empty where nobody traces it.
#[derive(Clone, Debug, Default)]
pub struct Origin(Option<Box<SpanContext>>);

impl Origin {
    /// The call that runs here.
    #[must_use]
    pub fn here() -> Self {
        if !tracing::span_enabled!(target: "tollgate::call", Level::DEBUG) {
            return Self(None);
        }
        let context = Span::current().context();
        let span = context.span().span_context().clone();
        Self(span.is_sampled().then(|| Box::new(span)))
    }

    /// Some traced call.
    #[cfg(test)]
    pub(crate) fn sampled() -> Self {
        use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        Self(Some(Box::new(SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE))))
    }
}

/// Of these calls those that a span would point to.
pub fn linkable<'a>(origins: impl Iterator<Item = &'a Origin>) -> impl Iterator<Item = &'a Origin> {
    origins.filter(|origin| origin.0.is_some()).take(LINKS_MAX)
}

/// Points from work that is done for many calls at once to each of them: it is a child of none.
pub fn link<'a>(work: &Span, origins: impl Iterator<Item = &'a Origin>) {
    if work.is_disabled() {
        return;
    }
    for origin in linkable(origins).filter_map(|origin| origin.0.as_deref()) {
        work.add_link(origin.clone());
    }
}

/// Makes a span go on with the trace that a client began, where it says so: of what it sent, `header` finds W3C's
/// `traceparent` and `tracestate`.
pub fn go_on<'a>(span: &Span, header: &'a dyn Fn(&str) -> Option<&'a str>) {
    if span.is_disabled() {
        return;
    }
    let client = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(header));
    // It fails only where the span was begun, or nobody traces: then there is nothing to go on with.
    let _taken = span.set_parent(client).is_ok();
}

/// The headers of a request, as the propagator reads them.
struct Headers<'a>(&'a dyn Fn(&str) -> Option<&'a str>);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        (self.0)(name)
    }

    /// Which there are does not matter: the propagator knows its own.
    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}
