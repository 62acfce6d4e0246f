//! Which plan to hint at when a call is refused.

use std::collections::BTreeMap;

use crate::gate::policy::{LimitKey, Upgrade};
use crate::money::CREDIT;
use crate::plans::compile::{quota_key, rate_key};
use crate::plans::plan::{Plan, PlanVersion};
use crate::plans::spec::PlanSpec;

/// The hint for subscribers to `spec` of the plan `plan_id`: in the order of the catalogue, the first plan after their own
/// that takes nothing away and adds something.
#[must_use]
pub fn hint(plan_id: &str, spec: &PlanSpec, offers: &[(Plan, PlanVersion)]) -> Option<Upgrade> {
    let later = offers.iter().skip_while(|(plan, _)| plan.id != plan_id).skip(1);
    let (plan, version) = later.into_iter().find(|(_, version)| is_more_generous(&version.spec, spec))?;
    Some(Upgrade {
        plan: plan.slug.as_str().into(),
        message: format!("plan `{}` offers {}", plan.slug, words(&version.spec)).into(),
    })
}

/// Whether `more` takes nothing away from those who have `less`, and adds something.
fn is_more_generous(more: &PlanSpec, less: &PlanSpec) -> bool {
    let everything = |spec: &PlanSpec| spec.features.iter().any(|feature| feature == "*");
    let features_stay =
        everything(more) || less.features.iter().all(|feature| more.features.contains(feature));
    let begins_to_cost = !more.prices.is_empty() && less.prices.is_empty();
    let (limits, limits_less) = (Limits::of(more), Limits::of(less));
    let nothing_less = features_stay
        && !begins_to_cost
        && (more.premium || !less.premium)
        && more.credits_per_period_micros >= less.credits_per_period_micros
        && limits.cover(&limits_less);
    let something_more = (more.premium && !less.premium)
        || more.credits_per_period_micros > less.credits_per_period_micros
        || !limits_less.cover(&limits)
        || (everything(more) && !everything(less))
        || more.features.iter().any(|feature| !everything(less) && !less.features.contains(feature));
    nothing_less && something_more
}

/// What each counter may reach. A counter without a limit is not in it.
struct Limits(BTreeMap<(LimitKey, String), i64>);

impl Limits {
    fn of(spec: &PlanSpec) -> Self {
        let rates = spec.rate_limits.iter();
        let rates = rates.map(|limit| ((rate_key(limit), limit.endpoints.clone()), limit.limit));
        let quotas = spec.quotas.iter();
        let quotas =
            quotas.filter_map(|quota| Some(((quota_key(quota), quota.endpoints.clone()), quota.limit?)));
        Self(rates.chain(quotas).collect())
    }

    /// Whether whatever passes `other` passes these: each of these limits is one of the others, and not lower.
    fn cover(&self, other: &Self) -> bool {
        self.0.iter().all(|(key, limit)| other.0.get(key).is_some_and(|other| limit >= other))
    }
}

fn words(spec: &PlanSpec) -> String {
    let mut words = Vec::new();
    for limit in &spec.rate_limits {
        words.push(format!("{} {} {}", limit.limit, unit(&limit.unit), span(limit.window_seconds)));
    }
    for quota in &spec.quotas {
        words.push(match quota.limit {
            Some(limit) => format!("{limit} {} a period", unit(&quota.unit)),
            None => format!("unlimited {}", unit(&quota.unit)),
        });
    }
    if spec.credits_per_period_micros > 0 {
        words.push(format!("{} credits a period", spec.credits_per_period_micros / CREDIT));
    }
    if spec.premium {
        words.push(String::from("premium endpoints"));
    }
    if words.is_empty() { String::from("more") } else { words.join(", ") }
}

const fn unit(unit: &str) -> &str {
    if unit.is_empty() { "requests" } else { unit }
}

fn span(seconds: i64) -> String {
    match seconds {
        1 => String::from("a second"),
        60 => String::from("a minute"),
        3_600 => String::from("an hour"),
        86_400 => String::from("a day"),
        other => format!("in {other} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::presets::sets;

    #[test]
    fn each_plan_of_a_set_hints_at_the_next_and_the_last_at_none() {
        for (set, presets) in sets().unwrap() {
            let plans: Vec<_> =
                presets.iter().map(|preset| offer(&preset.slug, preset.spec.clone())).collect();
            let hints = plans.iter().map(|(plan, version)| {
                hint(&plan.id, &version.spec, &plans).map(|upgrade| upgrade.plan.to_string())
            });
            let next = presets.iter().skip(1).map(|preset| Some(preset.slug.clone())).chain([None]);
            assert_eq!(hints.collect::<Vec<_>>(), next.collect::<Vec<_>>(), "set `{set}`");
        }
    }

    #[test]
    fn plan_that_takes_something_away_is_no_upgrade() {
        let feature = |name: &str| PlanSpec { features: vec![name.to_owned()], ..PlanSpec::default() };
        let small = feature("export");
        for (other, expected) in [
            (feature("export"), false),
            (feature("import"), false),
            (feature("*"), true),
            (PlanSpec { premium: true, ..feature("export") }, true),
            (PlanSpec { premium: true, ..feature("import") }, false),
            (
                PlanSpec {
                    premium: true,
                    prices: vec![crate::plans::spec::PriceRule::default()],
                    ..small.clone()
                },
                false,
            ),
        ] {
            assert_eq!(is_more_generous(&other, &small), expected, "{other:?}");
        }
    }

    #[test]
    fn hint_says_what_the_plan_offers() {
        let starter = sets().unwrap().remove("standard").unwrap().remove(1);
        assert_eq!(words(&starter.spec), "500 requests an hour, 10000 requests a period");
    }

    fn offer(slug: &str, spec: PlanSpec) -> (Plan, PlanVersion) {
        let id = format!("pln_{slug}");
        let plan = Plan {
            id: id.clone(),
            slug: slug.to_owned(),
            name: slug.to_owned(),
            published_version: Some(1),
            latest_version: 1,
            created_at: crate::time::Timestamp::EPOCH,
            rank: 0,
        };
        let version = PlanVersion {
            id: PlanVersion::id_of(&id, 1),
            plan_id: id,
            number: 1,
            origin: String::new(),
            spec,
            created_at: crate::time::Timestamp::EPOCH,
            published_at: None,
        };
        (plan, version)
    }
}
