//! Charges, and the marks that answer for them.

use std::sync::Arc;

use tollgate::gate::call::{Demand, Effect, EventKey, PayloadHash};
use tollgate::gate::counters::{Charged, Completed};
use tollgate::gate::decide::allowance_id;
use tollgate::gate::decision::DenialReason;
use tollgate::gate::policy::{Policy, RateKind};
use tollgate::gate::state::{Grant, State};
use tollgate::time::{MINUTE, SECOND};

use super::{
    ACME, NOON, adapters, balance, committed, decided, demand, denied, grant, installed, policy, replayed,
    with_quota, with_rate,
};

#[tokio::test]
async fn a_tenant_that_is_not_installed_is_missing_never_zero() {
    for (name, counters, _) in adapters().await {
        let charged = counters.charge(ACME, &policy(), &demand(1, 0)).await.unwrap();
        assert!(matches!(charged, Charged::Missing), "{name}");
        assert!(!counters.grant(ACME, grant("gift", 1)).await.unwrap());
        assert!(counters.read(ACME).await.unwrap().is_none());
        let completed = counters.complete(ACME, EventKey(1), PayloadHash(1)).await.unwrap();
        assert_eq!(completed, Completed::Unknown);
        counters.install("other", State::default()).await.unwrap();
        assert!(counters.read(ACME).await.unwrap().is_none(), "{name}: tenants see nothing of each other");
    }
}

#[tokio::test]
async fn changes_are_numbered_without_gaps_and_refusals_have_no_number() {
    for (name, counters, _) in installed(0).await {
        let two = with_quota(2);
        for (event, number) in [(1, 1), (2, 2), (3, 0), (4, 0)] {
            assert_eq!(decided(&*counters, &two, &demand(event, 0)).await.number, number, "{name}");
        }
        assert_eq!(decided(&*counters, &with_quota(3), &demand(5, 0)).await.number, 3);
        assert_eq!(counters.read(ACME).await.unwrap().unwrap().number, 3);
    }
}

#[tokio::test]
async fn a_refusal_takes_nothing_and_is_decided_anew() {
    for (name, counters, _) in installed(5).await {
        let one = with_quota(1);
        assert_eq!(
            denied(&decided(&*counters, &one, &demand(1, 6)).await),
            Some(DenialReason::CreditsExhausted)
        );
        assert_eq!(balance(&*counters).await, Some(5), "{name}");
        let allowed = decided(&*counters, &one, &demand(1, 5)).await;
        assert_eq!((denied(&allowed), allowed.limits[0].remaining), (None, Some(0)));
        assert_eq!(
            denied(&decided(&*counters, &one, &demand(2, 0)).await),
            Some(DenialReason::QuotaExceeded)
        );
    }
}

#[tokio::test]
async fn a_dry_decision_takes_nothing_and_leaves_no_mark() {
    for (name, counters, _) in installed(5).await {
        let one = with_quota(1);
        let dry = Demand { effect: Effect::Dry, ..demand(1, 5) };
        for _ in 0..3 {
            let asked = decided(&*counters, &one, &dry).await;
            assert_eq!((denied(&asked), asked.number, asked.balance_micros), (None, 0, Some(5)), "{name}");
        }
        assert_eq!(denied(&decided(&*counters, &one, &demand(1, 5)).await), None);
        let after = decided(&*counters, &one, &dry).await;
        assert_eq!(denied(&after), Some(DenialReason::QuotaExceeded), "a question is not answered by a mark");
    }
}

#[tokio::test]
async fn a_retry_is_answered_by_its_mark_with_the_limits_of_the_moment() {
    for (name, counters, clock) in installed(9).await {
        let policy = with_rate(RateKind::Sliding, 5, MINUTE);
        let first = decided(&*counters, &policy, &demand(1, 2)).await;
        decided(&*counters, &policy, &demand(2, 1)).await;
        clock.advance(SECOND);
        let (again, durable) = replayed(&*counters, &policy, &demand(1, 2)).await;
        assert!(!durable, "{name}: nobody said that the ledger has it");
        assert_eq!((again.number, again.at, again.price_micros), (first.number, first.at, 2));
        assert_eq!(again.burns, first.burns);
        assert_eq!(again.charges.len(), 1, "a pending decision can be journalled again");
        assert_eq!((again.limits[0].remaining, again.balance_micros), (Some(3), Some(6)));
        committed(&*counters, EventKey(1)).await;
        let (again, durable) = replayed(&*counters, &policy, &demand(1, 2)).await;
        assert!(durable);
        assert_eq!((again.price_micros, again.at, again.limits[0].remaining), (2, first.at, Some(3)));
    }
}

