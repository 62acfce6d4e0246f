//! Values out of their bounds: each is refused by the name of its field, and the value next to it is taken.

use prost_types::{Duration, Timestamp};
use tollgate_client::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::server::{NOW, Server, TENANT};

const CREDITS_MAX: i64 = 9_000_000_000_000_000;

/// A change to a good event, and the field that is wrong then; empty: none is.
type Case = (&'static str, fn(&mut v1::UsageEvent), &'static str);

fn good() -> v1::UsageEvent {
    v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() }
}

fn tokens(input: i64, output: i64, cached_input: i64, cache_write_input: i64) -> Option<v1::Tokens> {
    Some(v1::Tokens { input, output, cached_input, cache_write_input })
}

fn span(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

fn moment(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn consumers(count: usize, kind: i32, id: &str) -> Vec<v1::Consumer> {
    (0..count)
        .map(|number| v1::Consumer {
            kind,
            id: if id.is_empty() { String::new() } else { format!("{id}{number}") },
        })
        .collect()
}

const NUMBERS: &[Case] = &[
    ("weight 1", |event| event.weight = Some(1), ""),
    ("weight 0", |event| event.weight = Some(0), "event.weight"),
    ("weight -1", |event| event.weight = Some(-1), "event.weight"),
    ("weight least", |event| event.weight = Some(i64::MIN), "event.weight"),
    ("weight above its bound", |event| event.weight = Some(1_000_000_001), "event.weight"),
    ("weight most", |event| event.weight = Some(i64::MAX), "event.weight"),
    ("price 0", |event| event.credits_micros = Some(0), ""),
    ("price -1", |event| event.credits_micros = Some(-1), "event.credits_micros"),
    ("price least", |event| event.credits_micros = Some(i64::MIN), "event.credits_micros"),
    ("price above its bound", |event| event.credits_micros = Some(CREDITS_MAX + 1), "event.credits_micros"),
    ("price most", |event| event.credits_micros = Some(i64::MAX), "event.credits_micros"),
    ("status 100", |event| event.status_code = 100, ""),
    ("status 599", |event| event.status_code = 599, ""),
    ("status 99", |event| event.status_code = 99, "event.status_code"),
    ("status 600", |event| event.status_code = 600, "event.status_code"),
    ("status -1", |event| event.status_code = -1, "event.status_code"),
    ("status least", |event| event.status_code = i32::MIN, "event.status_code"),
    ("latency of a day", |event| event.latency = span(86_400, 0), ""),
    ("latency above a day", |event| event.latency = span(86_400, 1_000), "event.latency"),
    ("latency below zero", |event| event.latency = span(-1, 0), "event.latency"),
    ("latency of mixed signs", |event| event.latency = span(1, -1), "event.latency"),
    ("latency with too many nanos", |event| event.latency = span(0, 1_000_000_000), "event.latency"),
    ("latency most", |event| event.latency = span(i64::MAX, 0), "event.latency"),
    ("tokens", |event| event.tokens = tokens(1_000_000_000, 1, 1_000_000_000, 0), ""),
    ("tokens below zero", |event| event.tokens = tokens(0, -1, 0, 0), "event.tokens"),
    ("tokens above their bound", |event| event.tokens = tokens(1_000_000_001, 0, 0, 0), "event.tokens"),
    ("tokens most", |event| event.tokens = tokens(i64::MAX, i64::MAX, 0, 0), "event.tokens"),
    ("more cached than read", |event| event.tokens = tokens(1, 0, 2, 0), "event.tokens"),
    ("more written to the cache than read", |event| event.tokens = tokens(1, 0, 0, 2), "event.tokens"),
    (
        "a quantity",
        |event| {
            event.quantities.insert("bytes".into(), CREDITS_MAX);
        },
        "",
    ),
    (
        "a quantity below zero",
        |event| {
            event.quantities.insert("bytes".into(), -1);
        },
        "event.quantities",
    ),
    (
        "a quantity above its bound",
        |event| {
            event.quantities.insert("bytes".into(), CREDITS_MAX + 1);
        },
        "event.quantities",
    ),
];

const TIMES: &[Case] = &[
    ("now", |event| event.occurred_at = moment(NOW, 0), ""),
    ("five minutes ago", |event| event.occurred_at = moment(NOW - 300, 0), ""),
    ("in five minutes", |event| event.occurred_at = moment(NOW + 300, 0), ""),
    ("longer ago", |event| event.occurred_at = moment(NOW - 301, 0), "event.occurred_at"),
    ("later", |event| event.occurred_at = moment(NOW + 301, 0), "event.occurred_at"),
    ("in an hour", |event| event.occurred_at = moment(NOW + 3_600, 0), "event.occurred_at"),
    ("a year ago", |event| event.occurred_at = moment(NOW - 31_536_000, 0), "event.occurred_at"),
    ("at the epoch", |event| event.occurred_at = moment(0, 0), "event.occurred_at"),
    ("before the epoch", |event| event.occurred_at = moment(-1, 0), "event.occurred_at"),
    ("too many nanos", |event| event.occurred_at = moment(NOW, 1_000_000_000), "event.occurred_at"),
    ("nanos below zero", |event| event.occurred_at = moment(NOW, -1), "event.occurred_at"),
    ("in the year 10000", |event| event.occurred_at = moment(253_402_300_800, 0), "event.occurred_at"),
    ("at the end", |event| event.occurred_at = moment(i64::MAX, 0), "event.occurred_at"),
    ("at the beginning", |event| event.occurred_at = moment(i64::MIN, 0), "event.occurred_at"),
];

const LENGTHS: &[Case] = &[
    ("no service", |event| event.service.clear(), "event.service"),
    ("a long service", |event| event.service = "s".repeat(128), ""),
    ("a service too long", |event| event.service = "s".repeat(129), "event.service"),
    ("bytes are counted, not letters", |event| event.service = "é".repeat(65), "event.service"),
    ("no endpoint", |event| event.endpoint.clear(), "event.endpoint"),
    ("a long endpoint", |event| event.endpoint = "e".repeat(1_024), ""),
    ("an endpoint too long", |event| event.endpoint = "e".repeat(1_025), "event.endpoint"),
    ("a method too long", |event| event.method = "m".repeat(33), "event.method"),
    ("a feature too long", |event| event.feature = "f".repeat(129), "event.feature"),
    ("a model too long", |event| event.model = "m".repeat(129), "event.model"),
    ("a region too long", |event| event.region = "r".repeat(65), "event.region"),
    ("a version too long", |event| event.api_version = "v".repeat(65), "event.api_version"),
    ("a country", |event| event.country = "PT".into(), ""),
    ("a country of one letter", |event| event.country = "P".into(), "event.country"),
    ("a country of three letters", |event| event.country = "PRT".into(), "event.country"),
    ("a country of digits", |event| event.country = "12".into(), "event.country"),
    ("8 consumers", |event| event.consumers = consumers(8, 1, "u"), ""),
    ("9 consumers", |event| event.consumers = consumers(9, 1, "u"), "event.consumers"),
    ("a consumer of no kind", |event| event.consumers = consumers(1, 0, "u"), "event.consumers"),
    ("a consumer of an unknown kind", |event| event.consumers = consumers(1, 99, "u"), "event.consumers"),
    ("a consumer without an id", |event| event.consumers = consumers(1, 1, ""), "event.consumers"),
    (
        "a consumer's id too long",
        |event| event.consumers = consumers(1, 1, &"u".repeat(128)),
        "event.consumers",
    ),
    (
        "17 quantities",
        |event| event.quantities = (0..17).map(|number| (format!("q{number}"), 1)).collect(),
        "event.quantities",
    ),
    (
        "17 dimensions",
        |event| event.dimensions = (0..17).map(|number| (format!("d{number}"), "x".into())).collect(),
        "event.dimensions",
    ),
    (
        "33 metadata",
        |event| event.metadata = (0..33).map(|number| (format!("m{number}"), "x".into())).collect(),
        "event.metadata",
    ),
    (
        "a dimension's value too long",
        |event| {
            event.dimensions.insert("team".into(), "x".repeat(257));
        },
        "event.dimensions",
    ),
    (
        "metadata too long",
        |event| {
            event.metadata.insert("note".into(), "x".repeat(1_025));
        },
        "event.metadata",
    ),
    (
        "a name of a quantity with a blank",
        |event| {
            event.quantities.insert("a b".into(), 1);
        },
        "event.quantities",
    ),
    (
        "a name of a dimension with a dollar",
        |event| {
            event.dimensions.insert("$where".into(), "x".into());
        },
        "event.dimensions",
    ),
    (
        "an empty name",
        |event| {
            event.metadata.insert(String::new(), "x".into());
        },
        "event.metadata",
    ),
];

fn violations(status: &tonic::Status) -> Vec<tonic_types::FieldViolation> {
    status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default()
}

async fn check_all(cases: &[Case]) {
    let server = Server::new().await.with_trusting_plan().await;
    let client = server.client(&server.key().await);
    for (name, change, wrong) in cases {
        let mut event = good();
        change(&mut event);
        let before = server.snapshot().await;
        let dry = v1::CheckRequest { event: Some(event.clone()), ..Default::default() };
        let checked = client.track().check(dry).await;
        let tracked = client.track().track(client.request(event)).await;
        if wrong.is_empty() {
            assert!(checked.is_ok() && tracked.is_ok(), "{name}: {checked:?} {tracked:?}");
            continue;
        }
        for status in [checked.unwrap_err(), tracked.unwrap_err()] {
            assert_eq!(Code::InvalidArgument, status.code(), "{name}: {status:?}");
            let fields = violations(&status);
            assert!(fields.iter().any(|field| field.field.starts_with(wrong)), "{name}: {fields:?}");
        }
        assert_eq!(before, server.snapshot().await, "{name}");
    }
}

#[tokio::test]
async fn numbers_have_bounds() {
    check_all(NUMBERS).await;
}

#[tokio::test]
async fn times_have_bounds() {
    check_all(TIMES).await;
}

#[tokio::test]
async fn lengths_have_bounds() {
    check_all(LENGTHS).await;
}

#[tokio::test]
async fn what_happened_may_be_35_days_old() {
    let server = Server::new().await;
    let client = server.client(&server.key().await);
    const DAY: i64 = 86_400;
    for (seconds, good_enough) in
        [(NOW - 34 * DAY, true), (NOW - 36 * DAY, false), (NOW + 3_600, false), (0, false)]
    {
        let event = v1::UsageEvent { occurred_at: moment(seconds, 0), ..good() };
        let request = v1::TrackRequest { mode: v1::TrackMode::Record.into(), ..client.request(event) };
        let recorded = client.track().track(request).await;
        assert_eq!(good_enough, recorded.is_ok(), "{seconds}: {recorded:?}");
    }
}

#[tokio::test]
async fn what_is_not_said_is_asked_for() {
    let server = Server::new().await;
    let before = server.snapshot().await;
    let client = server.client(&server.key().await);
    for (name, request, wrong) in [
        ("no event", v1::TrackRequest::default(), "event"),
        ("an unknown mode", v1::TrackRequest { mode: 99, ..client.request(good()) }, "mode"),
        ("a negative mode", v1::TrackRequest { mode: -1, ..client.request(good()) }, "mode"),
    ] {
        let status = client.track().track(request).await.unwrap_err();
        assert_eq!(Code::InvalidArgument, status.code(), "{name}: {status:?}");
        let fields = violations(&status);
        assert!(fields.iter().any(|field| field.field == wrong), "{name}: {fields:?}");
    }
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn a_wallet_has_a_bound() {
    let server = Server::new().await;
    let operator = server.operator();
    let grant = async |credits_micros: i64, request_id: &str| {
        let request = v1::GrantCreditsRequest {
            tenant_id: TENANT.to_owned(),
            credits_micros,
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        operator.plans().grant_credits(request).await.map_err(|status| status.code())
    };
    for (place, wrong) in [0, -1, i64::MIN, CREDITS_MAX + 1, i64::MAX].into_iter().enumerate() {
        assert_eq!(
            Some(Code::InvalidArgument),
            grant(wrong, &format!("wrong-{place}")).await.err(),
            "{wrong}"
        );
    }
    grant(CREDITS_MAX, "most").await.unwrap();
    assert_eq!(Some(Code::OutOfRange), grant(1, "one-more").await.err());
    assert_eq!(CREDITS_MAX, server.snapshot().await.balance_micros);
}
