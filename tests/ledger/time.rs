//! What ends by time: allowances, and what is left of a grant (rules I, S).

use tollgate::gate::policy::Policy;
use tollgate::money::CREDIT;
use tollgate::time::{DAY, HOUR, SECOND};

use crate::desk::{Desk, NOON, open_plan, priced};

fn allowance_of_five() -> Policy {
    Policy { allowance_micros: 5 * CREDIT, ..open_plan() }
}

#[tokio::test]
async fn a_period_is_granted_once_however_many_ask() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), allowance_of_five()).await;
    let ids = (0..20).map(|place| format!("call-{place}")).collect::<Vec<_>>();
    futures_util::future::join_all(ids.iter().map(|id| desk.track(priced(id, 1)))).await;
    let account = desk.account().await;
    assert_eq!((account.granted_micros, account.debited_micros), (5 * CREDIT, 5 * CREDIT));

    let desk = desk.restart(directory.path()).await;
    assert_eq!(desk.account().await.granted_micros, 5 * CREDIT);
}

#[tokio::test]
async fn the_next_period_has_an_allowance_of_its_own_and_the_rest_of_the_last_is_breakage() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), allowance_of_five()).await;
    desk.track(priced("a", 2)).await.expect("a verdict");
    desk.clock.set(NOON.plus(31 * DAY));
    desk.track(priced("b", 1)).await.expect("a verdict");
    desk.clock.advance(2 * SECOND);
    while desk.account().await.breakage_micros == 0 {
        tokio::task::yield_now().await;
    }
    let account = desk.account().await;
    assert_eq!(
        (account.granted_micros, account.debited_micros, account.breakage_micros),
        (10 * CREDIT, 3 * CREDIT, 3 * CREDIT)
    );
    assert_eq!(account.balance_micros(), 4 * CREDIT);
}

/// A clock that steps back over the end of a period renews nothing twice.
#[tokio::test]
async fn a_clock_that_steps_back_grants_nothing_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), allowance_of_five()).await;
    desk.clock.set(NOON.plus(31 * DAY));
    desk.track(priced("a", 1)).await.expect("a verdict");
    desk.clock.set(NOON.plus(30 * DAY).minus(HOUR));
    desk.track(priced("b", 1)).await.expect("a verdict");
    desk.clock.set(NOON.plus(31 * DAY));
    desk.track(priced("c", 1)).await.expect("a verdict");
    assert_eq!(desk.account().await.granted_micros, 5 * CREDIT);
}
