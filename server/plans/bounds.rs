//! The bounds of a plan, as `plans.proto` states them: everything that is wrong is said at once, each with its path.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use crate::fault::{Invalid, Violation};
use crate::gate::pattern::Pattern;
use crate::money::MICROS_MAX;
use crate::plans::spec::{PlanSpec, PriceRule, Quota, RateKind, RateLimit};

const RATE_LIMITS_MAX: usize = 16;
const QUOTAS_MAX: usize = 8;
const PRICES_MAX: usize = 256;
const FEATURES_MAX: usize = 256;
const UNTRACKED_MAX: usize = 64;
const UNITS_MAX: i64 = MICROS_MAX;
const SLIDING_LIMIT_MAX: i64 = 10_000;
const SLIDING_SECONDS_MAX: i64 = 60 * 60;
const WINDOW_SECONDS_MAX: i64 = 31 * 24 * 60 * 60;
const LIMIT_NAME_MAX: usize = 64;
const UNIT_BYTES_MAX: usize = 64;
const NAME_CHARACTERS_MAX: usize = 128;
const SLUG_MAX: usize = 64;

/// Says all that is wrong with `spec`, under the path `at`, after what was found wrong before.
pub fn check_spec(spec: &PlanSpec, at: &str, found: Vec<Violation>) -> Result<(), Invalid> {
    let mut bounds = Bounds { found };
    bounds.spec(spec, at);
    bounds.end()
}

/// Says what is wrong with the slug and the name of a plan.
pub fn check_names(slug: &str, name: &str) -> Result<(), Invalid> {
    let mut bounds = Bounds { found: Vec::new() };
    let lower_case = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let slug_is_good = (1..=SLUG_MAX).contains(&slug.len())
        && slug.chars().all(lower_case)
        && slug.starts_with(|letter: char| letter.is_ascii_lowercase());
    bounds.hold(slug_is_good, "slug", || {
        format!("`{slug}` is not 1 to {SLUG_MAX} characters of a-z 0-9 -, starting with a letter")
    });
    bounds.hold(is_name(name), "name", || {
        String::from("must have 1 to 128 characters, none of them a control character")
    });
    bounds.end()
}

/// Whether a name for people is one: 1 to 128 characters, none of them a control character.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

struct Bounds {
    found: Vec<Violation>,
}

impl Bounds {
    fn spec(&mut self, spec: &PlanSpec, at: &str) {
        self.count(spec.rate_limits.len(), RATE_LIMITS_MAX, format!("{at}.rate_limits"));
        self.count(spec.quotas.len(), QUOTAS_MAX, format!("{at}.quotas"));
        self.count(spec.prices.len(), PRICES_MAX, format!("{at}.prices"));
        self.count(spec.features.len(), FEATURES_MAX, format!("{at}.features"));
        self.count(spec.untracked_endpoints.len(), UNTRACKED_MAX, format!("{at}.untracked_endpoints"));

        let mut names = HashSet::new();
        for (place, limit) in spec.rate_limits.iter().take(RATE_LIMITS_MAX).enumerate() {
            let at = format!("{at}.rate_limits[{place}]");
            self.limit_name(&limit.name, &mut names, &at);
            self.rate_limit(limit, &at);
        }
        for (place, quota) in spec.quotas.iter().take(QUOTAS_MAX).enumerate() {
            let at = format!("{at}.quotas[{place}]");
            self.limit_name(&quota.name, &mut names, &at);
            self.quota(quota, &at);
        }
        for (place, rule) in spec.prices.iter().take(PRICES_MAX).enumerate() {
            self.price_rule(rule, &format!("{at}.prices[{place}]"));
        }
        for (place, feature) in spec.features.iter().take(FEATURES_MAX).enumerate() {
            self.text(feature, 1..=128, format!("{at}.features[{place}]"));
        }
        for (place, pattern) in spec.untracked_endpoints.iter().take(UNTRACKED_MAX).enumerate() {
            let at = format!("{at}.untracked_endpoints[{place}]");
            self.hold(!pattern.is_empty(), &at, || String::from("must not be empty"));
            self.pattern(pattern, at);
        }

        self.number(
            spec.credits_per_period_micros,
            0..=MICROS_MAX,
            format!("{at}.credits_per_period_micros"),
        );
        self.number(spec.overage_max_micros, 0..=MICROS_MAX, format!("{at}.overage_max_micros"));
        self.number(spec.price_micros, 0..=MICROS_MAX, format!("{at}.price_micros"));
        self.currency(spec, &format!("{at}.currency"));
    }

