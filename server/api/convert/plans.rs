//! Plans, versions and subscriptions, between messages and records.

use tollgate_client::v1;

use crate::api::convert::time::to_message;
use crate::fault::{Invalid, Violation};
use crate::gate::policy::FailPolicy;
use crate::plans::bounds::check_spec;
use crate::plans::plan::{Plan, PlanVersion};
use crate::plans::spec::{
    CallerPrices, PlanSpec, PriceRule, PricedOutcome, Quota, RateKind, RateLimit, Scope, TokenPrices,
};
use crate::plans::subscription::{PeriodAnchor, Subscription};
use crate::store::StoreError;
use crate::time::Timestamp;

/// The promise in a message, within its bounds.
pub(in crate::api) fn spec(message: Option<v1::PlanSpec>) -> Result<PlanSpec, Invalid> {
    let message = message.ok_or_else(|| Invalid::field("spec", "is required"))?;
    let mut wrong = Vec::new();
    let rate_limits = message.rate_limits.into_iter().enumerate();
    let quotas = message.quotas.into_iter().enumerate();
    let prices = message.prices.into_iter().enumerate();
    let credits_fail = message.credits_fail_policy;
    let spec = PlanSpec {
        rate_limits: rate_limits.map(|(place, limit)| rate_limit(limit, place, &mut wrong)).collect(),
        quotas: quotas.map(|(place, limit)| quota(limit, place, &mut wrong)).collect(),
        credits_per_period_micros: message.credits_per_period_micros,
        prices: prices.map(|(place, rule)| price_rule(rule, place, &mut wrong)).collect(),
        premium: message.premium,
        features: message.features,
        untracked_endpoints: message.untracked_endpoints,
        caller_prices: match v1::CallerPrices::try_from(message.caller_prices) {
            Ok(v1::CallerPrices::Unspecified | v1::CallerPrices::Refused) => CallerPrices::Refused,
            Ok(v1::CallerPrices::Trusted) => CallerPrices::Trusted,
            Err(_) => unknown(&mut wrong, String::from("spec.caller_prices"), message.caller_prices),
        },
        overage_max_micros: message.overage_max_micros,
        price_micros: message.price_micros,
        currency: message.currency,
        credits_fail_policy: fail_policy(credits_fail, || "spec.credits_fail_policy".into(), &mut wrong),
    };
    check_spec(&spec, "spec", wrong)?;
    Ok(spec)
}

fn rate_limit(message: v1::RateLimit, place: usize, wrong: &mut Vec<Violation>) -> RateLimit {
    let at = format!("spec.rate_limits[{place}]");
    let window = message.window.unwrap_or_default();
    if window.nanos != 0 {
        let description = String::from("must be whole seconds");
        wrong.push(Violation { field: format!("{at}.window"), description });
    }
    RateLimit {
        name: message.name,
        kind: match v1::LimitKind::try_from(message.kind) {
            Ok(v1::LimitKind::SlidingWindow) => RateKind::Sliding,
            Ok(v1::LimitKind::TokenBucket) => RateKind::Bucket,
            Ok(v1::LimitKind::FixedWindow) => RateKind::Fixed,
            Ok(v1::LimitKind::Unspecified | v1::LimitKind::Quota) | Err(_) => {
                unknown(wrong, format!("{at}.kind"), message.kind)
            }
        },
        limit: message.limit,
        window_seconds: window.seconds,
        burst: message.burst,
        scope: match v1::LimitScope::try_from(message.scope) {
            Ok(v1::LimitScope::Unspecified | v1::LimitScope::Tenant) => Scope::Tenant,
            Ok(v1::LimitScope::ApiKey) => Scope::ApiKey,
            Ok(v1::LimitScope::Consumer) => Scope::Consumer,
            Err(_) => unknown(wrong, format!("{at}.scope"), message.scope),
        },
        endpoints: message.endpoints,
        unit: message.unit,
        fail_policy: fail_policy(message.fail_policy, || format!("{at}.fail_policy"), wrong),
    }
}

