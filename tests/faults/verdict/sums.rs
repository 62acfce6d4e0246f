//! Sums over events, recomputed in 128 bits.

use std::collections::BTreeMap;

use prost_types::Duration;
use tollgate_client::v1::{ConsumerKind, Dimension, DimensionRef, LedgerEvent, UsageEvent, UsageTotals};

/// What [`UsageTotals`] says, in integers that cannot overflow. Refusals are not in it: no event of usage is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) calls: i128,
    pub(crate) errors: i128,
    pub(crate) units: i128,
    pub(crate) credits_micros: i128,
    pub(crate) tokens: [i128; 4],
    pub(crate) quantities: BTreeMap<String, i128>,
    pub(crate) latencies: i128,
    pub(crate) latency_nanos: i128,
    pub(crate) latency_nanos_min: Option<i128>,
    pub(crate) latency_nanos_max: Option<i128>,
}

impl Sums {
    /// The sums that the ledger claims.
    pub(crate) fn claimed(totals: &UsageTotals) -> Self {
        let tokens = totals.tokens.unwrap_or_default();
        let latency = totals.latency.unwrap_or_default();
        let extreme = |value: Option<Duration>| value.filter(|_| latency.count > 0).map(nanos);
        Self {
            calls: totals.calls.into(),
            errors: totals.errors.into(),
            units: totals.units.into(),
            credits_micros: totals.credits_micros.into(),
            tokens: [tokens.input, tokens.output, tokens.cached_input, tokens.cache_write_input]
                .map(i128::from),
            quantities: quantities(totals.quantities.iter()),
            latencies: latency.count.into(),
            latency_nanos: latency.sum.map_or(0, nanos),
            latency_nanos_min: extreme(latency.min),
            latency_nanos_max: extreme(latency.max),
        }
    }

    /// Whether a claim is right. All of it is exact but the extremes of latencies: where an outcome moved an event from one
    /// status to another, those of the first are within one percent.
    pub(crate) fn is_claimed_by(&self, claim: &Self) -> bool {
        let without_extremes =
            |sums: &Self| Self { latency_nanos_min: None, latency_nanos_max: None, ..sums.clone() };
        is_near(self.latency_nanos_min, claim.latency_nanos_min)
            && is_near(self.latency_nanos_max, claim.latency_nanos_max)
            && without_extremes(self) == without_extremes(claim)
    }

    pub(crate) fn add(&mut self, kept: &LedgerEvent) {
        let nothing = UsageEvent::default();
        let event = kept.event.as_ref().unwrap_or(&nothing);
        self.calls += 1;
        self.errors += i128::from(event.status_code >= 400);
        self.units += i128::from(event.weight.unwrap_or(1));
        self.credits_micros += i128::from(kept.credits_charged_micros);
        let tokens = event.tokens.unwrap_or_default();
        let each = [tokens.input, tokens.output, tokens.cached_input, tokens.cache_write_input];
        for (sum, tokens) in self.tokens.iter_mut().zip(each) {
            *sum += i128::from(tokens);
        }
        for (name, amount) in quantities(event.quantities.iter()) {
            *self.quantities.entry(name).or_default() += amount;
        }
        if let Some(latency) = event.latency.map(nanos) {
            self.latencies += 1;
            self.latency_nanos += latency;
            self.latency_nanos_min = Some(self.latency_nanos_min.map_or(latency, |min| min.min(latency)));
            self.latency_nanos_max = Some(self.latency_nanos_max.map_or(latency, |max| max.max(latency)));
        }
    }
}

/// The values under which an event stands in a dimension.
pub(crate) fn values(kept: &LedgerEvent, dimension: &DimensionRef) -> Vec<String> {
    let nothing = UsageEvent::default();
    let event = kept.event.as_ref().unwrap_or(&nothing);
    let one = |value: &str| vec![value.to_owned()];
    match dimension.dimension() {
        Dimension::Endpoint => one(&event.endpoint),
        Dimension::Service => one(&event.service),
        Dimension::Method => one(&event.method),
        Dimension::StatusCode => one(&event.status_code.to_string()),
        Dimension::ApiKey => one(&kept.api_key_id),
        Dimension::Model => one(&event.model),
        Dimension::Region => one(&event.region),
        Dimension::Country => one(&event.country),
        Dimension::ApiVersion => one(&event.api_version),
        Dimension::Feature => one(&event.feature),
        Dimension::Custom => one(event.dimensions.get(&dimension.custom_name).map_or("", String::as_str)),
        Dimension::Consumer if event.consumers.is_empty() => one(""),
        Dimension::Consumer => {
            let mut consumers: Vec<String> = event
                .consumers
                .iter()
                .map(|consumer| format!("{}:{}", kind_word(consumer.kind()), consumer.id))
                .collect();
            consumers.sort();
            consumers.dedup();
            consumers
        }
        Dimension::Unspecified => Vec::new(),
    }
}

fn is_near(exact: Option<i128>, claim: Option<i128>) -> bool {
    match (exact, claim) {
        (Some(exact), Some(claim)) => (exact - claim).abs() * 50 <= exact,
        (exact, claim) => exact == claim,
    }
}

pub(crate) fn nanos(duration: Duration) -> i128 {
    i128::from(duration.seconds) * 1_000_000_000 + i128::from(duration.nanos)
}

const fn kind_word(kind: ConsumerKind) -> &'static str {
    match kind {
        ConsumerKind::User => "user",
        ConsumerKind::Bot => "bot",
        ConsumerKind::Key => "key",
        ConsumerKind::Integration => "integration",
        ConsumerKind::Unspecified => "",
    }
}

/// A name with an amount of zero is as good as no name.
fn quantities<'a>(amounts: impl Iterator<Item = (&'a String, &'a i64)>) -> BTreeMap<String, i128> {
    amounts
        .filter(|(_, amount)| **amount != 0)
        .map(|(name, amount)| (name.clone(), i128::from(*amount)))
        .collect()
}
