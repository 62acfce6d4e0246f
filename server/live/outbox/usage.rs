//! A call that was counted, as it is announced.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reading::Item;
use crate::ledger::event::Tokens;
use crate::ledger::record::{Body, Mode};
use crate::live::announcement::{Announcement, Kind, Topic, id, json};
use crate::store::StoreError;
use crate::time::Timestamp;

/// What is said about a call. What is empty or not known is left out.
#[derive(Debug, Serialize)]
struct UsageBody<'a> {
    event_id: &'a str,
    mode: &'static str,
    service: &'a str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    feature: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    status_code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_micros: Option<i64>,
    weight: i64,
    premium: bool,
    credits_micros: String,
    overage_micros: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensBody>,
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    region: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    country: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    consumers: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    quantities: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dimensions: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    occurred_at: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_key_id: &'a str,
    plan: &'a str,
    plan_version: u32,
    /// Only where it was decided while the counters were away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
}

/// The hold of a call whose price is not known yet.
#[derive(Debug, Serialize)]
struct ReservationBody<'a> {
    id: &'a str,
    held_micros: String,
    expires_at: String,
}

#[derive(Debug, Serialize)]
struct TokensBody {
    input: i64,
    output: i64,
    cached_input: i64,
    cache_write_input: i64,
}

/// The announcement of a counted call; `None`: the record is none of a call.
pub(super) fn announcement(item: &Item) -> Result<Option<Announcement>, StoreError> {
    let Some(Body::Usage(usage)) = &item.record.body else { return Ok(None) };
    let (event, counted) = (&usage.event, usage.counted());
    let occurred_at = event.occurred_at_micros.unwrap_or(item.record.at_micros);
    let body = UsageBody {
        event_id: &event.id,
        mode: if usage.mode() == Mode::Decide { "decide" } else { "record" },
        service: &event.service,
        endpoint: &event.endpoint,
        method: &event.method,
        feature: &event.feature,
        status_code: event.status_code,
        latency_micros: event.latency_micros,
        weight: event.weight,
        premium: event.premium,
        credits_micros: counted.credits_micros.to_string(),
        overage_micros: if usage.hold.is_some() { 0 } else { usage.overage_micros }.to_string(),
        reservation: usage.hold.as_ref().map(|hold| ReservationBody {
            id: &hold.reservation,
            held_micros: usage.price_micros.to_string(),
            expires_at: Timestamp::from_micros(hold.expires_at_micros).to_string(),
        }),
        tokens: event.tokens.map(tokens),
        model: &event.model,
        region: &event.region,
        country: &event.country,
        api_version: &event.api_version,
        consumers: &event.consumers,
        quantities: event
            .quantities
            .iter()
            .map(|(name, amount)| (name.as_str(), amount.to_string()))
            .collect(),
        dimensions: &event.dimensions,
        metadata: &event.metadata,
        occurred_at: Timestamp::from_micros(occurred_at).to_string(),
        api_key_id: &usage.api_key_id,
        plan: &usage.plan,
        plan_version: usage.plan_version,
        degraded: usage.degraded,
    };
    Ok(Some(Announcement {
        id: id(Kind::UsageTracked, &item.tenant, &[event.id.as_bytes()]),
        kind: Kind::UsageTracked,
        tenant: std::sync::Arc::clone(&item.tenant),
        topic: Topic::Usage { service: event.service.clone() },
        at: Timestamp::from_micros(item.record.at_micros),
        stamp: Some(item.stamp),
        body: json(&item.tenant, &body)?,
    }))
}

const fn tokens(tokens: Tokens) -> TokensBody {
    TokensBody {
        input: tokens.input,
        output: tokens.output,
        cached_input: tokens.cached_input,
        cache_write_input: tokens.cache_write_input,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::{Record, Usage};
    use crate::ledger::stamp::{Position, Stamp};

    /// Whether a call's announcement says that it was decided without the counters.
    fn says_degraded(degraded: bool) -> bool {
        let body = Some(Body::Usage(Usage { degraded, ..Usage::default() }));
        let record = Record { body, ..Record::default() };
        let item =
            Item { stamp: Stamp { position: Position::default(), place: 0 }, tenant: "acme".into(), record };
        announcement(&item).unwrap().unwrap().body.contains(r#""degraded":true"#)
    }

    #[test]
    fn a_call_that_was_decided_without_the_counters_is_told_so() {
        assert!(says_degraded(true) && !says_degraded(false));
    }
}
