//! What the server says about itself: its log on the standard error stream, its metrics, its errors to Sentry, and the
//! way of its calls to a collector of traces.

mod mailbox;
mod panics;
mod scrub;
mod sentry;
mod traces;

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, ParseError, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{Config, LogConfig, LogFormat};
use crate::telemetry::scrub::Clean;
use crate::telemetry::sentry::Reporter;

pub use crate::telemetry::panics::{Panicked, guarded};
pub use crate::telemetry::scrub::scrub;
pub use crate::telemetry::sentry::SentryError;
pub use crate::telemetry::traces::TracesError;

/// Calls that came in, by `method` and `code` (gRPC by name, HTTP by number).
pub const CALLS: &str = "tollgate_calls_total";
/// How long calls took, in seconds, by `method`.
pub const CALL_SECONDS: &str = "tollgate_call_duration_seconds";
/// What came over the broker: events that were `RECORDED`, and events and messages that were refused, by `result`.
pub const INGESTED: &str = "tollgate_ingested_total";
/// Errors that Sentry was not told of: it could not be reached, had enough, or too many waited for it.
pub const SENTRY_LOST: &str = "tollgate_sentry_errors_lost_total";
/// Spans that the collector did not take.
pub const SPANS_LOST: &str = "tollgate_trace_spans_lost_total";
/// Connections that are open.
pub const CONNECTIONS: &str = "tollgate_connections";
/// Connections that the server closed, by `reason`: `full`, `address_full`, `handshake`, `late`, `unread`.
pub const CONNECTIONS_REFUSED: &str = "tollgate_connections_refused_total";

/// The upper bounds of all histograms of durations, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];

/// How often samples are summed up where nobody asks for the metrics, so that they do not pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long errors and spans that wait are sent at the end.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// What listens to the server beside its log, until it ends.
#[must_use = "what waits to be sent at the end is lost without `end`"]
pub struct Telemetry {
    reporter: Option<Reporter>,
    provider: Option<SdkTracerProvider>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry")
            .field("sentry", &self.reporter.is_some())
            .field("traces", &self.provider.is_some())
            .finish()
    }
}

/// Begins to speak: the log, and where the settings say so, Sentry and traces. A runtime must be there.
///
/// No secret comes into any of them: those are kept in types that do not print, and what looks like one in a line is struck
/// out all the same.
pub fn start(config: &Config) -> Result<Telemetry, TelemetryError> {
    let mut layers = vec![log(&config.log)?];
    let reporter = config.sentry.dsn().map(|dsn| Reporter::new(&config.sentry, dsn)).transpose()?;
    layers.extend(reporter.clone().map(|reporter| -> BoxedLayer {
        Box::new(reporter.with_filter(filter_fn(is_own_error).with_max_level_hint(LevelFilter::ERROR)))
    }));
    let traced = !config.traces.endpoint.is_empty();
    let provider = traced.then(|| traces::provider(&config.traces)).transpose()?;
    layers.extend(provider.as_ref().map(|provider| -> BoxedLayer { Box::new(traces::layer(provider)) }));
    tracing_subscriber::registry().with(layers).try_init().map_err(TelemetryError::LogTaken)?;
    panics::tell();
    Ok(Telemetry { reporter, provider })
}

impl Telemetry {
    /// Sends what waits to be sent, for a while.
    pub async fn end(self) {
        let Self { reporter, provider } = self;
        let errors = tokio::task::spawn_blocking(move || {
            reporter.is_none_or(|reporter| reporter.flush(FLUSH_PATIENCE))
        });
        let spans = tokio::task::spawn_blocking(move || {
            provider.is_none_or(|provider| provider.shutdown_with_timeout(FLUSH_PATIENCE).is_ok())
        });
        if !errors.await.unwrap_or(false) {
            tracing::warn!("some errors were not told to Sentry");
        }
        if !spans.await.unwrap_or(false) {
            tracing::warn!("some spans were not sent to the collector of traces");
        }
    }
}

/// The log itself: lines alone, so that it makes nobody pay for spans.
fn log(config: &LogConfig) -> Result<BoxedLayer, TelemetryError> {
    let level = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|source| TelemetryError::Level { level: config.level.clone(), source })?;
    let lines =
        level.and(filter_fn(|line: &Metadata<'_>| line.is_event()).with_max_level_hint(LevelFilter::TRACE));
    let terminal = io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Clean(io::stderr())).with_ansi(terminal);
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        return Ok(layer.with_filter(lines).boxed());
    }
    let json = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
    Ok(json.with_filter(lines).boxed())
}

/// Others' errors are ours to judge: what they mean is said where they are handled.
fn is_own_error(line: &Metadata<'_>) -> bool {
    line.is_event() && *line.level() == Level::ERROR && line.target().starts_with("tollgate")
}

/// The metrics of this process; several servers in one process share them.
pub fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix(String::from("_seconds")), &SECONDS)
            .expect("the list of bounds is not empty")
            .install_recorder()
            .expect("no other part of the program records metrics")
    })
}

/// Sums up samples until `stopping`.
pub async fn keep_up(stopping: CancellationToken) {
    while stopping.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
        metrics().run_upkeep();
    }
}

/// Why the server cannot speak about itself.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level cannot be read.
    #[error("the level `{level}` of the log cannot be read")]
    Level {
        /// The level.
        level: String,
        /// Why not.
        #[source]
        source: ParseError,
    },
    /// Another log was begun in this process.
    #[error("this process has a log already")]
    LogTaken(#[source] TryInitError),
    /// Errors cannot be told to Sentry.
    #[error(transparent)]
    Sentry(#[from] SentryError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_buckets() {
        let handle = super::metrics();
        metrics::histogram!(CALL_SECONDS, "method" => "test").record(0.003);
        assert!(
            handle.render().contains("tollgate_call_duration_seconds_bucket{method=\"test\",le=\"0.005\"} 1")
        );
    }

    #[test]
    fn a_level_that_cannot_be_read_is_refused() {
        let mut config = Config::default();
        config.log.level = String::from("a=b=c");
        assert_eq!("the level `a=b=c` of the log cannot be read", start(&config).unwrap_err().to_string());
    }

    #[test]
    fn a_listener_that_cannot_be_is_refused_without_its_secret() {
        let check = |dsn: &str, endpoint: &str, expected: &str| {
            let mut config = Config::default();
            config.sentry.dsn = Some(dsn.into());
            config.traces.endpoint = endpoint.to_owned();
            let error = start(&config).unwrap_err();
            assert_eq!(expected, error.to_string());
            assert!(!format!("{error:?}").contains("cafe"), "{error:?}");
        };
        check("cafe", "", "the setting `dsn` of `sentry` is no DSN");
        check("ftp://cafe@127.0.0.1/1", "", "the setting `dsn` of `sentry` is no DSN");
        let refused = "the setting `endpoint` of `traces` cannot be used: ";
        check("", "127.0.0.1:1", &format!("{refused}it is no `http://host:port` or `https://host:port`"));
        check("", "http://a:cafe@127.0.0.1:1", &format!("{refused}it has a user or a password in it"));
    }
}
