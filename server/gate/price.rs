//! What a call costs in credits: the first rule that matches.

use std::sync::Arc;

use crate::fault::{Fault, Invalid, Reason};
use crate::gate::call::{Call, TokenCount};
use crate::gate::pattern::Pattern;
use crate::money::MICROS_MAX;

/// The price rules of a plan.
#[derive(Clone, Debug, Default)]
pub struct PriceList {
    /// In order; the first that matches holds.
    pub rules: Vec<PriceRule>,
    /// Whether callers may set the price of a call.
    pub caller_prices: CallerPrices,
}

/// Whether callers may set the price of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerPrices {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Trusted,
}

/// What a call costs. `None` and empty match every call.
#[derive(Clone, Debug, Default)]
pub struct PriceRule {
    /// The service.
    pub service: Option<Arc<str>>,
    /// The endpoints.
    pub endpoints: Option<Pattern>,
    /// The method.
    pub method: Option<Arc<str>>,
    /// Whether it is premium.
    pub premium: Option<bool>,
    /// The region.
    pub region: Option<Arc<str>>,
    /// The feature.
    pub feature: Option<Arc<str>>,
    /// The model.
    pub model: Option<Arc<str>>,
    /// Micro-credits for one unit of weight.
    pub micros_per_unit: i64,
    /// Micro-credits for a million tokens, on top.
    pub tokens: TokenPrices,
    /// Only calls with a status below 400, or none yet, are priced: others that match the rule cost nothing.
    pub success_only: bool,
}

/// Micro-credits for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPrices {
    /// Input that was not cached.
    pub input: i64,
    /// Output.
    pub output: i64,
    /// Input read from a cache.
    pub cached_input: i64,
    /// On top for input written to a cache.
    pub cache_write_input: i64,
}

/// A call has no price: the field of the call that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PriceError(Invalid);

impl Fault for PriceError {
    fn reason(&self) -> Reason {
        self.0.reason()
    }

    fn origin(&self) -> Option<&dyn Fault> {
        Some(&self.0)
    }
}

/// Tokens that a token price is for.
const TOKENS_PRICED: i128 = 1_000_000;
/// The first status that is not a success.
const STATUS_FAILED: u32 = 400;

impl PriceList {
    /// What the call costs in micro-credits, 0 to [`MICROS_MAX`].
    pub fn price(&self, call: &Call<'_>) -> Result<i64, PriceError> {
        if let Some(price) = call.caller_price_micros {
            return self.caller_price(price);
        }
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(call)) else { return Ok(0) };
        if rule.success_only && call.status_code >= STATUS_FAILED {
            return Ok(0);
        }
        let units = i128::from(rule.micros_per_unit).saturating_mul(i128::from(call.weight));
        let price = units.saturating_add(rule.tokens.of(call.tokens));
        let fits = i64::try_from(price).ok().filter(|price| (0..=MICROS_MAX).contains(price));
        fits.ok_or_else(|| wrong("event.weight", format!("prices the call at {price}, above {MICROS_MAX}")))
    }

    /// Whether a call may cost anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.rules.is_empty() && self.caller_prices == CallerPrices::Refused
    }

    fn caller_price(&self, price: i64) -> Result<i64, PriceError> {
        if self.caller_prices == CallerPrices::Refused {
            return Err(wrong(
                "event.credits_micros",
                "is set, but the plan does not let callers set prices".into(),
            ));
        }
        if !(0..=MICROS_MAX).contains(&price) {
            return Err(wrong("event.credits_micros", format!("{price} is not between 0 and {MICROS_MAX}")));
        }
        Ok(price)
    }
}

impl PriceRule {
    fn matches(&self, call: &Call<'_>) -> bool {
        let same =
            |wanted: &Option<Arc<str>>, given: &str| wanted.as_deref().is_none_or(|wanted| wanted == given);
        self.premium.is_none_or(|premium| premium == call.premium)
            && same(&self.service, call.service)
            && same(&self.method, call.method)
            && same(&self.region, call.region)
            && same(&self.feature, call.feature)
            && same(&self.model, call.model)
            && self.endpoints.as_ref().is_none_or(|endpoints| endpoints.matches(call.endpoint))
    }
}

impl TokenPrices {
    /// What the tokens cost in micro-credits: exact over the four kinds, rounded up once.
    fn of(self, tokens: TokenCount) -> i128 {
        let each = [
            (self.input, tokens.input.saturating_sub(tokens.cached_input)),
            (self.output, tokens.output),
            (self.cached_input, tokens.cached_input),
            (self.cache_write_input, tokens.cache_write_input),
        ];
        let sum = each.iter().fold(0_i128, |sum, &(price, count)| {
            sum.saturating_add(i128::from(price).saturating_mul(i128::from(count)))
        });
        sum.saturating_add(TOKENS_PRICED - 1).div_euclid(TOKENS_PRICED)
    }
}