fn quota(message: v1::Quota, place: usize, wrong: &mut Vec<Violation>) -> Quota {
    let at = || format!("spec.quotas[{place}].fail_policy");
    Quota {
        name: message.name,
        limit: message.limit,
        endpoints: message.endpoints,
        unit: message.unit,
        fail_policy: fail_policy(message.fail_policy, at, wrong),
    }
}

fn fail_policy(number: i32, at: impl FnOnce() -> String, wrong: &mut Vec<Violation>) -> Option<FailPolicy> {
    match v1::FailPolicy::try_from(number) {
        Ok(v1::FailPolicy::Unspecified) => None,
        Ok(v1::FailPolicy::Open) => Some(FailPolicy::Open),
        Ok(v1::FailPolicy::Closed) => Some(FailPolicy::Closed),
        Ok(v1::FailPolicy::Local) => Some(FailPolicy::Local),
        Err(_) => unknown(wrong, at(), number),
    }
}

fn price_rule(message: v1::PriceRule, place: usize, wrong: &mut Vec<Violation>) -> PriceRule {
    let tokens = message.tokens.unwrap_or_default();
    PriceRule {
        service: message.service,
        endpoints: message.endpoints,
        method: message.method,
        premium: message.premium,
        region: message.region,
        feature: message.feature,
        model: message.model,
        credits_micros: message.credits_micros,
        tokens: TokenPrices {
            input_micros_per_million: tokens.input_micros_per_million,
            output_micros_per_million: tokens.output_micros_per_million,
            cached_input_micros_per_million: tokens.cached_input_micros_per_million,
            cache_write_input_micros_per_million: tokens.cache_write_input_micros_per_million,
        },
        outcome: match v1::PricedOutcome::try_from(message.outcome) {
            Ok(v1::PricedOutcome::Unspecified | v1::PricedOutcome::Any) => PricedOutcome::Any,
            Ok(v1::PricedOutcome::Success) => PricedOutcome::Success,
            Err(_) => unknown(wrong, format!("spec.prices[{place}].outcome"), message.outcome),
        },
    }
}

/// Says that a number is none of an enum, and goes on with a value that is never kept.
fn unknown<T: Default>(wrong: &mut Vec<Violation>, field: String, number: i32) -> T {
    wrong.push(Violation { field, description: format!("{number} is none that can be chosen") });
    T::default()
}

/// When periods shall begin; `None`: as it was.
pub(in crate::api) fn anchor(number: i32) -> Result<Option<PeriodAnchor>, Invalid> {
    match v1::PeriodAnchor::try_from(number) {
        Ok(v1::PeriodAnchor::Unspecified) => Ok(None),
        Ok(v1::PeriodAnchor::CalendarMonth) => Ok(Some(PeriodAnchor::CalendarMonth)),
        Ok(v1::PeriodAnchor::Anniversary) => Ok(Some(PeriodAnchor::Anniversary)),
        Err(_) => Err(Invalid::field("anchor", format!("{number} is none that can be chosen"))),
    }
}

/// A plan as a message.
pub(in crate::api) fn plan(plan: Plan) -> v1::Plan {
    v1::Plan {
        id: plan.id,
        slug: plan.slug,
        name: plan.name,
        published_version: plan.published_version.map(number).unwrap_or_default(),
        latest_version: number(plan.latest_version),
        create_time: Some(to_message(plan.created_at)),
    }
}

/// A version as a message.
pub(in crate::api) fn version(version: PlanVersion) -> v1::PlanVersion {
    let state = match version.published_at {
        Some(_) => v1::PlanVersionState::Published,
        None => v1::PlanVersionState::Draft,
    };
    v1::PlanVersion {
        plan_id: version.plan_id,
        number: number(version.number),
        state: state.into(),
        spec: Some(spec_message(version.spec)),
        create_time: Some(to_message(version.created_at)),
        publish_time: version.published_at.map(to_message),
    }
}

