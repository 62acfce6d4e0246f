//! The body of `POST /api/track`: the JSON of the simple integration, and what it means in the contract.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_client::v1;

use crate::api::http::decimal;
use crate::fault::{Invalid, Violation};

const NANOS: i64 = 1_000_000_000;

/// One call, as system integrations have always sent it, with every field of an event beside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct TrackBody {
    #[serde(default)]
    tenant_id: String,
    service_name: String,
    endpoint: String,
    #[serde(default)]
    method: String,
    credits_used: Option<Box<RawValue>>,
    #[serde(default)]
    premium: bool,
    #[serde(default)]
    api_key: String,
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    feature: String,
    #[serde(default)]
    status_code: i32,
    latency_ms: Option<Box<RawValue>>,
    weight: Option<i64>,
    tokens: Option<TokensBody>,
    #[serde(default)]
    model: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    country: String,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    consumers: Vec<ConsumerBody>,
    #[serde(default)]
    quantities: BTreeMap<String, i64>,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    occurred_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct TokensBody {
    input: i64,
    output: i64,
    cached_input: i64,
    cache_write_input: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumerBody {
    kind: ConsumerKind,
    id: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ConsumerKind {
    User,
    Bot,
    Key,
    Integration,
}

/// The names of fields that are not those of the contract.
const RENAMED: [(&str, &str); 4] = [
    ("event.id", "event_id"),
    ("event.service", "service_name"),
    ("event.credits_micros", "credits_used"),
    ("event.latency", "latency_ms"),
];

impl TrackBody {
    /// The same in the contract's words.
    pub(in crate::api) fn into_request(self) -> Result<v1::TrackRequest, Invalid> {
        let mut wrong = Vec::new();
        let credits_micros = number("credits_used", self.credits_used.as_deref(), &mut wrong);
        // Millionths of a millisecond are nanoseconds.
        let latency = number("latency_ms", self.latency_ms.as_deref(), &mut wrong).map(duration);
        let occurred_at = self.occurred_at.and_then(|text| moment(&text, &mut wrong));
        if !wrong.is_empty() {
            return Err(Invalid(wrong));
        }
        let event = v1::UsageEvent {
            id: self.event_id,
            service: self.service_name,
            endpoint: self.endpoint,
            method: self.method,
            feature: self.feature,
            status_code: self.status_code,
            latency,
            weight: self.weight,
            credits_micros,
            premium: self.premium,
            tokens: self.tokens.map(TokensBody::into_tokens),
            model: self.model,
            region: self.region,
            country: self.country,
            api_version: self.api_version,
            consumers: self.consumers.into_iter().map(ConsumerBody::into_consumer).collect(),
            quantities: self.quantities,
            dimensions: self.dimensions,
            metadata: self.metadata,
            occurred_at,
        };
        let mode = v1::TrackMode::Decide.into();
        Ok(v1::TrackRequest { event: Some(event), tenant_id: self.tenant_id, api_key: self.api_key, mode })
    }
}

impl TokensBody {
    const fn into_tokens(self) -> v1::Tokens {
        v1::Tokens {
            input: self.input,
            output: self.output,
            cached_input: self.cached_input,
            cache_write_input: self.cache_write_input,
        }
    }
}

impl ConsumerBody {
    fn into_consumer(self) -> v1::Consumer {
        let kind = match self.kind {
            ConsumerKind::User => v1::ConsumerKind::User,
            ConsumerKind::Bot => v1::ConsumerKind::Bot,
            ConsumerKind::Key => v1::ConsumerKind::Key,
            ConsumerKind::Integration => v1::ConsumerKind::Integration,
        };
        v1::Consumer { kind: kind.into(), id: self.id }
    }
}

/// The name that a caller over HTTP knows a field of the contract by.
pub(super) fn field_name(path: &str) -> &str {
    let renamed = RENAMED.iter().find(|(contract, _)| *contract == path);
    renamed.map_or_else(|| path.strip_prefix("event.").unwrap_or(path), |(_, name)| name)
}

/// The number in millionths; written as a number or, by callers that fear floats, as a string.
fn number(field: &str, raw: Option<&RawValue>, wrong: &mut Vec<Violation>) -> Option<i64> {
    let text = raw.map(RawValue::get).filter(|text| *text != "null")?;
    let text = text.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')).unwrap_or(text);
    match decimal::millionths(text) {
        Ok(millionths) if millionths >= 0 => return Some(millionths),
        Ok(_) => {
            wrong.push(Violation { field: field.to_owned(), description: String::from("is below zero") });
        }
        Err(error) => wrong.push(Violation { field: field.to_owned(), description: error.to_string() }),
    }
    None
}

fn duration(nanos: i64) -> prost_types::Duration {
    let rest = i32::try_from(nanos.rem_euclid(NANOS)).unwrap_or_default();
    prost_types::Duration { seconds: nanos.div_euclid(NANOS), nanos: rest }
}

fn moment(text: &str, wrong: &mut Vec<Violation>) -> Option<prost_types::Timestamp> {
    let Ok(moment) = text.parse::<jiff::Timestamp>() else {
        let description = String::from("is not a moment like 2026-01-31T12:00:00Z");
        wrong.push(Violation { field: String::from("occurred_at"), description });
        return None;
    };
    let nanos = moment.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(NANOS.into())).unwrap_or_default();
    Some(prost_types::Timestamp {
        seconds,
        nanos: i32::try_from(nanos.rem_euclid(NANOS.into())).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<v1::TrackRequest, String> {
        let body: TrackBody = serde_json::from_str(json).map_err(|error| error.to_string())?;
        body.into_request().map_err(|error| error.to_string())
    }

    #[test]
    fn the_simple_integration_is_understood() {
        let request = read(
            r#"{"tenant_id":"acme","service_name":"search","endpoint":"/find","method":"GET","credits_used":2.5,"premium":true}"#,
        )
        .unwrap();
        let event = request.event.unwrap();
        assert_eq!(
            ("acme", "search", "/find", "GET"),
            (&*request.tenant_id, &*event.service, &*event.endpoint, &*event.method)
        );
        assert_eq!((Some(2_500_000), true), (event.credits_micros, event.premium));
    }

    #[test]
    fn every_field_of_an_event_can_be_said() {
        let request = read(
            r#"{"service_name":"s","endpoint":"/e","event_id":"e1","feature":"f","status_code":200,"latency_ms":12.5,
                "weight":3,"tokens":{"input":7,"cached_input":2},"model":"m","region":"r","country":"PT","api_version":"2",
                "consumers":[{"kind":"bot","id":"b"}],"quantities":{"bytes":9},"dimensions":{"team":"x"},
                "metadata":{"k":"v"},"occurred_at":"1969-12-31T23:59:59.5Z","api_key":"tgk_x","credits_used":"0.1"}"#,
        )
        .unwrap();
        let event = request.event.unwrap();
        assert_eq!(Some(prost_types::Duration { seconds: 0, nanos: 12_500_000 }), event.latency);
        assert_eq!(Some(prost_types::Timestamp { seconds: -1, nanos: 500_000_000 }), event.occurred_at);
        assert_eq!(Some(100_000), event.credits_micros);
        assert_eq!(7, event.tokens.unwrap().input);
        assert_eq!(v1::ConsumerKind::Bot, event.consumers[0].kind());
        assert_eq!("tgk_x", request.api_key);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        let check = |field: &str, expected: &str| {
            let message = read(&format!(r#"{{"service_name":"s","endpoint":"/e",{field}}}"#)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        };
        check(r#""credits":1"#, "unknown field `credits`");
        check(r#""premium":1"#, "invalid type");
        check(r#""endpoint":"/again""#, "duplicate field `endpoint`");
        check(r#""credits_used":-1"#, "credits_used: is below zero");
        check(r#""credits_used":0.0000001"#, "credits_used: has more than 6 digits");
        check(r#""credits_used":1e400"#, "credits_used: is too large");
        check(r#""credits_used":{"a":1}"#, "credits_used: is not a decimal number");
        check(r#""credits_used":"1\n""#, "credits_used: is not a decimal number");
        check(r#""credits_used":NaN"#, "expected value");
        check(r#""weight":NaN"#, "expected value");
        check(r#""weight":1.5"#, "invalid type");
        check(r#""weight":9223372036854775808"#, "invalid value");
        check(r#""status_code":3000000000"#, "invalid value");
        check(r#""quantities":{"bytes":1e3}"#, "invalid type");
        check(r#""latency_ms":-1"#, "latency_ms: is below zero");
        check(r#""occurred_at":"yesterday""#, "occurred_at: is not a moment");
        check(r#""occurred_at":1700000000"#, "invalid type");
        check(r#""consumers":[{"kind":"cat","id":"x"}]"#, "unknown variant `cat`");
    }

    #[test]
    fn fields_have_the_names_that_the_caller_wrote() {
        for (path, expected) in [
            ("event.id", "event_id"),
            ("event.service", "service_name"),
            ("event.credits_micros", "credits_used"),
            ("event.weight", "weight"),
            ("tenant_id", "tenant_id"),
        ] {
            assert_eq!(expected, field_name(path));
        }
    }
}
