//! I5: no limit lets more pass than it says; and the counters say what the ledger says.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use tollgate_client::v1::{
    Dimension, DimensionRef, LedgerEvent, LimitKind, LimitScope, RateLimit, TrackMode,
};

use super::sums::values;
use super::{Promise, Verdict};
use crate::evidence::{Evidence, TenantEvidence};

/// Something that was admitted: when, in microseconds, and how many units.
type Admitted = (i128, i128);

pub(crate) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    for (tenant, has) in &evidence.tenants {
        for rate in &has.spec.rate_limits {
            for (member, decided) in by_member(has, rate.scope()) {
                if let Some(detail) = passed(rate, &decided) {
                    verdict.accuse(Promise::LimitsHeld, format!("{tenant}: {member} {detail}"));
                }
            }
        }
        quotas_held(tenant, has, &evidence.deaths, verdict);
        counters_agree(tenant, has, verdict);
    }
}

/// What was admitted for each of those that a limit counts together, in order.
fn by_member(has: &TenantEvidence, scope: LimitScope) -> BTreeMap<String, Vec<Admitted>> {
    let mut members: BTreeMap<String, Vec<Admitted>> = BTreeMap::new();
    for event in has.events.iter().filter(|event| was_decided(event)) {
        let names = match scope {
            LimitScope::Unspecified | LimitScope::Tenant => vec![String::new()],
            LimitScope::ApiKey if event.api_key_id.is_empty() => Vec::new(),
            LimitScope::ApiKey => vec![event.api_key_id.clone()],
            LimitScope::Consumer => consumers(event),
        };
        for name in names {
            members.entry(name).or_default().push(admitted(event));
        }
    }
    members.values_mut().for_each(|admitted| admitted.sort_unstable());
    members
}

fn consumers(event: &LedgerEvent) -> Vec<String> {
    let dimension = DimensionRef { dimension: Dimension::Consumer.into(), ..Default::default() };
    values(event, &dimension).into_iter().filter(|consumer| !consumer.is_empty()).collect()
}

/// All limits of the workload hold for every endpoint.
fn passed(rate: &RateLimit, decided: &[Admitted]) -> Option<String> {
    let window = i128::from(rate.window?.seconds) * 1_000_000;
    let limit = i128::from(rate.limit);
    let worst = match rate.kind() {
        LimitKind::SlidingWindow => sliding_worst(decided, window),
        LimitKind::FixedWindow => fixed_worst(decided, window),
        LimitKind::TokenBucket => {
            let burst = if rate.burst == 0 { limit } else { i128::from(rate.burst) };
            return (!bucket_holds(decided, limit, window, burst))
                .then(|| format!("more than burst + rate·T passed `{}`", rate.name));
        }
        LimitKind::Quota | LimitKind::Unspecified => return None,
    };
    (worst > limit).then(|| format!("{worst} units passed `{}` of {limit} in one window", rate.name))
}

/// The most units in any interval of the window's length.
fn sliding_worst(decided: &[Admitted], window: i128) -> i128 {
    let (mut worst, mut sum, mut oldest) = (0, 0, 0);
    for (at, units) in decided {
        sum += units;
        while decided[oldest].0 <= at - window {
            sum -= decided[oldest].1;
            oldest += 1;
        }
        worst = worst.max(sum);
    }
    worst
}

fn fixed_worst(decided: &[Admitted], window: i128) -> i128 {
    let mut windows = BTreeMap::<i128, i128>::new();
    for (at, units) in decided {
        *windows.entry(at.div_euclid(window)).or_default() += units;
    }
    windows.into_values().max().unwrap_or_default()
}

/// Pours each call into a bucket that leaks `limit` in a window; levels are in units times the window's length.
fn bucket_holds(decided: &[Admitted], limit: i128, window: i128, burst: i128) -> bool {
    let (mut level, mut before) = (0_i128, None);
    for (at, units) in decided {
        level = (level - (at - before.unwrap_or(*at)) * limit).max(0) + units * window;
        before = Some(*at);
        if level > burst * window {
            return false;
        }
    }
    true
}