/// A subscription as a message, with its period at that moment.
pub(in crate::api) fn subscription(
    subscription: Subscription,
    now: Timestamp,
) -> Result<v1::Subscription, StoreError> {
    let period = subscription.period(now)?;
    let anchor = match subscription.anchor {
        PeriodAnchor::CalendarMonth => v1::PeriodAnchor::CalendarMonth,
        PeriodAnchor::Anniversary => v1::PeriodAnchor::Anniversary,
    };
    Ok(v1::Subscription {
        tenant_id: subscription.tenant,
        plan: subscription.plan,
        plan_id: subscription.plan_id,
        plan_version: number(subscription.version),
        anchor: anchor.into(),
        period_start: Some(to_message(period.start)),
        period_end: Some(to_message(period.end)),
        start_time: Some(to_message(subscription.started_at)),
    })
}

fn spec_message(spec: PlanSpec) -> v1::PlanSpec {
    let caller_prices = match spec.caller_prices {
        CallerPrices::Refused => v1::CallerPrices::Refused,
        CallerPrices::Trusted => v1::CallerPrices::Trusted,
    };
    v1::PlanSpec {
        rate_limits: spec.rate_limits.into_iter().map(rate_limit_message).collect(),
        quotas: spec.quotas.into_iter().map(quota_message).collect(),
        credits_per_period_micros: spec.credits_per_period_micros,
        prices: spec.prices.into_iter().map(price_rule_message).collect(),
        premium: spec.premium,
        features: spec.features,
        untracked_endpoints: spec.untracked_endpoints,
        caller_prices: caller_prices.into(),
        overage_max_micros: spec.overage_max_micros,
        price_micros: spec.price_micros,
        currency: spec.currency,
        credits_fail_policy: fail_policy_message(spec.credits_fail_policy).into(),
    }
}

fn rate_limit_message(limit: RateLimit) -> v1::RateLimit {
    let kind = match limit.kind {
        RateKind::Sliding => v1::LimitKind::SlidingWindow,
        RateKind::Bucket => v1::LimitKind::TokenBucket,
        RateKind::Fixed => v1::LimitKind::FixedWindow,
    };
    let scope = match limit.scope {
        Scope::Tenant => v1::LimitScope::Tenant,
        Scope::ApiKey => v1::LimitScope::ApiKey,
        Scope::Consumer => v1::LimitScope::Consumer,
    };
    v1::RateLimit {
        name: limit.name,
        kind: kind.into(),
        limit: limit.limit,
        window: Some(prost_types::Duration { seconds: limit.window_seconds, nanos: 0 }),
        burst: limit.burst,
        scope: scope.into(),
        endpoints: limit.endpoints,
        unit: limit.unit,
        fail_policy: fail_policy_message(limit.fail_policy).into(),
    }
}

fn quota_message(quota: Quota) -> v1::Quota {
    v1::Quota {
        name: quota.name,
        limit: quota.limit,
        endpoints: quota.endpoints,
        unit: quota.unit,
        fail_policy: fail_policy_message(quota.fail_policy).into(),
    }
}

fn fail_policy_message(policy: Option<FailPolicy>) -> v1::FailPolicy {
    match policy {
        None => v1::FailPolicy::Unspecified,
        Some(FailPolicy::Open) => v1::FailPolicy::Open,
        Some(FailPolicy::Closed) => v1::FailPolicy::Closed,
        Some(FailPolicy::Local) => v1::FailPolicy::Local,
    }
}

