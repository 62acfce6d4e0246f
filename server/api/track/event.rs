//! The contract's `UsageEvent` becomes an [`Event`]: every bound of `usage.proto` is checked here.

use std::collections::BTreeMap;

use tollgate_client::v1;

use crate::fault::{Invalid, Violation};
use crate::ledger::event::{Event, Outcome, Tokens};
use crate::money::MICROS_MAX;
use crate::time::{DAY, SECOND};

/// Bytes of an event id, a name of a quantity, a dimension or a piece of metadata.
const ID_BYTES_MAX: usize = 128;
const SERVICE_BYTES_MAX: usize = 128;
const ENDPOINT_BYTES_MAX: usize = 1_024;
const METHOD_BYTES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 128;
const REGION_BYTES_MAX: usize = 64;
const CONSUMERS_MAX: usize = 8;
const QUANTITIES_MAX: usize = 16;
const DIMENSIONS_MAX: usize = 16;
const DIMENSION_BYTES_MAX: usize = 256;
const METADATA_MAX: usize = 32;
const METADATA_BYTES_MAX: usize = 1_024;
const WEIGHT_MAX: i64 = 1_000_000_000;
const TOKENS_MAX: i64 = 1_000_000_000;
/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Check(Vec<Violation>);

impl Check {
    pub(super) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation { field: field.to_owned(), description: description.into() });
    }

    pub(super) fn done(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid(self.0)) }
    }

    pub(super) fn id(&mut self, field: &str, id: &str) {
        if let Some(wrong) = wrong_id(id) {
            self.wrong(field, wrong);
        }
    }

    pub(super) fn bytes(&mut self, field: &str, text: &str, max: usize) {
        if text.len() > max {
            self.wrong(field, format!("has {} bytes; at most {max} are allowed", text.len()));
        }
    }

    fn required(&mut self, field: &str, text: &str, max: usize) {
        if text.is_empty() {
            self.wrong(field, "is missing");
        }
        self.bytes(field, text, max);
    }

    pub(super) fn between(&mut self, field: &str, value: i64, min: i64, max: i64) {
        if value < min || value > max {
            self.wrong(field, format!("is {value}; {min} to {max} are allowed"));
        }
    }

    pub(super) fn status_code(&mut self, field: &str, code: i32) -> u32 {
        if code != 0 && !(100..=599).contains(&code) {
            self.wrong(field, format!("is {code}; 100 to 599 are allowed"));
        }
        u32::try_from(code).unwrap_or(0)
    }

    /// Microseconds of a duration of at most a day.
    pub(super) fn latency(&mut self, field: &str, duration: Option<prost_types::Duration>) -> Option<i64> {
        let duration = duration?;
        match micros(duration) {
            Some(micros @ 0..=DAY) => Some(micros),
            _ => {
                self.wrong(
                    field,
                    format!("is {} s and {} ns; 0 to one day is allowed", duration.seconds, duration.nanos),
                );
                None
            }
        }
    }

    /// Microseconds of a length that must be whole and within bounds.
    pub(super) fn length(&mut self, field: &str, duration: prost_types::Duration, min: i64, max: i64) -> i64 {
        match micros(duration) {
            Some(micros) if (min..=max).contains(&micros) => micros,
            _ => {
                let (least, most) = (min / SECOND, max / SECOND);
                let prost_types::Duration { seconds, nanos } = duration;
                self.wrong(
                    field,
                    format!("is {seconds} s and {nanos} ns; {least} s to {most} s are allowed"),
                );
                min
            }
        }
    }

    /// Microseconds since the epoch.
    pub(super) fn moment(&mut self, field: &str, moment: prost_types::Timestamp) -> Option<i64> {
        let prost_types::Timestamp { seconds, nanos } = moment;
        if !(0..1_000_000_000).contains(&nanos) {
            self.wrong(field, format!("has {nanos} nanos; 0 to 999,999,999 are allowed"));
            return None;
        }
        if !(0..=SECONDS_MAX).contains(&seconds) {
            self.wrong(field, format!("is {seconds} s since 1970; the years 1970 to 9999 are allowed"));
            return None;
        }
        Some(seconds * SECOND + i64::from(nanos / 1_000))
    }

    pub(super) fn tokens(&mut self, field: &str, tokens: Option<v1::Tokens>) -> Option<Tokens> {
        let v1::Tokens { input, output, cached_input, cache_write_input } = tokens?;
        let counts = [
            ("input", input),
            ("output", output),
            ("cached_input", cached_input),
            ("cache_write_input", cache_write_input),
        ];
        for (name, count) in counts {
            if !(0..=TOKENS_MAX).contains(&count) {
                self.wrong(&format!("{field}.{name}"), format!("is {count}; 0 to {TOKENS_MAX} are allowed"));
            }
        }
        for (name, part) in [("cached_input", cached_input), ("cache_write_input", cache_write_input)] {
            if part > input.max(0) {
                self.wrong(
                    &format!("{field}.{name}"),
                    format!("is {part}, more than input, which is {input}"),
                );
            }
        }
        Some(Tokens { input, output, cached_input, cache_write_input })
    }

    pub(super) fn quantities(&mut self, field: &str, quantities: &BTreeMap<String, i64>) {
        self.count(field, quantities.len(), QUANTITIES_MAX);
        for (name, amount) in quantities.iter().take(QUANTITIES_MAX) {
            self.map_name(field, name);
            if !(0..=MICROS_MAX).contains(amount) {
                self.wrong(
                    &format!("{field}[{name:?}]"),
                    format!("is {amount}; 0 to {MICROS_MAX} are allowed"),
                );
            }
        }
    }

    fn texts(&mut self, field: &str, texts: &BTreeMap<String, String>, count_max: usize, bytes_max: usize) {
        self.count(field, texts.len(), count_max);
        for (name, text) in texts.iter().take(count_max) {
            self.map_name(field, name);
            if text.len() > bytes_max {
                self.bytes(&format!("{field}[{name:?}]"), text, bytes_max);
            }
        }
    }

    fn map_name(&mut self, field: &str, name: &str) {
        if let Some(wrong) = wrong_id(name) {
            self.wrong(&format!("{field}[{name:?}]"), format!("the name {wrong}"));
        }
    }

    pub(super) fn count(&mut self, field: &str, count: usize, max: usize) {
        if count > max {
            self.wrong(field, format!("has {count} entries; at most {max} are allowed"));
        }
    }

    pub(super) fn consumers(&mut self, field: &str, consumers: Vec<v1::Consumer>) -> Vec<String> {
        self.count(field, consumers.len(), CONSUMERS_MAX);
        let mut names = Vec::with_capacity(consumers.len().min(CONSUMERS_MAX));
        for (place, consumer) in consumers.into_iter().take(CONSUMERS_MAX).enumerate() {
            let Some(kind) = consumer_kind(consumer.kind()) else {
                self.wrong(
                    &format!("{field}[{place}].kind"),
                    format!("{} is no kind of consumer", consumer.kind),
                );
                continue;
            };
            if consumer.id.is_empty() || consumer.id.len() > NAME_BYTES_MAX {
                self.required(&format!("{field}[{place}].id"), &consumer.id, NAME_BYTES_MAX);
            }
            names.push(format!("{kind}:{}", consumer.id));
        }
        names
    }
}