fn wrong(field: &str, description: String) -> PriceError {
    PriceError(Invalid::field(field, description))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::CREDIT;

    fn call() -> Call<'static> {
        Call {
            service: "search",
            endpoint: "/v1/search/web",
            method: "GET",
            feature: "export",
            model: "large",
            region: "eu",
            premium: false,
            status_code: 0,
            weight: 3,
            caller_price_micros: None,
            tokens: TokenCount::default(),
            api_key: None,
            consumers: &[],
        }
    }

    fn rule() -> PriceRule {
        PriceRule { micros_per_unit: 2 * CREDIT, ..PriceRule::default() }
    }

    fn check(rules: Vec<PriceRule>, call: &Call<'_>, expected: Option<i64>) {
        let list = PriceList { rules, caller_prices: CallerPrices::Refused };
        assert_eq!(list.price(call).ok(), expected, "{list:?} {call:?}");
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let cheap = PriceRule { micros_per_unit: 1, ..PriceRule::default() };
        let text = |text: &str| Some(Arc::from(text));
        let endpoints = Some(Pattern::parse("/v1/search/*").unwrap());
        for (first, price) in [
            (rule(), 6 * CREDIT),
            (PriceRule { service: text("search"), endpoints, model: text("large"), ..rule() }, 6 * CREDIT),
            (PriceRule { service: text("files"), ..rule() }, 3),
            (PriceRule { method: text("POST"), ..rule() }, 3),
            (PriceRule { region: text("us"), ..rule() }, 3),
            (PriceRule { feature: text("import"), ..rule() }, 3),
            (PriceRule { model: text("small"), ..rule() }, 3),
            (PriceRule { premium: Some(true), ..rule() }, 3),
            (PriceRule { endpoints: Some(Pattern::parse("/v2/**").unwrap()), ..rule() }, 3),
        ] {
            check(vec![first, cheap.clone()], &call(), Some(price));
        }
        check(vec![], &call(), Some(0));
    }

    #[test]
    fn only_success_is_priced_where_the_rule_says_so() {
        for (status_code, price) in
            [(0, 6 * CREDIT), (200, 6 * CREDIT), (399, 6 * CREDIT), (400, 0), (503, 0)]
        {
            let only_success = PriceRule { success_only: true, ..rule() };
            check(vec![only_success, rule()], &Call { status_code, ..call() }, Some(price));
        }
    }

    #[test]
    fn tokens_are_rounded_up_once_over_all_kinds() {
        let tokens = TokenPrices { input: 3, output: 5, cached_input: 1, cache_write_input: 7 };
        let prices = PriceRule { micros_per_unit: 1, tokens, ..PriceRule::default() };
        for (input, output, cached_input, cache_write_input, price) in [
            (0, 0, 0, 0, 0),
            (1, 0, 0, 0, 1),
            (1, 1, 1, 1, 1),
            (1_000_000, 0, 0, 0, 3),
            (1_000_000, 0, 1_000_000, 0, 1),
            (1_000_000, 1_000_000, 500_000, 250_000, 9),
            (1_000_001, 0, 0, 0, 4),
        ] {
            let tokens = TokenCount { input, output, cached_input, cache_write_input };
            check(vec![prices.clone()], &Call { tokens, ..call() }, Some(price + 3));
        }
    }

    #[test]
    fn a_price_above_the_most_is_refused() {
        let most = PriceRule { micros_per_unit: MICROS_MAX, ..PriceRule::default() };
        check(vec![most.clone()], &Call { weight: 1, ..call() }, Some(MICROS_MAX));
        check(vec![most.clone()], &Call { weight: 2, ..call() }, None);
        check(
            vec![PriceRule { micros_per_unit: i64::MAX, ..most }],
            &Call { weight: i64::MAX, ..call() },
            None,
        );
    }

    #[test]
    fn a_callers_price_is_taken_only_where_it_is_trusted() {
        for (caller_prices, price, expected) in [
            (CallerPrices::Trusted, 0, Some(0)),
            (CallerPrices::Trusted, MICROS_MAX, Some(MICROS_MAX)),
            (CallerPrices::Trusted, MICROS_MAX + 1, None),
            (CallerPrices::Trusted, -1, None),
            (CallerPrices::Trusted, i64::MIN, None),
            (CallerPrices::Trusted, i64::MAX, None),
            (CallerPrices::Refused, 0, None),
            (CallerPrices::Refused, 1, None),
        ] {
            let list = PriceList { rules: vec![rule()], caller_prices };
            let answer = list.price(&Call { caller_price_micros: Some(price), ..call() });
            assert_eq!(answer.as_ref().ok(), expected.as_ref(), "{price}");
            if let Err(error) = answer {
                assert_eq!(error.violations()[0].field, "event.credits_micros");
            }
        }
    }
}
