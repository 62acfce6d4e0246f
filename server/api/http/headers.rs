//! The limits of a call as response headers: the well-known ones, and those of the IETF.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_client::v1::{LimitKind, LimitState, Verdict};

use crate::config::ResetFormat;
use crate::time::Timestamp;

/// The largest integer of a structured field (RFC 9651).
const STRUCTURED_MAX: i64 = 999_999_999_999_999;
/// What a limit counts where nothing else is said.
const REQUESTS: &str = "requests";

/// Says the limits of a verdict: the tightest rate limit and quota in `X-` headers, all of them in structured fields.
pub(super) fn add_limits(headers: &mut HeaderMap, verdict: &Verdict, now: Timestamp, format: ResetFormat) {
    let (quotas, rates): (Vec<Bounded<'_>>, Vec<Bounded<'_>>) = verdict
        .limits
        .iter()
        .filter_map(Bounded::of)
        .partition(|limit| limit.state.kind() == LimitKind::Quota);
    if let Some(rate) = tightest(&rates, &verdict.denied_by) {
        add_legacy(
            headers,
            ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
            rate,
            format,
        );
    }
    if let Some(quota) = tightest(&quotas, &verdict.denied_by) {
        add_legacy(headers, ["x-quota-limit", "x-quota-remaining", "x-quota-reset"], quota, format);
    }
    let all = || rates.iter().chain(&quotas);
    add(headers, "ratelimit-policy", &all().map(policy).collect::<Vec<_>>().join(", "));
    add(headers, "ratelimit", &all().map(|limit| state(limit, now)).collect::<Vec<_>>().join(", "));
    if let Some(wait) = &verdict.retry_after {
        add(headers, "retry-after", &seconds_up(wait.seconds, wait.nanos).max(1).to_string());
    }
}

/// A limit that is not unlimited.
#[derive(Clone, Copy, Debug)]
struct Bounded<'a> {
    state: &'a LimitState,
    limit: i64,
    remaining: i64,
}

impl<'a> Bounded<'a> {
    fn of(state: &'a LimitState) -> Option<Self> {
        let limit = state.limit?;
        Some(Self { state, limit, remaining: state.remaining.unwrap_or_default() })
    }

    /// When it is free again, in seconds since the epoch, rounded up so that nobody comes too early.
    fn reset(&self) -> Option<i64> {
        self.state.reset_at.as_ref().map(|at| seconds_up(at.seconds, at.nanos))
    }
}

/// The one that refused, or the one with the least left.
fn tightest<'a, 'b>(limits: &'b [Bounded<'a>], denied_by: &str) -> Option<&'b Bounded<'a>> {
    let refused = limits.iter().find(|limit| limit.state.name == denied_by);
    refused.or_else(|| limits.iter().min_by_key(|limit| limit.remaining))
}