#[tokio::test]
async fn another_payload_under_the_same_id_is_a_conflict_and_takes_nothing() {
    for (name, counters, _) in installed(9).await {
        decided(&*counters, &policy(), &demand(1, 2)).await;
        for durable in [false, true] {
            let charged = counters.charge(ACME, &policy(), &demand(1, 3)).await.unwrap();
            assert!(matches!(charged, Charged::Conflict), "{name} {durable}: {charged:?}");
            committed(&*counters, EventKey(1)).await;
        }
        assert_eq!(balance(&*counters).await, Some(7));
    }
}

#[tokio::test]
async fn a_mark_that_was_pending_for_more_than_ten_seconds_counts_for_nothing() {
    for (name, counters, clock) in installed(9).await {
        decided(&*counters, &policy(), &demand(1, 2)).await;
        clock.advance(10 * SECOND);
        assert!(!replayed(&*counters, &policy(), &demand(1, 2)).await.1, "{name}");
        clock.advance(1);
        let anew = decided(&*counters, &policy(), &demand(1, 2)).await;
        assert_eq!((anew.number, anew.balance_micros), (3, Some(5)));
        committed(&*counters, EventKey(1)).await;
        clock.advance(3_000 * SECOND);
        assert!(replayed(&*counters, &policy(), &demand(1, 2)).await.1, "a durable mark answers for an hour");
        clock.advance(601 * SECOND);
        assert_eq!(decided(&*counters, &policy(), &demand(1, 2)).await.number, 4);
    }
}

#[tokio::test]
async fn an_allowance_is_due_until_it_is_granted() {
    for (name, counters, clock) in installed(0).await {
        let monthly = Policy { allowance_micros: 5, ..policy() };
        let mut spent = 0;
        for event in 1..=2 {
            let charged = counters.charge(ACME, &monthly, &demand(event, 5)).await.unwrap();
            let Charged::AllowanceDue { period_start, period_end } = charged else {
                panic!("{name}: {charged:?}")
            };
            let (id, expires_at) = (Arc::from(allowance_id("sub", period_start)), Some(period_end));
            let allowance = Grant { id, priority: 100, expires_at, remaining_micros: 5 };
            for _ in 0..2 {
                assert!(counters.grant(ACME, allowance.clone()).await.unwrap());
            }
            for price in [5, 1] {
                let decision =
                    decided(&*counters, &monthly, &demand(event * 10 + u128::from(price == 5), price)).await;
                spent += decision.price_micros;
            }
            clock.set(period_end);
        }
        assert_eq!(spent, 10, "each period's allowance is there once");
    }
}

#[tokio::test]
async fn a_recorded_call_is_charged_beyond_every_cap() {
    for (name, counters, _) in installed(5).await {
        let none = with_quota(0);
        let record =
            |event, occurred_at| Demand { effect: Effect::Record { occurred_at }, ..demand(event, 8) };
        let recorded = decided(&*counters, &none, &record(1, NOON.minus(MINUTE))).await;
        assert_eq!(
            (denied(&recorded), recorded.overage_micros, recorded.balance_micros),
            (None, 3, Some(0)),
            "{name}"
        );
        assert_eq!(recorded.charges.len(), 1);
        let late = decided(&*counters, &none, &record(2, NOON.minus(40 * 86_400 * SECOND))).await;
        assert_eq!((late.charges.len(), late.overage_micros), (0, 8));
        assert!(matches!(
            counters.charge(ACME, &none, &record(2, NOON.minus(40 * 86_400 * SECOND))).await.unwrap(),
            Charged::Replayed { .. }
        ));
    }
}

#[tokio::test]
async fn an_outcome_is_added_once() {
    for (name, counters, clock) in installed(0).await {
        let outcome = |hash| counters.complete(ACME, EventKey(1), PayloadHash(hash));
        assert_eq!(outcome(7).await.unwrap(), Completed::Unknown, "{name}");
        decided(&*counters, &policy(), &demand(1, 0)).await;
        committed(&*counters, EventKey(1)).await;
        assert_eq!(outcome(7).await.unwrap(), Completed::Fresh);
        assert_eq!(outcome(7).await.unwrap(), Completed::Replayed { durable: false });
        assert_eq!(outcome(8).await.unwrap(), Completed::Conflict);
        committed(&*counters, EventKey(1)).await;
        assert_eq!(
            outcome(7).await.unwrap(),
            Completed::Replayed { durable: false },
            "{name}: only the event is known"
        );
        committed(&*counters, EventKey(1).completion()).await;
        assert_eq!(outcome(7).await.unwrap(), Completed::Replayed { durable: true });
        clock.advance(11 * SECOND);
        assert_eq!(outcome(8).await.unwrap(), Completed::Conflict);
        assert!(replayed(&*counters, &policy(), &demand(1, 0)).await.1, "the event's own mark is untouched");
    }
}
