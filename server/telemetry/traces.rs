//! The spans of calls, sent to a collector of OpenTelemetry: in batches, from a queue with a bound, and nobody waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use metrics::counter;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult, SdkTracerProvider,
    ShouldSample, SpanData, SpanExporter,
};
use tonic::transport::{Channel, Endpoint};
use tracing::{Level, Metadata, Subscriber, warn};
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TracesConfig;
use crate::connector::{self, AddressError, Alpn, Connector};
use crate::id;
use crate::telemetry::SPANS_LOST;

/// Spans that wait, at most; more are dropped.
const WAITING_MAX: usize = 4_096;
/// Spans that go at once, at most.
const BATCH_MAX: usize = 512;
/// How long spans wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What all our targets begin with.
const OWN: &str = "tollgate";

/// Spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address is not usable.
    #[error("the setting `endpoint` of `traces` cannot be used: {0}")]
    Endpoint(#[from] AddressError),
    /// The exporter cannot be made.
    #[error("no exporter for traces")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// The tracer of this process. It must be made where a runtime is.
pub(super) fn provider(config: &TracesConfig) -> Result<SdkTracerProvider, TracesError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_channel(channel(&config.endpoint)?)
        .with_timeout(PATIENCE)
        .build()
        .map_err(TracesError::Exporter)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(DELAY)
        .build();
    let exporter = Exporter { inner: exporter, failing: AtomicBool::new(false) };
    let resource = Resource::builder_empty()
        .with_service_name("tollgate")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", id::fresh("node")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .with_sampler(Entrances { some: Sampler::TraceIdRatioBased(config.sample_ratio.get()) })
        .with_resource(resource)
        .build())
}

/// What turns our spans into those of the tracer. What is logged does not become a part of them.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let own: FilterFn<fn(&Metadata<'_>) -> bool> = filter_fn(is_own_span as fn(&Metadata<'_>) -> bool);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(OWN))
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(true)
        .with_tracked_inactivity(false)
        .with_filter(own.with_max_level_hint(LevelFilter::DEBUG))
}

fn is_own_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::DEBUG && metadata.target().starts_with(OWN)
}

fn channel(endpoint: &str) -> Result<Channel, TracesError> {
    let address: Uri = endpoint.parse().map_err(|_| AddressError::Malformed)?;
    let connector = Connector::to(&address, connector::system_roots)?;
    let authority = address.authority().map_or("", |authority| authority.as_str());
    // The connector does what `https` asks for; to tonic, which has no TLS of its own here, it is a plain connection.
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|_| AddressError::Malformed)?
        .origin(address)
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move { connector.connect(Alpn::Http2).await.map(TokioIo::new) }
    })))
}

/// Which spans are sent: those of a traced call; of the others that come in, a part. What nobody called for, such as a
/// round of the fold, is no trace.
#[derive(Clone, Debug)]
struct Entrances {
    some: Sampler,
}

impl ShouldSample for Entrances {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let caller = parent.map(|context| context.span().span_context().clone());
        let decided = |sampled, trace_state| SamplingResult {
            decision: if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state,
        };
        if let Some(caller) = caller.filter(|caller| caller.is_valid()) {
            return decided(caller.is_sampled(), caller.trace_state().clone());
        }
        if *kind == SpanKind::Internal {
            return decided(links.iter().any(|link| link.span_context.is_sampled()), Default::default());
        }
        self.some.should_sample(None, trace_id, name, kind, attributes, links)
    }
}

/// Says once when the collector does not take spans, and once when it does again.
#[derive(Debug)]
struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = self.inner.export(batch).await;
        match &sent {
            Ok(()) if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!("the collector takes spans again");
            }
            Ok(()) => {}
            Err(error) => {
                counter!(SPANS_LOST).increment(spans);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    warn!(error = %error, "the collector does not take spans: {error}");
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, patience: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(patience)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