fn add_legacy(headers: &mut HeaderMap, names: [&'static str; 3], limit: &Bounded<'_>, format: ResetFormat) {
    let [name_limit, name_remaining, name_reset] = names;
    add(headers, name_limit, &limit.limit.to_string());
    add(headers, name_remaining, &limit.remaining.to_string());
    let Some(reset) = limit.reset() else { return };
    let reset = match format {
        ResetFormat::Epoch => reset.to_string(),
        ResetFormat::Rfc3339 => Timestamp::EPOCH.plus(reset.saturating_mul(crate::time::SECOND)).to_string(),
    };
    add(headers, name_reset, &reset);
}

/// `"minute";q=60;w=60`
fn policy(limit: &Bounded<'_>) -> String {
    let mut item = format!("{};q={}", quoted(&limit.state.name), structured(limit.limit));
    if let Some(window) = &limit.state.window {
        item.push_str(&format!(";w={}", structured(seconds_up(window.seconds, window.nanos))));
    }
    if limit.state.unit != REQUESTS {
        item.push_str(&format!(";qu={}", quoted(&limit.state.unit)));
    }
    item
}

/// `"minute";r=45;t=12`
fn state(limit: &Bounded<'_>, now: Timestamp) -> String {
    let mut item = format!("{};r={}", quoted(&limit.state.name), structured(limit.remaining));
    if let Some(reset) = limit.reset() {
        item.push_str(&format!(";t={}", structured(reset.saturating_sub(now.seconds()).max(0))));
    }
    item
}

/// A string of a structured field: printable ASCII, with `"` and `\` escaped. Other letters are percent-encoded.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ' '..='~' => quoted.push(letter),
            _ => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

fn structured(number: i64) -> i64 {
    number.clamp(-STRUCTURED_MAX, STRUCTURED_MAX)
}

fn seconds_up(seconds: i64, nanos: i32) -> i64 {
    seconds.saturating_add(i64::from(nanos > 0))
}

fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if value.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(
        name: &str,
        kind: LimitKind,
        limit: Option<i64>,
        remaining: Option<i64>,
        reset: (i64, i32),
    ) -> LimitState {
        LimitState {
            name: name.to_owned(),
            kind: kind.into(),
            unit: REQUESTS.to_owned(),
            limit,
            remaining,
            window: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            reset_at: Some(prost_types::Timestamp { seconds: reset.0, nanos: reset.1 }),
        }
    }

    fn said(verdict: &Verdict, format: ResetFormat) -> HeaderMap {
        let mut headers = HeaderMap::new();
        add_limits(&mut headers, verdict, Timestamp::from_micros(1_000_000_000), format);
        headers
    }

    #[track_caller]
    fn check(headers: &HeaderMap, name: &str, expected: Option<&str>) {
        assert_eq!(expected, headers.get(name).map(|value| value.to_str().unwrap()), "{name}");
    }

    #[test]
    fn the_tightest_limit_of_each_family_is_said() {
        let limits = vec![
            limit("second", LimitKind::TokenBucket, Some(10), Some(9), (1001, 0)),
            limit("minute", LimitKind::SlidingWindow, Some(60), Some(4), (1012, 500)),
            limit("month", LimitKind::Quota, Some(1000), Some(900), (9000, 0)),
            limit("all", LimitKind::Quota, None, None, (9000, 0)),
        ];
        let headers = said(&Verdict { limits, ..Verdict::default() }, ResetFormat::Epoch);
        check(&headers, "x-ratelimit-limit", Some("60"));
        check(&headers, "x-ratelimit-remaining", Some("4"));
        check(&headers, "x-ratelimit-reset", Some("1013"));
        check(&headers, "x-quota-limit", Some("1000"));
        check(&headers, "x-quota-remaining", Some("900"));
        check(&headers, "x-quota-reset", Some("9000"));
        check(&headers, "retry-after", None);
        check(
            &headers,
            "ratelimit-policy",
            Some(r#""second";q=10;w=60, "minute";q=60;w=60, "month";q=1000;w=60"#),
        );
        check(&headers, "ratelimit", Some(r#""second";r=9;t=1, "minute";r=4;t=13, "month";r=900;t=8000"#));
    }

    #[test]
    fn the_limit_that_refused_is_said_though_another_has_less() {
        let limits = vec![
            limit("second", LimitKind::TokenBucket, Some(10), Some(0), (1001, 0)),
            limit("minute", LimitKind::SlidingWindow, Some(60), Some(2), (1012, 0)),
        ];
        let wait = prost_types::Duration { seconds: 11, nanos: 1 };
        let verdict =
            Verdict { limits, denied_by: "minute".into(), retry_after: Some(wait), ..Verdict::default() };
        let headers = said(&verdict, ResetFormat::Rfc3339);
        check(&headers, "x-ratelimit-limit", Some("60"));
        check(&headers, "x-ratelimit-reset", Some("1970-01-01T00:16:52Z"));
        check(&headers, "retry-after", Some("12"));
    }

    #[test]
    fn no_name_breaks_out_of_its_field() {
        let mut odd = limit("a\"b\\c é\r\n", LimitKind::FixedWindow, Some(i64::MAX), Some(-1), (0, 0));
        odd.unit = "bytes".into();
        let headers = said(&Verdict { limits: vec![odd], ..Verdict::default() }, ResetFormat::Epoch);
        check(
            &headers,
            "ratelimit-policy",
            Some(r#""a\"b\\c %C3%A9%0D%0A";q=999999999999999;w=60;qu="bytes""#),
        );
        check(&headers, "ratelimit", Some(r#""a\"b\\c %C3%A9%0D%0A";r=-1;t=0"#));
    }

    #[test]
    fn without_limits_nothing_is_said() {
        assert!(said(&Verdict::default(), ResetFormat::Epoch).is_empty());
    }

    #[test]
    fn waiting_less_than_a_second_is_one_second() {
        let wait = prost_types::Duration { seconds: 0, nanos: 0 };
        let verdict = Verdict { retry_after: Some(wait), ..Verdict::default() };
        check(&said(&verdict, ResetFormat::Epoch), "retry-after", Some("1"));
    }
}
