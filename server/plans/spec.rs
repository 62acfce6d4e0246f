//! What a plan promises, as it is written and kept.

use serde::{Deserialize, Serialize};

use crate::gate::policy::FailPolicy;

/// What a plan promises. Its bounds are those of `plans.proto`, held by [`crate::plans::bounds`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanSpec {
    /// How fast a tenant may call.
    pub rate_limits: Vec<RateLimit>,
    /// How much a tenant may use in a billing period.
    pub quotas: Vec<Quota>,
    /// Granted in each period and ending with it, in micro-credits; 0: none.
    pub credits_per_period_micros: i64,
    /// What a call costs: the first rule that matches.
    pub prices: Vec<PriceRule>,
    /// Whether calls to premium endpoints may pass.
    pub premium: bool,
    /// Which features calls may name; `*`: every one.
    pub features: Vec<String>,
    /// Patterns of endpoints that are always allowed and never kept.
    pub untracked_endpoints: Vec<String>,
    /// Whether callers may set the price of a call.
    pub caller_prices: CallerPrices,
    /// What may be charged in a period beyond all grants, in micro-credits.
    pub overage_max_micros: i64,
    /// What the plan costs a period, in millionths of the currency.
    pub price_micros: i64,
    /// The currency of the price; empty where it is free.
    pub currency: String,
    /// What credits do while the counters are away; `None`: as the server is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits_fail_policy: Option<FailPolicy>,
}

/// How fast calls may come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Its name, unique among limits and quotas of the plan.
    pub name: String,
    /// How it counts.
    pub kind: RateKind,
    /// Units that may pass in one window.
    pub limit: i64,
    /// The window in seconds.
    pub window_seconds: i64,
    /// Units that a token bucket holds; 0: the same as `limit`, and for the other kinds.
    pub burst: i64,
    /// Whom it counts together.
    pub scope: Scope,
    /// The pattern of the endpoints it applies to; empty: all.
    pub endpoints: String,
    /// What a unit is; empty: requests.
    pub unit: String,
    /// What it does while the counters are away; `None`: as the server is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_policy: Option<FailPolicy>,
}

/// How a rate limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKind {
    /// An exact sliding window.
    #[default]
    Sliding,
    /// A token bucket.
    Bucket,
    /// A fixed window.
    Fixed,
}

/// Whom a limit counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All calls of the tenant.
    #[default]
    Tenant,
    /// Each API key apart.
    ApiKey,
    /// Each consumer apart.
    Consumer,
}

/// How much may be used in a billing period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Its name, unique among limits and quotas of the plan.
    pub name: String,
    /// Units that may be used; `None`: unlimited, but counted.
    pub limit: Option<i64>,
    /// The pattern of the endpoints it applies to; empty: all.
    pub endpoints: String,
    /// What a unit is; empty: requests.
    pub unit: String,
    /// What it does while the counters are away; `None`: as the server is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_policy: Option<FailPolicy>,
}

/// What a call costs. A field that is empty matches every call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceRule {
    /// The service.
    pub service: String,
    /// The pattern of the endpoints.
    pub endpoints: String,
    /// The method.
    pub method: String,
    /// Whether it is premium; `None`: both.
    pub premium: Option<bool>,
    /// The region.
    pub region: String,
    /// The feature.
    pub feature: String,
    /// The model.
    pub model: String,
    /// Micro-credits for one unit of weight.
    pub credits_micros: i64,
    /// Prices on top for tokens.
    pub tokens: TokenPrices,
    /// Which outcomes are priced.
    pub outcome: PricedOutcome,
}

/// Micro-credits for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenPrices {
    /// Input that was not cached.
    pub input_micros_per_million: i64,
    /// Output.
    pub output_micros_per_million: i64,
    /// Input read from a cache.
    pub cached_input_micros_per_million: i64,
    /// On top for input written to a cache.
    pub cache_write_input_micros_per_million: i64,
}

/// Which outcomes are priced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricedOutcome {
    /// Every call.
    #[default]
    Any,
    /// Only calls with a status below 400, or none yet.
    Success,
}

/// Whether callers may set the price of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerPrices {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Trusted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_of_fail_policies_is_kept_as_it_was_before_there_were_any() {
        let kept = r#"{"rate_limits":[{"name":"minute"}],"quotas":[{"name":"month","limit":5}]}"#;
        let mut spec: PlanSpec = serde_json::from_str(kept).unwrap();
        assert_eq!((spec.rate_limits[0].fail_policy, spec.quotas[0].fail_policy), (None, None));
        assert!(!serde_json::to_string(&spec).unwrap().contains("fail_policy"));

        spec.rate_limits[0].fail_policy = Some(FailPolicy::Open);
        spec.quotas[0].fail_policy = Some(FailPolicy::Closed);
        spec.credits_fail_policy = Some(FailPolicy::Local);
        let kept = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<PlanSpec>(&kept).unwrap(), spec);
        for said in
            [r#""fail_policy":"open""#, r#""fail_policy":"closed""#, r#""credits_fail_policy":"local""#]
        {
            assert!(kept.contains(said), "{kept}");
        }
    }
}
