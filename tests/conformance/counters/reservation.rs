//! Reservations: held, extended, ended once.

use std::sync::Arc;

use tollgate::gate::call::{Demand, Effect, EventKey, PayloadHash};
use tollgate::gate::counters::{Correction, Counters, End, Ended, Extend, Extended, Gone, Over, Revived};
use tollgate::gate::credit::total;
use tollgate::gate::decision::{Burn, DenialReason, Verdict};
use tollgate::gate::state::{EndKind, Mark, Reservation, ReservationEnd, State};
use tollgate::time::{MINUTE, SECOND};

use super::{
    ACME, NOON, adapters, balance, committed, decided, demand, denied, grant, installed, policy, replayed,
};

const TTL: i64 = 10 * MINUTE;
const END: EventKey = EventKey(900);

async fn hold(
    counters: &dyn Counters,
    name: &Arc<str>,
    micros: i64,
    excess_allowed: bool,
) -> Option<DenialReason> {
    let effect = Effect::Hold { reservation: name, ttl: TTL, excess_allowed };
    let decision = decided(counters, &policy(), &Demand { effect, ..demand(1, micros) }).await;
    denied(&decision)
}

async fn end(counters: &dyn Counters, name: &Arc<str>, price_micros: Option<i64>) -> Ended {
    let payload = PayloadHash(price_micros.map_or(0, |price| price.unsigned_abs().into()) + 1);
    counters
        .end(ACME, &policy(), &End { reservation: name, event: END, payload, price_micros })
        .await
        .expect("the counters answer")
}

/// What was paid, released, charged above the hold by grants and by none, and whether it was replayed.
fn done(ended: &Ended) -> (i64, i64, i64, i64, bool) {
    let Ended::Done { end, replayed, .. } = ended else { panic!("not done: {ended:?}") };
    (total(&end.paid), total(&end.released), total(&end.excess), end.overage_micros, *replayed)
}

fn gone(ended: &Ended) -> Gone {
    let Ended::Gone(gone) = ended else { panic!("not gone: {ended:?}") };
    *gone
}

#[tokio::test]
async fn a_settlement_takes_its_price_and_a_retry_gets_the_first_answer() {
    let name = &Arc::from("res_1");
    for (adapter, counters, _) in installed(10).await {
        assert_eq!(hold(&*counters, name, 6, false).await, None, "{adapter}");
        assert_eq!(balance(&*counters).await, Some(4));
        assert_eq!(done(&end(&*counters, name, Some(2)).await), (2, 4, 0, 0, false));
        for durable in [false, true] {
            let again = end(&*counters, name, Some(2)).await;
            assert_eq!(done(&again), (2, 4, 0, 0, true));
            assert!(matches!(again, Ended::Done { durable: known, .. } if known == durable));
            committed(&*counters, END).await;
        }
        assert_eq!(balance(&*counters).await, Some(8));
        assert_eq!(gone(&end(&*counters, name, Some(3)).await), Gone::Settled);
        assert_eq!(gone(&end(&*counters, name, None).await), Gone::Settled);
    }
}

#[tokio::test]
async fn a_release_takes_nothing_and_ends_it() {
    let name = &Arc::from("res_1");
    for (adapter, counters, _) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        assert_eq!(done(&end(&*counters, name, None).await), (0, 6, 0, 0, false), "{adapter}");
        assert_eq!(done(&end(&*counters, name, None).await), (0, 6, 0, 0, true));
        assert_eq!(gone(&end(&*counters, name, Some(1)).await), Gone::Released);
        assert_eq!(balance(&*counters).await, Some(10));
    }
}

#[tokio::test]
async fn above_the_hold_takes_a_reservation_that_allows_it() {
    let name = &Arc::from("res_1");
    for (adapter, counters, _) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        assert!(
            matches!(end(&*counters, name, Some(7)).await, Ended::AboveHold { held_micros: 6 }),
            "{adapter}"
        );
        assert_eq!(done(&end(&*counters, name, Some(6)).await), (6, 0, 0, 0, false));
    }
    for (adapter, counters, _) in installed(10).await {
        hold(&*counters, name, 6, true).await;
        assert_eq!(done(&end(&*counters, name, Some(13)).await), (6, 0, 4, 3, false), "{adapter}");
    }
}

#[tokio::test]
async fn a_hold_that_credits_do_not_cover_is_refused() {
    let name = &Arc::from("res_1");
    for (adapter, counters, _) in installed(5).await {
        assert_eq!(hold(&*counters, name, 6, true).await, Some(DenialReason::CreditsExhausted), "{adapter}");
        assert_eq!(gone(&end(&*counters, name, None).await), Gone::Unknown);
        assert_eq!(balance(&*counters).await, Some(5));
    }
}