/// Each decision took its own units of the quota, and none above the limit.
fn quotas_held(tenant: &str, has: &TenantEvidence, deaths: &[i64], verdict: &mut Verdict) {
    for quota in &has.spec.quotas {
        let mut taken: Vec<(i64, i64, &LedgerEvent)> = Vec::new();
        let in_period = has.events.iter().filter(|event| is_in_period(event, has));
        for event in in_period.filter(|event| was_decided(event)) {
            let changes = event.counters.iter().filter(|change| change.name == quota.name);
            taken.extend(changes.map(|change| (change.used_before, change.used_after, event)));
        }
        taken.sort_by_key(|(before, after, _)| (*before, *after));
        for (before, after, event) in &taken {
            let units = admitted(event).1;
            if i128::from(*after) - i128::from(*before) != units
                || quota.limit.is_some_and(|limit| *after > limit)
            {
                let detail = format!("{tenant}: `{}` went from {before} to {after} by {event:?}", quota.name);
                verdict.accuse(Promise::LimitsHeld, detail);
            }
        }
        if has.events.iter().any(was_recorded) {
            // A record that was forgotten is charged again, until the counters are corrected.
            continue;
        }
        for pair in taken.windows(2) {
            let ((_, after, one), (before, _, other)) = (pair[0], pair[1]);
            // A charge that was not journalled when the server died is gone, and the next server counts without it.
            if before < after && !apart(deaths, one, other) {
                let detail =
                    format!("{tenant}: `{}` counted one unit for both {one:?} and {other:?}", quota.name);
                verdict.accuse(Promise::LimitsHeld, detail);
            }
        }
        let used = used_in_period(has);
        if quota.limit.is_some_and(|limit| used > i128::from(limit)) {
            let detail = format!("{tenant}: {used} units passed `{}` of {:?}", quota.name, quota.limit);
            verdict.accuse(Promise::LimitsHeld, detail);
        }
    }
}

/// Whether a server died between two decisions.
fn apart(deaths: &[i64], one: &LedgerEvent, other: &LedgerEvent) -> bool {
    let (one, other) = (admitted(one).0, admitted(other).0);
    deaths.iter().any(|death| (one.min(other)..=one.max(other)).contains(&i128::from(*death)))
}

fn counters_agree(tenant: &str, has: &TenantEvidence, verdict: &mut Verdict) {
    let used = used_in_period(has);
    for quota in &has.spec.quotas {
        let Some(limit) = quota.limit.map(i128::from) else { continue };
        let state = has.limits.limits.iter().find(|state| state.name == quota.name);
        let remaining = state.and_then(|state| state.remaining).map(i128::from);
        if remaining != Some((limit - used).max(0)) {
            let detail = format!(
                "{tenant}: `{}` of {limit} has {used} used in the ledger, {remaining:?} left in the counters",
                quota.name
            );
            verdict.accuse(Promise::CountersAgree, detail);
        }
    }
    let free = has.limits.credits_remaining_micros.unwrap_or_default();
    if free != has.wallet.balance_micros {
        let detail =
            format!("{tenant}: the counters have {free} credits left, the wallet is {:?}", has.wallet);
        verdict.accuse(Promise::CountersAgree, detail);
    }
}

fn used_in_period(has: &TenantEvidence) -> i128 {
    has.events.iter().filter(|event| is_in_period(event, has)).map(|event| admitted(event).1).sum()
}

/// Rule R: a decision is counted at its own time, a record at that of the call.
fn is_in_period(event: &LedgerEvent, has: &TenantEvidence) -> bool {
    let occurred = event.event.as_ref().and_then(|event| event.occurred_at);
    let at = if was_recorded(event) { occurred } else { event.decided_at };
    at.unwrap_or_default().seconds >= has.period_start
}

fn was_decided(event: &LedgerEvent) -> bool {
    !was_recorded(event)
}

fn was_recorded(event: &LedgerEvent) -> bool {
    event.mode() == TrackMode::Record
}

fn admitted(event: &LedgerEvent) -> Admitted {
    let units = event.event.as_ref().and_then(|event| event.weight).unwrap_or(1);
    (micros(event.decided_at.unwrap_or_default()), units.into())
}

fn micros(at: Timestamp) -> i128 {
    i128::from(at.seconds) * 1_000_000 + i128::from(at.nanos) / 1_000
}