/// Checks an event and takes it over.
pub(super) fn event(check: &mut Check, event: Option<v1::UsageEvent>) -> Event {
    let Some(event) = event else {
        check.wrong("event", "is missing");
        return Event::default();
    };
    if !event.id.is_empty() {
        check.id("event.id", &event.id);
    }
    check.required("event.service", &event.service, SERVICE_BYTES_MAX);
    check.required("event.endpoint", &event.endpoint, ENDPOINT_BYTES_MAX);
    check.bytes("event.method", &event.method, METHOD_BYTES_MAX);
    check.bytes("event.feature", &event.feature, NAME_BYTES_MAX);
    check.bytes("event.model", &event.model, NAME_BYTES_MAX);
    check.bytes("event.region", &event.region, REGION_BYTES_MAX);
    check.bytes("event.api_version", &event.api_version, REGION_BYTES_MAX);
    if !event.country.is_empty() && !is_country(&event.country) {
        check.wrong("event.country", format!("{:?} is not two capital letters", event.country));
    }
    let weight = event.weight.unwrap_or(1);
    check.between("event.weight", weight, 1, WEIGHT_MAX);
    if let Some(price) = event.credits_micros {
        check.between("event.credits_micros", price, 0, MICROS_MAX);
    }
    check.quantities("event.quantities", &event.quantities);
    check.texts("event.dimensions", &event.dimensions, DIMENSIONS_MAX, DIMENSION_BYTES_MAX);
    check.texts("event.metadata", &event.metadata, METADATA_MAX, METADATA_BYTES_MAX);
    Event {
        status_code: check.status_code("event.status_code", event.status_code),
        latency_micros: check.latency("event.latency", event.latency),
        weight,
        caller_price_micros: event.credits_micros,
        premium: event.premium,
        tokens: check.tokens("event.tokens", event.tokens),
        consumers: check.consumers("event.consumers", event.consumers),
        occurred_at_micros: event.occurred_at.and_then(|moment| check.moment("event.occurred_at", moment)),
        id: event.id,
        service: event.service,
        endpoint: event.endpoint,
        method: event.method,
        feature: event.feature,
        model: event.model,
        region: event.region,
        country: event.country,
        api_version: event.api_version,
        quantities: event.quantities,
        dimensions: event.dimensions,
        metadata: event.metadata,
    }
}

