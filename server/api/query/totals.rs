//! Sums as the contract says them.

use tollgate_client::v1;

use crate::api::track::duration;
use crate::ledger::sketch::Sketch;
use crate::ledger::sums::Sums;

/// Sums as the contract says them.
pub(in crate::api) fn totals(sums: &Sums) -> v1::UsageTotals {
    v1::UsageTotals {
        calls: sums.calls,
        refused: sums.refused,
        errors: sums.errors,
        units: sums.units,
        credits_micros: sums.credits_micros,
        tokens: Some(v1::Tokens {
            input: sums.tokens_input,
            output: sums.tokens_output,
            cached_input: sums.tokens_cached_input,
            cache_write_input: sums.tokens_cache_write_input,
        }),
        quantities: sums.quantities.clone(),
        latency: sums.latency.as_ref().and_then(latency),
    }
}

fn latency(sketch: &Sketch) -> Option<v1::LatencySummary> {
    let percentile = |percent| sketch.percentile(percent).map(duration);
    Some(v1::LatencySummary {
        count: sketch.count,
        sum: Some(duration(sketch.sum_micros)),
        min: Some(duration(sketch.min()?)),
        max: Some(duration(sketch.max()?)),
        p50: percentile(50),
        p90: percentile(90),
        p95: percentile(95),
        p99: percentile(99),
    })
}
