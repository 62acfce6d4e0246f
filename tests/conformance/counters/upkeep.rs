//! Installation, reading, correction, and what ends by time.

use std::sync::Arc;

use tollgate::gate::call::{EventKey, PayloadHash};
use tollgate::gate::counters::{Charged, Completed, Correction};
use tollgate::gate::decision::{CounterId, LimitKind};
use tollgate::gate::policy::LimitKey;
use tollgate::gate::state::{Counter, Mark, State};
use tollgate::time::DAY;

use super::{
    ACME, NOON, adapters, balance, decided, demand, denied, grant, installed, policy, replayed, with_quota,
};

fn month() -> CounterId {
    CounterId { limit: LimitKey::of("month", LimitKind::Quota, 0), member: Arc::default() }
}

#[tokio::test]
async fn what_the_ledger_knows_is_installed_once_and_counts_on() {
    for (name, counters, _) in adapters().await {
        let period = policy().period.containing(NOON);
        let mut state = State { epoch: 7, number: 41, period: Some(period), ..State::default() };
        state.counters.insert(&month(), Counter::Quota { period_start: period.start, used: 3 });
        state.marks = vec![Mark {
            event: EventKey(1),
            payload: demand(1, 2).payload,
            at: NOON.minus(DAY / 48),
            price_micros: 2,
            outcome: Some(PayloadHash(7)),
        }];
        counters.install(ACME, state).await.unwrap();
        counters.install(ACME, State::default()).await.unwrap();
        let next = decided(&*counters, &with_quota(5), &demand(2, 0)).await;
        assert_eq!((next.epoch, next.number, next.limits[0].remaining), (7, 42, Some(1)), "{name}");
        let (again, durable) = replayed(&*counters, &with_quota(5), &demand(1, 2)).await;
        assert_eq!((again.price_micros, durable, again.limits[0].remaining), (2, true, Some(1)));
        let charged = counters.charge(ACME, &policy(), &demand(1, 3)).await.unwrap();
        assert!(matches!(charged, Charged::Conflict));
        let completed = counters.complete(ACME, EventKey(1), PayloadHash(7)).await.unwrap();
        assert_eq!(completed, Completed::Replayed { durable: true });
    }
}

#[tokio::test]
async fn a_grant_is_added_once() {
    for (name, counters, _) in installed(5).await {
        for _ in 0..2 {
            assert!(counters.grant(ACME, grant("top-up", 4)).await.unwrap());
            assert_eq!(balance(&*counters).await, Some(9), "{name}");
        }
    }
}

#[tokio::test]
async fn a_correction_is_posted_once_under_its_number() {
    for (name, counters, _) in installed(5).await {
        for event in 1..=3 {
            decided(&*counters, &with_quota(9), &demand(event, 1)).await;
        }
        let read = counters.read(ACME).await.unwrap().unwrap();
        let correction = Correction {
            epoch: read.epoch,
            number: read.number,
            counters: vec![(month(), -2)],
            grants: vec![(Arc::from("gift"), 1), (Arc::from("unknown"), 7)],
            ..Correction::default()
        };
        decided(&*counters, &with_quota(9), &demand(4, 1)).await;
        for expected in [true, false] {
            assert_eq!(counters.correct(ACME, &correction).await.unwrap(), expected, "{name}");
        }
        let foreign = Correction { epoch: read.epoch + 1, number: read.number + 1, ..correction.clone() };
        assert!(!counters.correct(ACME, &foreign).await.unwrap(), "{name}: of another epoch");
        let late = Correction { number: read.number + 1, ..correction.clone() };
        assert!(!counters.correct(ACME, &late).await.unwrap(), "{name}: read before the first was posted");
        let earlier = Correction { number: read.number - 1, ..correction };
        assert!(!counters.correct(ACME, &earlier).await.unwrap());
        let next = decided(&*counters, &with_quota(9), &demand(5, 0)).await;
        assert_eq!((next.limits[0].remaining, next.balance_micros), (Some(6), Some(2)));
        assert!(next.number > read.number + 1);
    }
}

