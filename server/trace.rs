//! The way that a call takes through the rooms, for those who trace it.
//!
//! A span is made with `tracing::debug_span!`, or around a whole function with
//! `#[tracing::instrument(level = "debug", skip_all, name = "documents.get", target = "tollgate::store")]`: by what is
//! done, with no field that a caller filled freely. The target says where: `tollgate::call`, `::admission`, `::journal`,
//! `::store` and `::broker`. While nobody traces, the level alone says so, and no span is made.

use tracing::{Level, Span};

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
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
}

/// Points from work that is done for many calls at once to each of them: it is a child of none.
pub fn link<'a>(work: &Span, origins: impl Iterator<Item = &'a Origin>) {
    if work.is_disabled() {
        return;
    }
    for origin in origins.filter_map(|origin| origin.0.as_deref()).take(LINKS_MAX) {
        work.add_link(origin.clone());
    }
}
