//! The fold over stores that fail between any two of its steps: nothing is lost, nothing is counted twice (rules F, H).

use tollgate::ledger::admission::{Completion, ReserveOrder, SettleOrder};
use tollgate::ledger::event::Outcome;
use tollgate::ledger::record::Mode;
use tollgate::ledger::rollup::decode_totals;
use tollgate::ledger::rollups::Detail;
use tollgate::ledger::sums::Sums;
use tollgate::money::CREDIT;
use tollgate::time::{MINUTE, Timestamp};

use crate::desk::{Desk, NOON, call, open_plan, priced};
use crate::flaky::Luck;
use crate::places::places;

/// What `ROUNDS` rounds of calls come to.
const ROUNDS: i64 = 12;

/// Five calls: one with an outcome later, one recorded, one sent twice, and one settled for less than its hold.
async fn a_round(desk: &Desk, round: i64) {
    let admission = &desk.ledger.admission;
    let id = |name: &str| format!("{name}-{round}");
    desk.track(priced(&id("plain"), 1)).await.expect("a verdict");
    let outcome = Outcome { status_code: 500, latency_micros: Some(round), ..Outcome::default() };
    let completion = Completion { event_id: id("plain"), outcome };
    admission
        .complete(desk.subject(), completion)
        .await
        .expect("an outcome")
        .finish()
        .await
        .expect("an outcome");
    desk.track_as(Mode::Record, priced(&id("recorded"), 1)).await.expect("recorded");
    for _ in 0..2 {
        desk.track(priced(&id("twice"), 1)).await.expect("a verdict");
    }
    let order = ReserveOrder { micros: 3 * CREDIT, ttl: 10 * MINUTE, excess_allowed: false };
    let reserved = admission.reserve(desk.subject(), call(&id("held")), order).await.expect("a verdict");
    let settlement = SettleOrder {
        reservation: reserved.held.expect("a hold").0,
        price_micros: Some(2 * CREDIT),
        outcome: Outcome { status_code: 200, ..Outcome::default() },
    };
    admission.settle(desk.subject(), settlement).await.expect("settled");
}

/// What the whole run must come to, wherever stores failed.
fn check(totals: &Sums, seed: u64) {
    let sums = (totals.calls, totals.errors, totals.units, totals.credits_micros);
    assert_eq!(sums, (4 * ROUNDS, ROUNDS, 4 * ROUNDS, 5 * ROUNDS * CREDIT), "seed {seed}");
    let latency = totals.latency.as_ref().expect("latencies");
    assert_eq!((latency.count, latency.sum_micros), (ROUNDS, ROUNDS * (ROUNDS - 1) / 2), "seed {seed}");
}

#[tokio::test]
async fn stores_that_fail_between_steps_lose_and_double_nothing() {
    for (seed, directory) in (1..=6).flat_map(|seed| places().into_iter().map(move |place| (seed, place))) {
        let luck = Luck::new(seed);
        luck.end();
        let desk = Desk::flaky(directory.path(), open_plan(), &luck).await;
        desk.grant("first", 100, None).await;
        luck.begin(seed);
        for round in 0..ROUNDS {
            a_round(&desk, round).await;
        }
        // The first half of the rounds is recovered by another ledger, the second folded by this one.
        luck.end();
        let account = desk.account().await;
        check(&account.totals, seed);
        assert_eq!(account.balance_micros(), (100 - 5 * ROUNDS) * CREDIT);
        assert_eq!((account.held_micros(), account.debited_micros), (0, 5 * ROUNDS * CREDIT));

        let hours = desk
            .ledger
            .rollups
            .range("acme", NOON, Timestamp::MAX, Detail::Totals, usize::MAX)
            .await
            .expect("rollups");
        let mut sum = Sums::default();
        for hour in &hours {
            sum.add(&decode_totals(hour).expect("totals"));
        }
        check(&sum, seed);
        assert_eq!(sum, account.totals, "the account's totals are those of all rollups");
    }
}

#[tokio::test]
async fn what_a_failing_ledger_left_behind_is_recovered_by_the_next() {
    // In a database the other's lease runs out first, which takes seconds.
    let in_database = |seed| if seed <= 2 { usize::MAX } else { 1 };
    let cases =
        (1..=6).flat_map(|seed| places().into_iter().take(in_database(seed)).map(move |at| (seed, at)));
    for (seed, directory) in cases {
        let luck = Luck::new(seed);
        luck.end();
        let desk = Desk::flaky(directory.path(), open_plan(), &luck).await;
        desk.grant("first", 100, None).await;
        luck.begin(seed);
        for round in 0..ROUNDS {
            a_round(&desk, round).await;
        }
        // It ends in the middle of whatever it is doing, and never learns how far it came.
        let desk = desk.drop_and_open(directory.path()).await;
        check(&desk.account_at_last().await.totals, seed);
    }
}