#[tokio::test]
async fn of_two_corrections_of_one_difference_one_is_posted() {
    for (name, counters, _) in installed(5).await {
        let mut read = Vec::new();
        for event in 1..=2 {
            decided(&*counters, &with_quota(9), &demand(event, 1)).await;
            read.push(counters.read(ACME).await.unwrap().unwrap());
        }
        for (state, expected) in read.iter().zip([true, false]) {
            let correction = Correction {
                epoch: state.epoch,
                number: state.number,
                counters: vec![(month(), -1)],
                ..Correction::default()
            };
            assert_eq!(counters.correct(ACME, &correction).await.unwrap(), expected, "{name}");
        }
        let again = counters.read(ACME).await.unwrap().unwrap();
        let correction = Correction { epoch: again.epoch, number: again.number, ..Correction::default() };
        assert!(counters.correct(ACME, &correction).await.unwrap(), "{name}: read after the first");
    }
}

#[tokio::test]
async fn a_correction_never_gives_more_than_was_taken() {
    for (name, counters, _) in installed(5).await {
        decided(&*counters, &with_quota(9), &demand(1, 1)).await;
        let number = counters.read(ACME).await.unwrap().unwrap().number;
        let grants = vec![(Arc::from("gift"), -50)];
        let correction =
            Correction { number, counters: vec![(month(), -50)], grants, ..Correction::default() };
        assert!(counters.correct(ACME, &correction).await.unwrap());
        let next = decided(&*counters, &with_quota(9), &demand(2, 0)).await;
        assert_eq!((next.limits[0].remaining, next.balance_micros), (Some(8), Some(0)), "{name}");
    }
}

#[tokio::test]
async fn a_correction_of_an_earlier_period_leaves_the_new_quota_alone() {
    for (name, counters, clock) in installed(5).await {
        decided(&*counters, &with_quota(9), &demand(1, 1)).await;
        let number = counters.read(ACME).await.unwrap().unwrap().number;
        clock.set(policy().period.containing(NOON).end);
        decided(&*counters, &with_quota(9), &demand(2, 0)).await;
        let correction = Correction {
            number,
            counters: vec![(month(), 4)],
            grants: vec![(Arc::from("gift"), 1)],
            overage_micros: 4,
            ..Correction::default()
        };
        assert!(counters.correct(ACME, &correction).await.unwrap());
        let next = decided(&*counters, &with_quota(9), &demand(3, 0)).await;
        assert_eq!((next.limits[0].remaining, next.balance_micros), (Some(7), Some(5)), "{name}");
        assert_eq!(counters.read(ACME).await.unwrap().unwrap().overage_micros, 0, "{name}");
    }
}

#[tokio::test]
async fn overage_is_corrected_and_never_below_nothing() {
    for (name, counters, _) in installed(5).await {
        for (event, more, expected) in [(1, 7, 7), (2, -3, 4), (3, -50, 0)] {
            let number = decided(&*counters, &with_quota(9), &demand(event, 0)).await.number;
            let correction = Correction { number, overage_micros: more, ..Correction::default() };
            assert!(counters.correct(ACME, &correction).await.unwrap(), "{name}");
            assert_eq!(counters.read(ACME).await.unwrap().unwrap().overage_micros, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn grants_that_were_closed_are_forgotten() {
    for (name, counters, _) in installed(5).await {
        counters.expired(ACME, &[], &[Arc::from("gift")]).await.unwrap();
        assert_eq!(balance(&*counters).await, Some(0), "{name}");
    }
}

#[tokio::test]
async fn an_hour_back_opens_no_period_twice() {
    for (name, counters, clock) in installed(0).await {
        let end = policy().period.containing(NOON).end;
        clock.set(end);
        assert_eq!(denied(&decided(&*counters, &with_quota(1), &demand(1, 0)).await), None);
        clock.advance(-DAY / 24);
        let back = decided(&*counters, &with_quota(1), &demand(2, 0)).await;
        assert!(denied(&back).is_some(), "{name}");
        assert_eq!(back.period.start, end);
    }
}
