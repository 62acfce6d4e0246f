//! I6: what was given, less what was paid, what ended and what is held, is what is left, and never less than nothing.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_client::v1::{CallerPrices, LedgerEvent, PlanSpec, UsageEvent};

use super::events::way_of;
use super::{Promise, Verdict};
use crate::evidence::{Evidence, TenantEvidence};
use crate::history::{GrantAnswer, History, Name, Way};

pub(crate) fn judge(history: &History, evidence: &Evidence, verdict: &mut Verdict) {
    for (tenant, has) in &evidence.tenants {
        let mut accuse = |detail: String| {
            verdict.accuse(
                Promise::CreditsConserved,
                format!("{tenant}: {detail}, the wallet is {:?}", has.wallet),
            );
        };
        conserved(has, &mut accuse);
        paid_by_events(has, late_burns(tenant, history, has), &mut accuse);
        granted_as_answered(tenant, history, has, &mut accuse);
        for event in &has.events {
            charged_as_promised(tenant, event, history, &has.spec, verdict);
        }
    }
}

fn conserved(has: &TenantEvidence, accuse: &mut impl FnMut(String)) {
    let wallet = &has.wallet;
    let [granted, debited, breakage, held, balance] = [
        wallet.granted_micros,
        wallet.debited_micros,
        wallet.breakage_micros,
        wallet.held_micros,
        wallet.balance_micros,
    ]
    .map(i128::from);
    if granted - debited - breakage - held != balance {
        accuse("grants - debits - breakage - holds is not the balance".to_owned());
    }
    if [granted, debited, breakage, held, balance, i128::from(wallet.overage_micros)]
        .iter()
        .any(|sum| *sum < 0)
    {
        accuse("a sum is below zero".to_owned());
    }
    let free: i128 = wallet.grants.iter().map(|grant| i128::from(grant.remaining_micros)).sum();
    if free != balance {
        accuse(format!("the grants have {free} left, the balance says otherwise"));
    }
    if wallet
        .grants
        .iter()
        .any(|grant| grant.remaining_micros < 0 || grant.remaining_micros > grant.credits_micros)
    {
        accuse("a grant has less than nothing left, or more than was given".to_owned());
    }
}

/// What was burned of grants by events that were decided or ended while a store was away. By the time the ledger has them others
/// may have burned the same, and then it is overage (rules E, M, S).
fn late_burns(tenant: &str, history: &History, has: &TenantEvidence) -> i128 {
    let is_late = |kept: &&LedgerEvent| {
        let id = kept.event.as_ref().map_or("", |event| event.id.as_str());
        let calls = history.calls.get(&Name::new(tenant, id)).into_iter().flatten().map(|call| call.span);
        let ends = history.ends.get(&Name::new(tenant, &kept.reservation_id));
        let ends = ends.into_iter().flatten().map(|end| end.span);
        calls.chain(ends).any(|span| history.is_blind(span))
    };
    let late = has.events.iter().filter(is_late).flat_map(|event| &event.grants);
    late.map(|burn| i128::from(burn.credits_micros)).sum()
}

/// At rest nothing is held: the workload ends all its reservations. What events burned of grants the grants have paid, but for at
/// most `late` of it, which is overage.
fn paid_by_events(has: &TenantEvidence, late: i128, accuse: &mut impl FnMut(String)) {
    let sum =
        |of: fn(&LedgerEvent) -> i64| has.events.iter().map(|event| i128::from(of(event))).sum::<i128>();
    let (charged, overage) = (sum(|event| event.credits_charged_micros), sum(|event| event.overage_micros));
    if i128::from(has.wallet.held_micros) != 0 {
        accuse("something is held when all reservations have ended".to_owned());
    }
    if charged != i128::from(has.wallet.debited_micros) + i128::from(has.wallet.overage_micros) {
        accuse(format!("events were charged {charged}, {overage} of it beyond all grants"));
    }
    let more = i128::from(has.wallet.overage_micros) - overage;
    if more < 0 || more > late {
        accuse(format!("events have an overage of {overage}, and at most {late} more may be"));
    }
    let mut burned: BTreeMap<&str, i128> = BTreeMap::new();
    for event in &has.events {
        let burns = event.grants.iter().map(|burn| i128::from(burn.credits_micros)).sum::<i128>();
        if burns + i128::from(event.overage_micros) != i128::from(event.credits_charged_micros) {
            accuse(format!("grants and overage do not make up the charge of {event:?}"));
        }
        for burn in &event.grants {
            *burned.entry(&burn.grant_id).or_default() += i128::from(burn.credits_micros);
        }
    }
    for grant in &has.wallet.grants {
        let burned = burned.get(grant.id.as_str()).copied().unwrap_or_default();
        if burned + i128::from(grant.remaining_micros) != i128::from(grant.credits_micros) {
            accuse(format!("events burned {burned} of {grant:?}"));
        }
    }
}