/// Checks an outcome and takes it over. `prefix` is the path of the message that has its fields.
pub(super) fn outcome(
    check: &mut Check,
    prefix: &str,
    status_code: i32,
    latency: Option<prost_types::Duration>,
    tokens: Option<v1::Tokens>,
    quantities: BTreeMap<String, i64>,
) -> Outcome {
    check.quantities(&format!("{prefix}quantities"), &quantities);
    Outcome {
        status_code: check.status_code(&format!("{prefix}status_code"), status_code),
        latency_micros: check.latency(&format!("{prefix}latency"), latency),
        tokens: check.tokens(&format!("{prefix}tokens"), tokens),
        quantities,
    }
}

/// What is wrong with an id; `None`: nothing.
fn wrong_id(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("is empty".to_owned());
    }
    if id.len() > ID_BYTES_MAX {
        return Some(format!("has {} characters; at most {ID_BYTES_MAX} are allowed", id.len()));
    }
    let odd = id
        .chars()
        .find(|letter| !matches!(letter, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | ':' | '-'));
    odd.map(|letter| format!("has {letter:?}; only A-Z a-z 0-9 . _ : - are allowed"))
}

fn is_country(country: &str) -> bool {
    country.len() == 2 && country.bytes().all(|letter| letter.is_ascii_uppercase())
}

const fn consumer_kind(kind: v1::ConsumerKind) -> Option<&'static str> {
    match kind {
        v1::ConsumerKind::Unspecified => None,
        v1::ConsumerKind::User => Some("user"),
        v1::ConsumerKind::Bot => Some("bot"),
        v1::ConsumerKind::Key => Some("key"),
        v1::ConsumerKind::Integration => Some("integration"),
    }
}

