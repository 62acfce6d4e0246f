//! What the server says about itself: its log on the standard error stream, and its metrics.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Calls that came in, by `method` and `code` (gRPC by name, HTTP by number).
pub const CALLS: &str = "tollgate_calls_total";
/// How long calls took, in seconds, by `method`.
pub const CALL_SECONDS: &str = "tollgate_call_duration_seconds";
/// What came over the broker: events that were `RECORDED`, and events and messages that were refused, by `result`.
pub const INGESTED: &str = "tollgate_ingested_total";

/// The upper bounds of all histograms of durations, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];

/// How often samples are summed up where nobody asks for the metrics, so that they do not pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins the log. No secret comes into it: those are kept in types that do not print.
pub fn start_log(config: &LogConfig) -> Result<(), TelemetryError> {
    let level = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|source| TelemetryError::Level { level: config.level.clone(), source })?;
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).with_ansi(terminal);
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text { lines.finish().try_init() } else { lines.json().flatten_event(true).finish().try_init() }
        .map_err(TelemetryError::LogTaken)
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
        let config = LogConfig { level: String::from("a=b=c"), ..LogConfig::default() };
        let error = start_log(&config).unwrap_err();
        assert_eq!("the level `a=b=c` of the log cannot be read", error.to_string());
    }
}