fn granted_as_answered(
    tenant: &str,
    history: &History,
    has: &TenantEvidence,
    accuse: &mut impl FnMut(String),
) {
    let (mut certain, mut possible) = (0_i128, 0_i128);
    for (name, sent) in history.grants.iter().filter(|(name, _)| name.tenant == tenant) {
        let ids: BTreeSet<&str> = sent
            .iter()
            .filter_map(|one| match &one.answer {
                GrantAnswer::Granted { id } => Some(id.as_str()),
                GrantAnswer::NotTaken | GrantAnswer::Unknown => None,
            })
            .collect();
        let credits = i128::from(sent[0].credits_micros);
        if ids.len() > 1 {
            accuse(format!("{name:?} granted twice: {ids:?}"));
        }
        if !ids.is_empty() {
            certain += credits;
        } else if sent.iter().any(|one| one.answer == GrantAnswer::Unknown) {
            possible += credits;
        }
    }
    // Whoever needs the period's allowance first posts it, and the question for the wallet does.
    certain += i128::from(has.spec.credits_per_period_micros);
    let granted = i128::from(has.wallet.granted_micros);
    if granted < certain || granted > certain + possible {
        accuse(format!("grants of {certain} were acknowledged, and {possible} more are possible"));
    }
}

/// The charge of an event follows from the plan and from what was sent.
fn charged_as_promised(
    tenant: &str,
    kept: &LedgerEvent,
    history: &History,
    spec: &PlanSpec,
    verdict: &mut Verdict,
) {
    let Some(event) = &kept.event else { return };
    let calls = history.calls.get(&Name::new(tenant, &event.id)).map_or(&[][..], Vec::as_slice);
    let price = match way_of(calls) {
        Some(Way::Decide | Way::Record) => price(spec, &calls[0].event),
        Some(Way::Reserve { .. }) | None => return,
    };
    if i128::from(kept.credits_charged_micros) != price {
        let detail = format!("{tenant}: the price is {price}, charged was {kept:?}");
        verdict.accuse(Promise::CreditsConserved, detail);
    }
    for answer in calls.iter().filter_map(|call| call.kept()) {
        if i128::from(answer.charged_micros) != price {
            let detail = format!("{tenant}: the price of `{}` is {price}, answered was {answer:?}", event.id);
            verdict.accuse(Promise::CreditsConserved, detail);
        }
    }
}

/// The plans of the workload price by endpoint alone, and by tokens.
pub(crate) fn price(spec: &PlanSpec, event: &UsageEvent) -> i128 {
    if let (Some(price), CallerPrices::Trusted) = (event.credits_micros, spec.caller_prices()) {
        return i128::from(price);
    }
    let Some(rule) = spec.prices.iter().find(|rule| rule.endpoints == event.endpoint) else { return 0 };
    let tokens = event.tokens.unwrap_or_default();
    let prices = rule.tokens.unwrap_or_default();
    let plain_input = tokens.input - tokens.cached_input;
    let millionths = [
        (plain_input, prices.input_micros_per_million),
        (tokens.output, prices.output_micros_per_million),
        (tokens.cached_input, prices.cached_input_micros_per_million),
        (tokens.cache_write_input, prices.cache_write_input_micros_per_million),
    ];
    let millionths: i128 =
        millionths.iter().map(|(count, price)| i128::from(*count) * i128::from(*price)).sum();
    let on_top = (millionths + 999_999).div_euclid(1_000_000);
    i128::from(rule.credits_micros) * i128::from(event.weight.unwrap_or(1)) + on_top
}