/// Microseconds of a well-formed duration: seconds and nanos of one sign.
fn micros(duration: prost_types::Duration) -> Option<i64> {
    let prost_types::Duration { seconds, nanos } = duration;
    if nanos.unsigned_abs() > 999_999_999 || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return None;
    }
    // Rounded down, so that what is a little below zero stays below it.
    seconds.checked_mul(SECOND)?.checked_add(i64::from(nanos.div_euclid(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> v1::UsageEvent {
        v1::UsageEvent {
            service: "search".into(),
            endpoint: "/v1/search".into(),
            ..v1::UsageEvent::default()
        }
    }

    /// Checks an event that is wrong in one field alone.
    fn check(change: impl FnOnce(&mut v1::UsageEvent), field: &str) {
        let mut wrong = valid();
        change(&mut wrong);
        let mut check = Check::default();
        let _event = event(&mut check, Some(wrong));
        let fields = check.0.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>();
        assert_eq!(fields, if field.is_empty() { vec![] } else { vec![field] });
    }

    #[test]
    fn a_plain_event_is_well_and_weighs_one() {
        let mut check = Check::default();
        let event = event(&mut check, Some(valid()));
        assert_eq!(check.done(), Ok(()));
        assert_eq!((event.weight, event.status_code, event.latency_micros), (1, 0, None));
    }

    #[test]
    fn each_bound_names_its_field() {
        for id in ["a b", "ä", "a\0", "a\n", "\u{202e}", "a/b", "$", "{}", &"x".repeat(129)] {
            check(|event| event.id = id.to_owned(), "event.id");
        }
        check(|event| event.id = "A-z.0:9_".into(), "");
        check(|event| event.service = String::new(), "event.service");
        check(|event| event.endpoint = String::new(), "event.endpoint");
        check(|event| event.endpoint = "/".repeat(1_025), "event.endpoint");
        for weight in [0, -1, i64::MIN, i64::MAX, WEIGHT_MAX + 1] {
            check(|event| event.weight = Some(weight), "event.weight");
        }
        for price in [-1, i64::MIN, i64::MAX, MICROS_MAX + 1] {
            check(|event| event.credits_micros = Some(price), "event.credits_micros");
        }
        for code in [-1, 1, 99, 600, i32::MAX, i32::MIN] {
            check(|event| event.status_code = code, "event.status_code");
        }
        for country in ["pt", "P", "PRT", "ÄÖ", "1A"] {
            check(|event| event.country = country.into(), "event.country");
        }
    }

    #[test]
    fn odd_durations_and_moments_are_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (86_401, 0), (1, -1), (i64::MAX, 0), (0, 1_000_000_000)] {
            let latency = Some(prost_types::Duration { seconds, nanos });
            check(|event| event.latency = latency, "event.latency");
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (SECONDS_MAX + 1, 0), (i64::MAX, 0)] {
            let moment = Some(prost_types::Timestamp { seconds, nanos });
            check(|event| event.occurred_at = moment, "event.occurred_at");
        }
    }

    #[test]
    fn tokens_consumers_and_maps_have_bounds() {
        let tokens = |input, cached_input| Some(v1::Tokens { input, cached_input, ..v1::Tokens::default() });
        check(|event| event.tokens = tokens(-1, 0), "event.tokens.input");
        check(|event| event.tokens = tokens(5, 6), "event.tokens.cached_input");
        check(
            |event| event.consumers = vec![v1::Consumer { kind: 0, id: "1".into() }],
            "event.consumers[0].kind",
        );
        check(
            |event| event.consumers = vec![v1::Consumer { kind: 9, id: "1".into() }],
            "event.consumers[0].kind",
        );
        check(
            |event| event.consumers = vec![v1::Consumer { kind: 1, id: String::new() }],
            "event.consumers[0].id",
        );
        check(|event| event.quantities = [("bytes".into(), -1)].into(), "event.quantities[\"bytes\"]");
        check(|event| event.quantities = [("a$".into(), 1)].into(), "event.quantities[\"a$\"]");
        check(
            |event| event.dimensions = (0..17).map(|n| (n.to_string(), String::new())).collect(),
            "event.dimensions",
        );
        check(|event| event.metadata = [("m".into(), "x".repeat(1_025))].into(), "event.metadata[\"m\"]");
    }
}
