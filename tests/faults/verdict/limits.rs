//! I5: no limit lets more pass than it says; and the counters say what the ledger says.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use tollgate_client::v1::{Dimension, DimensionRef, LedgerEvent, LimitScope, TrackMode};

use super::sums::values;
use super::windows::{self, Worst};
use super::{Promise, Verdict};
use crate::evidence::{Evidence, Gap, TenantEvidence};
use crate::history::{Blind, Blindness, History, Way};

/// Something that was admitted: when, in microseconds, and how many units.
pub(super) type Admitted = (i128, i128);

pub(crate) fn judge(history: &History, evidence: &Evidence, verdict: &mut Verdict) {
    let blinds: Vec<&Blind> = history.blinds.iter().filter(|blind| blind.harms_limits()).collect();
    for (tenant, has) in &evidence.tenants {
        let on_its_way: Vec<i128> = blinds.iter().map(|blind| on_its_way(history, tenant, blind)).collect();
        let is_away = blinds.iter().any(|blind| blind.kind == Blindness::Away);
        for rate in &has.spec.rate_limits {
            let limit = windows::allowed(rate);
            // The shares of all replicas make up the limit once more.
            let share = if is_away { limit } else { 0 };
            // Windows are shorter than the time between two faults.
            let bound = share + on_its_way.iter().max().unwrap_or(&0);
            for (member, decided) in by_member(has, rate.scope()) {
                let worst = windows::worst(rate, &decided, &blinds);
                let name = format!("{tenant}: {member} `{}`", rate.name);
                beyond(&name, limit, worst, bound, verdict);
            }
        }
        quotas_held(tenant, has, &evidence.gaps, verdict);
        quotas_sum_up(tenant, has, &blinds, on_its_way.iter().sum(), verdict);
        counters_agree(tenant, has, verdict);
    }
}

/// Where nothing was wrong no unit is admitted beyond a limit, and near a fault no more than its bound.
fn beyond(name: &str, limit: i128, worst: Worst, bound: i128, verdict: &mut Verdict) {
    if worst.far > limit {
        let detail = format!("{name} of {limit} let {} units pass", worst.far);
        verdict.accuse(Promise::LimitsHeld, detail);
    }
    let extra = worst.near - limit;
    if extra > bound {
        let detail = format!("{name} of {limit} let {extra} units more pass, {bound} is the bound");
        verdict.accuse(Promise::LimitsHeld, detail);
    }
    if extra > 0 {
        verdict.beyond.push(format!("{name} of {limit}: {extra} units beyond, at most {bound} by the bound"));
    }
}

/// Units of a tenant that were being decided when the counters were lost, or went, or came back: they may be in none.
fn on_its_way(history: &History, tenant: &str, blind: &Blind) -> i128 {
    let calls = history.calls.iter().filter(|(name, _)| name.tenant == tenant).flat_map(|(_, calls)| calls);
    let decided = calls.filter(|call| call.way != Way::Record);
    let on_its_way = decided.filter(|call| blind.edges().iter().any(|edge| edge.overlaps(call.span)));
    on_its_way.map(|call| i128::from(call.event.weight.unwrap_or(1))).sum()
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

/// Each decision took its own units of the quota, and none above the limit.
fn quotas_held(tenant: &str, has: &TenantEvidence, gaps: &[Gap], verdict: &mut Verdict) {
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
            // A charge that was not journalled when its server died is given back, and then others take its units.
            if before < after && !apart(gaps, one, other) {
                let detail =
                    format!("{tenant}: `{}` counted one unit for both {one:?} and {other:?}", quota.name);
                verdict.accuse(Promise::LimitsHeld, detail);
            }
        }
    }
}

/// No period has more than its quota. What is recorded is refused by none.
fn quotas_sum_up(
    tenant: &str,
    has: &TenantEvidence,
    blinds: &[&Blind],
    on_its_way: i128,
    verdict: &mut Verdict,
) {
    if has.events.iter().any(was_recorded) {
        return;
    }
    let aways = blinds.iter().filter(|blind| blind.kind == Blindness::Away).map(|_| 1_i128).sum::<i128>();
    for quota in &has.spec.quotas {
        let Some(limit) = quota.limit.map(i128::from) else { continue };
        let used = used_in_period(has);
        let bound = aways * limit + on_its_way;
        let worst =
            if blinds.is_empty() { Worst { far: used, near: 0 } } else { Worst { far: 0, near: used } };
        beyond(&format!("{tenant}: `{}`", quota.name), limit, worst, bound, verdict);
    }
}

/// Whether counters may have lost or given back something between two decisions.
fn apart(gaps: &[Gap], one: &LedgerEvent, other: &LedgerEvent) -> bool {
    let at = |event: &LedgerEvent| i64::try_from(admitted(event).0).unwrap_or(i64::MAX);
    gaps.iter().any(|gap| gap.divides(at(one), at(other)))
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