fn price_rule_message(rule: PriceRule) -> v1::PriceRule {
    let outcome = match rule.outcome {
        PricedOutcome::Any => v1::PricedOutcome::Any,
        PricedOutcome::Success => v1::PricedOutcome::Success,
    };
    let tokens = (rule.tokens != TokenPrices::default()).then_some(v1::TokenPrices {
        input_micros_per_million: rule.tokens.input_micros_per_million,
        output_micros_per_million: rule.tokens.output_micros_per_million,
        cached_input_micros_per_million: rule.tokens.cached_input_micros_per_million,
        cache_write_input_micros_per_million: rule.tokens.cache_write_input_micros_per_million,
    });
    v1::PriceRule {
        service: rule.service,
        endpoints: rule.endpoints,
        method: rule.method,
        premium: rule.premium,
        region: rule.region,
        feature: rule.feature,
        model: rule.model,
        credits_micros: rule.credits_micros,
        tokens,
        outcome: outcome.into(),
    }
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::presets::sets;

    #[test]
    fn promise_is_the_same_on_both_sides() {
        for preset in sets().unwrap().into_values().flatten() {
            assert_eq!(
                spec(Some(spec_message(preset.spec.clone()))).unwrap(),
                preset.spec,
                "{}",
                preset.slug
            );
        }
        for fails in [None, Some(FailPolicy::Open), Some(FailPolicy::Closed), Some(FailPolicy::Local)] {
            let mut said = sets().unwrap().remove("standard").unwrap().remove(0).spec;
            said.credits_fail_policy = fails;
            said.rate_limits.iter_mut().for_each(|limit| limit.fail_policy = fails);
            said.quotas.iter_mut().for_each(|quota| quota.fail_policy = fails);
            assert_eq!(spec(Some(spec_message(said.clone()))).unwrap(), said, "{fails:?}");
        }
    }

    #[test]
    fn what_only_a_message_can_get_wrong_is_named() {
        let limit = |change: fn(&mut v1::RateLimit)| {
            let mut limit = v1::RateLimit {
                name: String::from("minute"),
                kind: v1::LimitKind::FixedWindow.into(),
                limit: 1,
                window: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
                ..v1::RateLimit::default()
            };
            change(&mut limit);
            Some(v1::PlanSpec { rate_limits: vec![limit], ..v1::PlanSpec::default() })
        };
        let price = v1::PriceRule { outcome: 9, ..v1::PriceRule::default() };
        let quota = v1::Quota { name: String::from("month"), fail_policy: 9, ..v1::Quota::default() };
        let cases = [
            (None, "spec"),
            (limit(|limit| limit.kind = 0), "spec.rate_limits[0].kind"),
            (limit(|limit| limit.kind = v1::LimitKind::Quota.into()), "spec.rate_limits[0].kind"),
            (limit(|limit| limit.kind = 99), "spec.rate_limits[0].kind"),
            (limit(|limit| limit.scope = -1), "spec.rate_limits[0].scope"),
            (limit(|limit| limit.fail_policy = 9), "spec.rate_limits[0].fail_policy"),
            (
                Some(v1::PlanSpec { quotas: vec![quota], ..v1::PlanSpec::default() }),
                "spec.quotas[0].fail_policy",
            ),
            (
                Some(v1::PlanSpec { credits_fail_policy: 4, ..v1::PlanSpec::default() }),
                "spec.credits_fail_policy",
            ),
            (limit(|limit| limit.window = None), "spec.rate_limits[0].window"),
            (limit(|limit| limit.window.as_mut().unwrap().nanos = 1), "spec.rate_limits[0].window"),
            (Some(v1::PlanSpec { prices: vec![price], ..v1::PlanSpec::default() }), "spec.prices[0].outcome"),
            (Some(v1::PlanSpec { caller_prices: 9, ..v1::PlanSpec::default() }), "spec.caller_prices"),
        ];
        for (message, field) in cases {
            assert_eq!(spec(message).unwrap_err().0[0].field, field);
        }
        assert!(spec(limit(|_| {})).is_ok());
        assert!(anchor(9).is_err() && anchor(0).unwrap().is_none());
    }
}