#[tokio::test]
async fn a_retried_hold_holds_once_and_keeps_its_expiry() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        let effect = Effect::Hold { reservation: name, ttl: TTL, excess_allowed: false };
        let ask = Demand { effect, ..demand(1, 6) };
        decided(&*counters, &policy(), &ask).await;
        clock.advance(SECOND);
        for _ in 0..2 {
            let (decision, _) = replayed(&*counters, &policy(), &ask).await;
            assert_eq!(decision.expires_at, Some(NOON.plus(TTL)), "{adapter}");
            assert_eq!((decision.price_micros, decision.balance_micros), (6, Some(4)));
            committed(&*counters, EventKey(1)).await;
        }
    }
}

#[tokio::test]
async fn an_extension_is_made_once() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        clock.advance(MINUTE);
        let ask = |additional_micros: i64| Extend {
            reservation: name,
            event: EventKey(50),
            payload: PayloadHash(additional_micros.unsigned_abs().into()),
            ttl: Some(TTL),
            additional_micros,
        };
        let refused = counters.extend(ACME, &policy(), &ask(5)).await.unwrap();
        let Extended::Decided { decision, held_micros: 6, .. } = refused else {
            panic!("{adapter}: {refused:?}")
        };
        assert_ne!(decision.verdict, Verdict::Allowed);
        for expected in [(false, false), (true, false), (true, true)] {
            let extended = counters.extend(ACME, &policy(), &ask(3)).await.unwrap();
            let Extended::Decided { held_micros, expires_at, replayed, durable, decision } = extended else {
                panic!("{adapter}: {extended:?}");
            };
            assert_eq!((replayed, durable), expected);
            assert_eq!((held_micros, expires_at, decision.price_micros), (9, NOON.plus(MINUTE + TTL), 3));
            assert_eq!(decision.balance_micros, Some(1));
            if replayed {
                committed(&*counters, EventKey(50)).await;
            }
        }
        assert!(matches!(counters.extend(ACME, &policy(), &ask(1)).await.unwrap(), Extended::Conflict));
        let other = Extend { reservation: &Arc::from("res_2"), event: EventKey(51), ..ask(1) };
        assert!(matches!(
            counters.extend(ACME, &policy(), &other).await.unwrap(),
            Extended::Gone(Gone::Unknown)
        ));
        assert_eq!(done(&end(&*counters, name, Some(8)).await), (8, 1, 0, 0, false));
    }
}

#[tokio::test]
async fn an_expired_hold_is_held_until_its_end_is_durable() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        clock.advance(TTL);
        assert_eq!(gone(&end(&*counters, name, Some(1)).await), Gone::Expired, "{adapter}");
        assert_eq!(balance(&*counters).await, Some(4));
        for _ in 0..2 {
            counters.expired(ACME, &[any(name)], &[]).await.unwrap();
            assert_eq!(balance(&*counters).await, Some(10));
        }
        assert_eq!(gone(&end(&*counters, name, None).await), Gone::Expired);
    }
}

/// The corrector looked at a reservation that no journal had; before it said so, a retry had opened the reservation again.
#[tokio::test]
async fn a_reservation_that_was_opened_again_is_not_ended_in_place_of_the_first() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 3, false).await;
        let first = Over { opened_at: Some(NOON), ..any(name) };
        clock.advance(11 * SECOND);
        hold(&*counters, name, 3, false).await;
        counters.expired(ACME, std::slice::from_ref(&first), &[]).await.unwrap();
        assert!(matches!(end(&*counters, name, Some(2)).await, Ended::Done { .. }), "{adapter}");
    }
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 3, false).await;
        clock.advance(SECOND);
        let first = Over { opened_at: Some(NOON), ..any(name) };
        counters.expired(ACME, &[first], &[]).await.unwrap();
        assert_eq!(gone(&end(&*counters, name, Some(2)).await), Gone::Expired, "{adapter}");
    }
}

fn any(reservation: &Arc<str>) -> Over {
    Over { reservation: Arc::clone(reservation), opened_at: None }
}

#[tokio::test]
async fn an_end_that_was_abandoned_is_said_anew_while_the_reservation_would_live() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        let Ended::Done { end: first, .. } = end(&*counters, name, Some(2)).await else {
            panic!("{adapter}")
        };
        clock.advance(11 * SECOND);
        let Ended::Done { end: anew, durable: false, .. } = end(&*counters, name, Some(2)).await else {
            panic!("{adapter}: a settlement that the journal does not have is lost");
        };
        assert_eq!((anew.at, anew.number), (NOON.plus(11 * SECOND), first.number + 1));
        assert_eq!((anew.paid, anew.balance_micros), (first.paid, 8));
        clock.advance(TTL);
        assert_eq!(gone(&end(&*counters, name, Some(2)).await), Gone::Expired);
    }
}

