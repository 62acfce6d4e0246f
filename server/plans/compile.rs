//! From the promise to the rules: a version of a plan becomes the policy that the gate decides by.

use std::sync::Arc;

use crate::gate::decision::LimitKind;
use crate::gate::pattern::{Pattern, PatternError};
use crate::gate::period::PeriodRule;
use crate::gate::policy::{self, Features, LimitKey, PlanRef, Policy, Upgrade};
use crate::gate::price::{self, PriceList};
use crate::plans::plan::{Plan, PlanVersion};
use crate::plans::spec::{
    CallerPrices, PlanSpec, PriceRule, PricedOutcome, Quota, RateKind, RateLimit, Scope,
};
use crate::time::SECOND;

/// What a unit is where the plan does not say.
const REQUESTS: &str = "requests";
/// The feature that stands for every one.
const EVERY_FEATURE: &str = "*";

/// The policy of those who subscribe to a version.
///
/// The allowance is promised by the plan: a tenant gets that of each plan once in a period, however often it changes to
/// and fro. So its grants are named by plan and period, and tenants of one plan share a policy.
pub fn compile(
    plan: &Plan,
    version: &PlanVersion,
    period: PeriodRule,
    upgrade: Option<Upgrade>,
) -> Result<Policy, PatternError> {
    let spec = &version.spec;
    Ok(Policy {
        plan: PlanRef { slug: plan.slug.as_str().into(), version: version.number },
        rates: spec.rate_limits.iter().map(rate).collect::<Result<_, _>>()?,
        quotas: spec.quotas.iter().map(quota).collect::<Result<_, _>>()?,
        period,
        prices: prices(spec)?,
        premium: spec.premium,
        features: features(spec),
        untracked: spec
            .untracked_endpoints
            .iter()
            .map(|text| Pattern::parse(text))
            .collect::<Result<_, _>>()?,
        allowance_micros: spec.credits_per_period_micros,
        subscription: plan.id.as_str().into(),
        overage_max_micros: spec.overage_max_micros,
        upgrade,
    })
}

fn rate(limit: &RateLimit) -> Result<policy::RateLimit, PatternError> {
    let window = window(limit);
    let kind = match limit.kind {
        RateKind::Sliding => policy::RateKind::Sliding,
        RateKind::Bucket if limit.burst == 0 => policy::RateKind::Bucket { burst: limit.limit },
        RateKind::Bucket => policy::RateKind::Bucket { burst: limit.burst },
        RateKind::Fixed => policy::RateKind::Fixed,
    };
    let scope = match limit.scope {
        Scope::Tenant => policy::Scope::Tenant,
        Scope::ApiKey => policy::Scope::ApiKey,
        Scope::Consumer => policy::Scope::Consumer,
    };
    Ok(policy::RateLimit {
        name: limit.name.as_str().into(),
        key: rate_key(limit),
        kind,
        limit: limit.limit,
        window,
        scope,
        endpoints: pattern(&limit.endpoints)?,
        unit: unit(&limit.unit),
    })
}

/// The counter of a rate limit: that of the same name, kind and window in any other plan or version.
pub(super) fn rate_key(limit: &RateLimit) -> LimitKey {
    let kind = match limit.kind {
        RateKind::Sliding => LimitKind::Sliding,
        RateKind::Bucket => LimitKind::Bucket,
        RateKind::Fixed => LimitKind::Fixed,
    };
    LimitKey::of(&limit.name, kind, window(limit))
}

/// The counter of a quota.
pub(super) fn quota_key(quota: &Quota) -> LimitKey {
    LimitKey::of(&quota.name, LimitKind::Quota, 0)
}

const fn window(limit: &RateLimit) -> i64 {
    limit.window_seconds.saturating_mul(SECOND)
}

fn quota(quota: &Quota) -> Result<policy::Quota, PatternError> {
    Ok(policy::Quota {
        name: quota.name.as_str().into(),
        key: quota_key(quota),
        limit: quota.limit,
        endpoints: pattern(&quota.endpoints)?,
        unit: unit(&quota.unit),
    })
}

fn prices(spec: &PlanSpec) -> Result<PriceList, PatternError> {
    let caller_prices = match spec.caller_prices {
        CallerPrices::Refused => price::CallerPrices::Refused,
        CallerPrices::Trusted => price::CallerPrices::Trusted,
    };
    Ok(PriceList { rules: spec.prices.iter().map(price_rule).collect::<Result<_, _>>()?, caller_prices })
}

fn price_rule(rule: &PriceRule) -> Result<price::PriceRule, PatternError> {
    let given = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
    Ok(price::PriceRule {
        service: given(&rule.service),
        endpoints: pattern(&rule.endpoints)?,
        method: given(&rule.method),
        premium: rule.premium,
        region: given(&rule.region),
        feature: given(&rule.feature),
        model: given(&rule.model),
        micros_per_unit: rule.credits_micros,
        tokens: price::TokenPrices {
            input: rule.tokens.input_micros_per_million,
            output: rule.tokens.output_micros_per_million,
            cached_input: rule.tokens.cached_input_micros_per_million,
            cache_write_input: rule.tokens.cache_write_input_micros_per_million,
        },
        success_only: rule.outcome == PricedOutcome::Success,
    })
}

fn features(spec: &PlanSpec) -> Features {
    if spec.features.iter().any(|feature| feature == EVERY_FEATURE) {
        return Features::All;
    }
    let mut features: Vec<Arc<str>> = spec.features.iter().map(|feature| feature.as_str().into()).collect();
    features.sort();
    features.dedup();
    Features::Only(features)
}

fn pattern(text: &str) -> Result<Option<Pattern>, PatternError> {
    if text.is_empty() { Ok(None) } else { Pattern::parse(text).map(Some) }
}

fn unit(text: &str) -> Arc<str> {
    if text.is_empty() { REQUESTS.into() } else { text.into() }
}
