//! Credits that are held, settled, released and freed by time (rule T).

use tollgate::ledger::admission::{AdmissionError, ExtendOrder, ReserveOrder, SettleOrder};
use tollgate::ledger::event::{Event, Outcome};
use tollgate::money::CREDIT;
use tollgate::time::{HOUR, MINUTE, SECOND};

use crate::desk::{Desk, NOON, call, open_plan};

pub(crate) const ORDER: ReserveOrder =
    ReserveOrder { micros: 4 * CREDIT, ttl: 10 * MINUTE, excess_allowed: false };

pub(crate) async fn reserve(desk: &Desk, id: &str, order: ReserveOrder) -> String {
    let reserved = desk.ledger.admission.reserve(desk.subject(), call(id), order).await.expect("a verdict");
    reserved.held.expect("a hold").0
}

pub(crate) fn settlement(reservation: &str, credits: i64) -> SettleOrder {
    SettleOrder {
        reservation: reservation.to_owned(),
        price_micros: Some(credits * CREDIT),
        outcome: Outcome { status_code: 200, ..Outcome::default() },
    }
}

#[tokio::test]
async fn a_settlement_charges_what_it_cost_and_frees_the_rest() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let reservation = reserve(&desk, "a", ORDER).await;
    let held = desk.account().await;
    assert_eq!(
        (held.balance_micros(), held.held_micros(), held.totals.credits_micros),
        (6 * CREDIT, 4 * CREDIT, 0)
    );

    let settled =
        desk.ledger.admission.settle(desk.subject(), settlement(&reservation, 3)).await.expect("settled");
    assert_eq!(
        (settled.charged_micros, settled.released_micros, settled.replayed),
        (3 * CREDIT, CREDIT, false)
    );
    let again =
        desk.ledger.admission.settle(desk.subject(), settlement(&reservation, 3)).await.expect("settled");
    assert!(again.replayed);
    let account = desk.account().await;
    assert_eq!(
        (account.balance_micros(), account.held_micros(), account.debited_micros),
        (7 * CREDIT, 0, 3 * CREDIT)
    );
    assert_eq!((account.totals.calls, account.totals.credits_micros), (1, 3 * CREDIT));
}

#[tokio::test]
async fn a_second_end_is_told_how_it_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let admission = &desk.ledger.admission;
    let settled = reserve(&desk, "a", ORDER).await;
    admission.settle(desk.subject(), settlement(&settled, 3)).await.expect("settled");
    let other = admission.settle(desk.subject(), settlement(&settled, 2)).await;
    assert!(matches!(other, Err(AdmissionError::ReservationSettled(_))), "{other:?}");
    let release = admission.release(desk.subject(), settled).await;
    assert!(matches!(release, Err(AdmissionError::ReservationSettled(_))), "{release:?}");

    let released = reserve(&desk, "b", ORDER).await;
    admission.release(desk.subject(), released.clone()).await.expect("released");
    let settle = admission.settle(desk.subject(), settlement(&released, 1)).await;
    assert!(matches!(settle, Err(AdmissionError::ReservationReleased(_))), "{settle:?}");

    let unknown =
        admission.settle(desk.subject(), settlement("res_00000000000000000000000000000001", 1)).await;
    assert!(matches!(unknown, Err(AdmissionError::ReservationUnknown(_))), "{unknown:?}");
    let above = reserve(&desk, "c", ORDER).await;
    let settle = admission.settle(desk.subject(), settlement(&above, 5)).await;
    assert!(
        matches!(settle, Err(AdmissionError::AboveHold { held_micros, .. }) if held_micros == 4 * CREDIT)
    );
}

#[tokio::test]
async fn an_expired_reservation_is_free_again_and_ends_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let reservation = reserve(&desk, "a", ORDER).await;
    desk.clock.advance(10 * MINUTE);
    let late = desk.ledger.admission.settle(desk.subject(), settlement(&reservation, 3)).await;
    assert!(matches!(late, Err(AdmissionError::ReservationExpired(_))), "{late:?}");
    desk.clock.advance(2 * SECOND);
    while desk.account().await.held_micros() > 0 {
        tokio::task::yield_now().await;
    }
    let account = desk.account().await;
    assert_eq!((account.balance_micros(), account.debited_micros), (10 * CREDIT, 0));
    // The counters have it back too, and the whole wallet can be held again.
    let whole = ReserveOrder { micros: 10 * CREDIT, ..ORDER };
    loop {
        let reserved =
            desk.ledger.admission.reserve(desk.subject(), call("b"), whole).await.expect("a verdict");
        if reserved.held.is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_retry_is_answered_also_when_its_call_is_too_old_to_be_reserved() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let ask = |id| {
        let made = Event { occurred_at_micros: Some(NOON.micros()), ..call(id) };
        desk.ledger.admission.reserve(desk.subject(), made, ReserveOrder { ttl: HOUR, ..ORDER })
    };
    let first = ask("a").await.expect("a verdict");
    desk.clock.advance(10 * MINUTE);
    let retry = ask("a").await.expect("the first answer");
    assert!(retry.tracked.replayed && retry.held.is_some());
    assert_eq!(first.held, retry.held);
    assert!(matches!(ask("b").await, Err(AdmissionError::Invalid(_))));
    assert_eq!(desk.account().await.held_micros(), ORDER.micros);
}

#[tokio::test]
async fn a_hold_outlives_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let reservation = reserve(&desk, "a", ORDER).await;
    let order = ExtendOrder {
        reservation: reservation.clone(),
        request_id: "more".to_owned(),
        ttl: Some(HOUR),
        additional_micros: 2 * CREDIT,
    };
    let extended = desk.ledger.admission.extend(desk.subject(), order.clone()).await.expect("extended");
    assert_eq!((extended.held_micros, extended.replayed), (6 * CREDIT, false));
    assert!(desk.ledger.admission.extend(desk.subject(), order).await.expect("extended").replayed);

    let desk = desk.restart(directory.path()).await;
    let settled =
        desk.ledger.admission.settle(desk.subject(), settlement(&reservation, 5)).await.expect("settled");
    assert_eq!((settled.charged_micros, settled.released_micros), (5 * CREDIT, CREDIT));
    let desk = desk.restart(directory.path()).await;
    assert!(
        desk.ledger
            .admission
            .settle(desk.subject(), settlement(&reservation, 5))
            .await
            .expect("settled")
            .replayed
    );
    let account = desk.account().await;
    assert_eq!(
        (account.balance_micros(), account.held_micros(), account.debited_micros),
        (5 * CREDIT, 0, 5 * CREDIT)
    );
}
