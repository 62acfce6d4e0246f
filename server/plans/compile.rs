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
        credits_fail_policy: spec.credits_fail_policy,
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
        fail_policy: limit.fail_policy,
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
        fail_policy: quota.fail_policy,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::period::Anchor;
    use crate::plans::presets::sets;
    use crate::time::{HOUR, Timestamp};

    fn policy(spec: PlanSpec) -> Policy {
        let at = Timestamp::EPOCH;
        let plan = Plan {
            id: String::from("pln_1"),
            slug: String::from("free"),
            name: String::from("Free"),
            published_version: Some(3),
            latest_version: 3,
            created_at: at,
            rank: 0,
        };
        let version = PlanVersion {
            id: PlanVersion::id_of("pln_1", 3),
            plan_id: String::from("pln_1"),
            number: 3,
            origin: String::new(),
            spec,
            created_at: at,
            published_at: Some(at),
        };
        let period = PeriodRule { anchor: Anchor::CalendarMonth, zone: jiff::tz::TimeZone::UTC };
        compile(&plan, &version, period, None).unwrap()
    }

    #[test]
    fn downgrade_keeps_the_counters_of_limits_with_the_same_name_kind_and_window() {
        let standard = sets().unwrap().remove("standard").unwrap();
        let (free, pro) = (policy(standard[0].spec.clone()), policy(standard[2].spec.clone()));
        assert_eq!(free.rates[0].key, pro.rates[0].key);
        assert_eq!(free.quotas[0].key, pro.quotas[0].key);
        assert_ne!(free.rates[0].key, free.quotas[0].key);

        let same = || standard[0].spec.rate_limits[0].clone();
        for other in [
            RateLimit { name: String::from("other"), ..same() },
            RateLimit { kind: RateKind::Fixed, ..same() },
            RateLimit { window_seconds: 60, ..same() },
        ] {
            assert_ne!(rate_key(&other), free.rates[0].key, "{other:?}");
        }
    }

    #[test]
    fn free_plan_compiles_to_its_promise() {
        let free = policy(sets().unwrap().remove("standard").unwrap().remove(0).spec);
        assert_eq!((&*free.plan.slug, free.plan.version), ("free", 3));
        let rate = &free.rates[0];
        assert_eq!((rate.kind, rate.limit, rate.window), (policy::RateKind::Sliding, 100, HOUR));
        assert_eq!((&*rate.name, &*rate.unit, rate.scope), ("hour", "requests", policy::Scope::Tenant));
        assert_eq!((&*free.quotas[0].name, free.quotas[0].limit), ("month", Some(1_000)));
        assert_eq!((free.allowance_micros, &*free.subscription), (0, "pln_1"));
        assert_eq!(free.features, Features::All);
    }

    #[test]
    fn bucket_without_a_burst_holds_its_limit_and_features_are_sorted() {
        let bucket = |burst| RateLimit { kind: RateKind::Bucket, limit: 9, burst, ..RateLimit::default() };
        let features = vec![String::from("b"), String::from("a"), String::from("b")];
        let spec = PlanSpec { rate_limits: vec![bucket(0), bucket(4)], features, ..PlanSpec::default() };
        let policy = policy(spec);
        assert_eq!(policy.rates[0].kind, policy::RateKind::Bucket { burst: 9 });
        assert_eq!(policy.rates[1].kind, policy::RateKind::Bucket { burst: 4 });
        assert_eq!(policy.features, Features::Only(vec!["a".into(), "b".into()]));
    }
}