/// The reservation of a tenant's counters as the ledger has it, which knows nothing of its end.
async fn revive(counters: &dyn Counters, name: &Arc<str>) -> Correction {
    let state = counters.read(ACME).await.expect("the counters answer").expect("acme is installed");
    let known = state.reservations[name].clone();
    let ended_at = known.ended.as_ref().map(|end| end.at);
    let held = Reservation { ended: None, ..known };
    Correction {
        epoch: state.epoch,
        number: state.number,
        revived: vec![Revived { reservation: Arc::clone(name), ended_at, held }],
        ..Correction::default()
    }
}

#[tokio::test]
async fn a_reservation_is_revived_whose_end_no_journal_has() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 6, true).await;
        // Of the 10 the end takes all, and 3 that nobody has.
        assert_eq!(done(&end(&*counters, name, Some(13)).await), (6, 0, 4, 3, false), "{adapter}");
        clock.advance(11 * SECOND);
        let correction = revive(&*counters, name).await;
        assert!(counters.correct(ACME, &correction).await.unwrap());
        let state = counters.read(ACME).await.unwrap().unwrap();
        assert_eq!((balance(&*counters).await, state.overage_micros), (Some(4), 0), "{adapter}");
        // The same end again is no replay, and so is another.
        assert_eq!(done(&end(&*counters, name, Some(2)).await), (2, 4, 0, 0, false), "{adapter}");
        assert_eq!(balance(&*counters).await, Some(8));
    }
}

#[tokio::test]
async fn what_a_revived_reservation_holds_may_have_been_spent_and_comes_back_at_its_end() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        end(&*counters, name, Some(2)).await;
        assert_eq!(denied(&decided(&*counters, &policy(), &demand(2, 8)).await), None);
        clock.advance(11 * SECOND);
        let correction = revive(&*counters, name).await;
        assert!(counters.correct(ACME, &correction).await.unwrap());
        assert_eq!(balance(&*counters).await, Some(0), "{adapter}");
        assert_eq!(counters.read(ACME).await.unwrap().unwrap().grants[0].remaining_micros, -4);
        assert_eq!(done(&end(&*counters, name, Some(2)).await), (2, 4, 0, 0, false), "{adapter}");
        assert_eq!(counters.read(ACME).await.unwrap().unwrap().grants[0].remaining_micros, 0);
    }
}

#[tokio::test]
async fn a_reservation_whose_end_was_said_anew_is_not_revived() {
    let name = &Arc::from("res_1");
    for (adapter, counters, clock) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        end(&*counters, name, Some(2)).await;
        let correction = revive(&*counters, name).await;
        clock.advance(11 * SECOND);
        assert!(done(&end(&*counters, name, Some(2)).await).4, "{adapter}");
        assert!(counters.correct(ACME, &correction).await.unwrap());
        assert_eq!(balance(&*counters).await, Some(8), "{adapter}");
        assert_eq!(gone(&end(&*counters, name, None).await), Gone::Settled);
    }
}

#[tokio::test]
async fn a_reservation_that_came_late_is_opened_and_one_that_lives_is_left_alone() {
    let (name, other) = (&Arc::from("res_1"), Arc::from("res_2"));
    for (adapter, counters, _) in installed(10).await {
        hold(&*counters, name, 6, false).await;
        let mut correction = revive(&*counters, name).await;
        let held = vec![Burn { grant: Arc::from("gift"), micros: 3 }];
        let late = Reservation { held, ..correction.revived[0].held.clone() };
        correction.revived.push(Revived { reservation: Arc::clone(&other), ended_at: None, held: late });
        assert!(counters.correct(ACME, &correction).await.unwrap());
        assert_eq!(balance(&*counters).await, Some(1), "{adapter}");
        assert_eq!(done(&end(&*counters, &other, Some(1)).await), (1, 2, 0, 0, false), "{adapter}");
    }
}

#[tokio::test]
async fn an_end_that_the_ledger_brought_answers_a_retry() {
    let name: &Arc<str> = &Arc::from("res_1");
    for (adapter, counters, _) in adapters().await {
        let held = vec![Burn { grant: Arc::from("gift"), micros: 6 }];
        let (kind, took) = (EndKind::Settled, held.clone());
        let ended = Some(ReservationEnd { kind, at: NOON, took, overage_micros: 2 });
        let reservation =
            Reservation { held, opened_at: NOON, expires_at: NOON.plus(TTL), excess_allowed: true, ended };
        let mut state = State { grants: vec![grant("gift", 4)], ..State::default() };
        state.reservations.insert(Arc::clone(name), reservation);
        state.marks =
            vec![Mark { event: END, payload: PayloadHash(9), at: NOON, price_micros: 8, outcome: None }];
        counters.install(ACME, state).await.unwrap();
        let ended = end(&*counters, name, Some(8)).await;
        assert_eq!(done(&ended), (6, 0, 0, 2, true), "{adapter}");
        assert!(matches!(ended, Ended::Done { durable: true, .. }));
        assert_eq!(gone(&end(&*counters, name, Some(7)).await), Gone::Settled);
    }
}
