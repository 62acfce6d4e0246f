//! `[traces]`: who sees the way that a call takes.

use serde::Deserialize;

/// Who sees the way that a call takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// An OpenTelemetry collector that speaks OTLP over gRPC, for example `http://127.0.0.1:4317`. Empty: nobody traces.
    pub endpoint: String,
    /// Which part of the calls is traced whose client does not say whether it traces them itself.
    pub sample_ratio: Ratio,
}

/// A part of all: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Ratio {
    type Error = RatioOutOfRange;

    fn try_from(part: f64) -> Result<Self, RatioOutOfRange> {
        if (0.0..=1.0).contains(&part) { Ok(Self(part)) } else { Err(RatioOutOfRange(part)) }
    }
}

/// A number that is no part of all.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not between 0 and 1")]
pub struct RatioOutOfRange(f64);
