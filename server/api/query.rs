//! `QueryUsage` and `ListEvents`: sums and rows of the ledger in the contract's words.

use tollgate_client::v1;

use crate::api::track::{Door, DoorError};
use crate::fault::Invalid;
use crate::identity::caller::Caller;
use crate::ledger::sums::Sums;

/// Sums in the contract's words.
pub(super) fn totals(sums: &Sums) -> v1::UsageTotals {
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
        latency: None,
    }
}

impl Door {
    /// Sums usage.
    pub async fn query_usage(
        &self,
        _caller: &Caller,
        _request: v1::QueryUsageRequest,
    ) -> Result<v1::QueryUsageResponse, DoorError> {
        Err(Invalid::field("granularity", "not yet").into())
    }

    /// Lists events.
    pub async fn list_events(
        &self,
        _caller: &Caller,
        _request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, DoorError> {
        Err(Invalid::field("tenant_id", "not yet").into())
    }
}
