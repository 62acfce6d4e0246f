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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::spec::TokenPrices;

    fn limit() -> RateLimit {
        RateLimit { name: String::from("minute"), limit: 60, window_seconds: 60, ..RateLimit::default() }
    }

    fn with_limit(limit: RateLimit) -> PlanSpec {
        PlanSpec { rate_limits: vec![limit], ..PlanSpec::default() }
    }

    fn with_quota(quota: Quota) -> PlanSpec {
        PlanSpec { quotas: vec![quota], ..PlanSpec::default() }
    }

    fn with_price(rule: PriceRule) -> PlanSpec {
        PlanSpec { prices: vec![rule], ..PlanSpec::default() }
    }

    fn month(limit: Option<i64>) -> Quota {
        Quota { name: String::from("month"), limit, ..Quota::default() }
    }

    fn check(spec: &PlanSpec, wrong: &[&str]) {
        let found = check_spec(spec, "spec", Vec::new()).err().map(|invalid| invalid.0).unwrap_or_default();
        let fields: Vec<_> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, wrong, "{found:?} in {spec:?}");
    }

    #[test]
    fn everything_within_its_bounds_is_good() {
        check(&PlanSpec::default(), &[]);
        for spec in [
            with_limit(RateLimit { limit: 10_000, window_seconds: 3_600, ..limit() }),
            with_limit(RateLimit {
                kind: RateKind::Fixed,
                limit: UNITS_MAX,
                window_seconds: 2_678_400,
                ..limit()
            }),
            with_limit(RateLimit { kind: RateKind::Bucket, burst: 60, ..limit() }),
            with_limit(RateLimit { kind: RateKind::Bucket, burst: 0, ..limit() }),
            with_limit(RateLimit { limit: 1, window_seconds: 1, name: "a".repeat(64), ..limit() }),
            with_limit(RateLimit { endpoints: String::from("/v1/**"), unit: "u".repeat(64), ..limit() }),
            with_quota(month(Some(0))),
            with_quota(month(Some(UNITS_MAX))),
            with_quota(month(None)),
            with_price(PriceRule { credits_micros: MICROS_MAX, ..PriceRule::default() }),
            PlanSpec { price_micros: 1, currency: String::from("EUR"), ..PlanSpec::default() },
            PlanSpec {
                credits_per_period_micros: MICROS_MAX,
                overage_max_micros: MICROS_MAX,
                ..PlanSpec::default()
            },
        ] {
            check(&spec, &[]);
        }
    }

    #[test]
    fn each_bound_of_a_rate_limit_is_held() {
        let cases = [
            (RateLimit { name: String::new(), ..limit() }, "name"),
            (RateLimit { name: String::from("Minute"), ..limit() }, "name"),
            (RateLimit { name: "a".repeat(65), ..limit() }, "name"),
            (RateLimit { limit: 0, ..limit() }, "limit"),
            (RateLimit { limit: -1, ..limit() }, "limit"),
            (RateLimit { limit: 10_001, ..limit() }, "limit"),
            (RateLimit { kind: RateKind::Fixed, limit: UNITS_MAX + 1, ..limit() }, "limit"),
            (RateLimit { window_seconds: 0, ..limit() }, "window"),
            (RateLimit { window_seconds: -60, ..limit() }, "window"),
            (RateLimit { window_seconds: 3_601, ..limit() }, "window"),
            (RateLimit { kind: RateKind::Fixed, window_seconds: 2_678_401, ..limit() }, "window"),
            (RateLimit { kind: RateKind::Bucket, window_seconds: 2_678_401, ..limit() }, "window"),
            (RateLimit { kind: RateKind::Bucket, burst: 61, ..limit() }, "burst"),
            (RateLimit { kind: RateKind::Bucket, burst: -1, ..limit() }, "burst"),
            (RateLimit { burst: 1, ..limit() }, "burst"),
            (RateLimit { kind: RateKind::Fixed, burst: 1, ..limit() }, "burst"),
            (RateLimit { unit: "u".repeat(65), ..limit() }, "unit"),
            (RateLimit { unit: String::from("a\nb"), ..limit() }, "unit"),
            (RateLimit { endpoints: "/".repeat(100_000), ..limit() }, "endpoints"),
        ];
        for (limit, field) in cases {
            check(&with_limit(limit), &[&format!("spec.rate_limits[0].{field}")]);
        }
    }

    #[test]
    fn each_bound_of_quotas_prices_and_sums_is_held() {
        let tokens = |price| TokenPrices { output_micros_per_million: price, ..TokenPrices::default() };
        let rule = PriceRule::default;
        let cases = [
            (with_quota(Quota { name: String::from("a b"), ..month(None) }), "quotas[0].name"),
            (with_quota(month(Some(-1))), "quotas[0].limit"),
            (with_quota(month(Some(UNITS_MAX + 1))), "quotas[0].limit"),
            (with_price(PriceRule { credits_micros: -1, ..rule() }), "prices[0].credits_micros"),
            (with_price(PriceRule { credits_micros: MICROS_MAX + 1, ..rule() }), "prices[0].credits_micros"),
            (with_price(PriceRule { service: "s".repeat(129), ..rule() }), "prices[0].service"),
            (with_price(PriceRule { method: "m".repeat(33), ..rule() }), "prices[0].method"),
            (with_price(PriceRule { region: "r".repeat(65), ..rule() }), "prices[0].region"),
            (with_price(PriceRule { feature: "f".repeat(129), ..rule() }), "prices[0].feature"),
            (with_price(PriceRule { model: "m".repeat(129), ..rule() }), "prices[0].model"),
            (
                with_price(PriceRule { tokens: tokens(-1), ..rule() }),
                "prices[0].tokens.output_micros_per_million",
            ),
            (PlanSpec { credits_per_period_micros: -1, ..PlanSpec::default() }, "credits_per_period_micros"),
            (PlanSpec { overage_max_micros: MICROS_MAX + 1, ..PlanSpec::default() }, "overage_max_micros"),
            (
                PlanSpec { price_micros: -1, currency: String::from("EUR"), ..PlanSpec::default() },
                "price_micros",
            ),
            (PlanSpec { price_micros: 1, ..PlanSpec::default() }, "currency"),
            (PlanSpec { price_micros: 1, currency: String::from("eur"), ..PlanSpec::default() }, "currency"),
            (PlanSpec { currency: String::from("EUR"), ..PlanSpec::default() }, "currency"),
            (PlanSpec { features: vec![String::new()], ..PlanSpec::default() }, "features[0]"),
            (
                PlanSpec { untracked_endpoints: vec![String::new()], ..PlanSpec::default() },
                "untracked_endpoints[0]",
            ),
        ];
        for (spec, field) in cases {
            check(&spec, &[&format!("spec.{field}")]);
        }
    }

    #[test]
    fn lists_are_bounded() {
        let limits = (0..17).map(|number| RateLimit { name: format!("l{number}"), ..limit() });
        check(&PlanSpec { rate_limits: limits.collect(), ..PlanSpec::default() }, &["spec.rate_limits"]);
        let quotas = (0..9).map(|number| Quota { name: format!("q{number}"), ..month(None) });
        check(&PlanSpec { quotas: quotas.collect(), ..PlanSpec::default() }, &["spec.quotas"]);
        check(&PlanSpec { prices: vec![PriceRule::default(); 257], ..PlanSpec::default() }, &["spec.prices"]);
        check(
            &PlanSpec { features: vec![String::from("f"); 257], ..PlanSpec::default() },
            &["spec.features"],
        );
        let untracked = vec![String::from("/health"); 65];
        check(
            &PlanSpec { untracked_endpoints: untracked, ..PlanSpec::default() },
            &["spec.untracked_endpoints"],
        );
    }

    #[test]
    fn names_are_unique_among_limits_and_quotas_and_all_faults_are_said_at_once() {
        let spec = PlanSpec {
            rate_limits: vec![limit(), RateLimit { limit: 0, ..limit() }],
            quotas: vec![Quota { name: String::from("minute"), ..month(None) }],
            ..PlanSpec::default()
        };
        check(&spec, &["spec.rate_limits[1].name", "spec.rate_limits[1].limit", "spec.quotas[0].name"]);
    }

    #[test]
    fn slugs_and_names_of_plans_are_bounded() {
        let long = "a".repeat(65);
        let cases = [
            ("free", "Free", None),
            ("a1-b", "ü", None),
            ("", "Free", Some("slug")),
            ("1a", "Free", Some("slug")),
            ("-a", "Free", Some("slug")),
            ("Free", "Free", Some("slug")),
            ("pln_1", "Free", Some("slug")),
            (&long, "Free", Some("slug")),
            ("free", "", Some("name")),
            ("free", "a\u{7}", Some("name")),
        ];
        for (slug, name, wrong) in cases {
            let found = check_names(slug, name).err().map(|invalid| invalid.0[0].field.clone());
            assert_eq!(found.as_deref(), wrong, "`{slug}` `{name}`");
        }
    }
}