    fn limit_name<'a>(&mut self, name: &'a str, names: &mut HashSet<&'a str>, at: &str) {
        let letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        let good = (1..=LIMIT_NAME_MAX).contains(&name.len()) && name.bytes().all(letter);
        let at = format!("{at}.name");
        self.hold(good, &at, || format!("`{name}` is not 1 to {LIMIT_NAME_MAX} characters of a-z 0-9 _ -"));
        self.hold(names.insert(name), &at, || format!("`{name}` is the name of another limit or quota"));
    }

    fn rate_limit(&mut self, limit: &RateLimit, at: &str) {
        let (limit_max, seconds_max) = match limit.kind {
            RateKind::Sliding => (SLIDING_LIMIT_MAX, SLIDING_SECONDS_MAX),
            RateKind::Bucket | RateKind::Fixed => (UNITS_MAX, WINDOW_SECONDS_MAX),
        };
        self.number(limit.limit, 1..=limit_max, format!("{at}.limit"));
        self.hold((1..=seconds_max).contains(&limit.window_seconds), &format!("{at}.window"), || {
            format!("{} s is not 1 to {seconds_max} s", limit.window_seconds)
        });
        let burst_max = if limit.kind == RateKind::Bucket { limit.limit.max(0) } else { 0 };
        self.number(limit.burst, 0..=burst_max, format!("{at}.burst"));
        self.pattern(&limit.endpoints, format!("{at}.endpoints"));
        self.text(&limit.unit, 0..=UNIT_BYTES_MAX, format!("{at}.unit"));
    }

    fn quota(&mut self, quota: &Quota, at: &str) {
        if let Some(limit) = quota.limit {
            self.number(limit, 0..=UNITS_MAX, format!("{at}.limit"));
        }
        self.pattern(&quota.endpoints, format!("{at}.endpoints"));
        self.text(&quota.unit, 0..=UNIT_BYTES_MAX, format!("{at}.unit"));
    }

    fn price_rule(&mut self, rule: &PriceRule, at: &str) {
        self.text(&rule.service, 0..=128, format!("{at}.service"));
        self.pattern(&rule.endpoints, format!("{at}.endpoints"));
        self.text(&rule.method, 0..=32, format!("{at}.method"));
        self.text(&rule.region, 0..=64, format!("{at}.region"));
        self.text(&rule.feature, 0..=128, format!("{at}.feature"));
        self.text(&rule.model, 0..=128, format!("{at}.model"));
        self.number(rule.credits_micros, 0..=MICROS_MAX, format!("{at}.credits_micros"));
        for (price, name) in [
            (rule.tokens.input_micros_per_million, "input_micros_per_million"),
            (rule.tokens.output_micros_per_million, "output_micros_per_million"),
            (rule.tokens.cached_input_micros_per_million, "cached_input_micros_per_million"),
            (rule.tokens.cache_write_input_micros_per_million, "cache_write_input_micros_per_million"),
        ] {
            self.number(price, 0..=MICROS_MAX, format!("{at}.tokens.{name}"));
        }
    }

    fn currency(&mut self, spec: &PlanSpec, at: &str) {
        let currency = &spec.currency;
        if spec.price_micros == 0 {
            self.hold(currency.is_empty(), at, || format!("`{currency}` has no price to be the currency of"));
        } else {
            let good = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
            self.hold(good, at, || format!("`{currency}` is not three letters of ISO 4217"));
        }
    }

    fn pattern(&mut self, pattern: &str, at: String) {
        if pattern.is_empty() {
            return;
        }
        if let Err(error) = Pattern::parse(pattern) {
            self.found.push(Violation { field: at, description: error.to_string() });
        }
    }

    fn count(&mut self, count: usize, most: usize, at: String) {
        if count > most {
            self.found.push(Violation {
                field: at,
                description: format!("has {count} entries, at most {most} are allowed"),
            });
        }
    }

    fn number(&mut self, number: i64, bounds: RangeInclusive<i64>, at: String) {
        if !bounds.contains(&number) {
            let description = format!("{number} is not {} to {}", bounds.start(), bounds.end());
            self.found.push(Violation { field: at, description });
        }
    }

    fn text(&mut self, text: &str, bytes: RangeInclusive<usize>, at: String) {
        if !bytes.contains(&text.len()) || text.chars().any(char::is_control) {
            let description = format!(
                "must have {} to {} bytes, none of them a control character",
                bytes.start(),
                bytes.end()
            );
            self.found.push(Violation { field: at, description });
        }
    }

    fn hold(&mut self, good: bool, at: &str, description: impl FnOnce() -> String) {
        if !good {
            self.found.push(Violation { field: at.to_owned(), description: description() });
        }
    }

    fn end(self) -> Result<(), Invalid> {
        if self.found.is_empty() { Ok(()) } else { Err(Invalid(self.found)) }
    }
}
