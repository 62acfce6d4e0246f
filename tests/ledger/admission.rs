//! Calls that are decided, kept and found again.

use tollgate::gate::decision::{DenialReason, Verdict};
use tollgate::gate::policy::RateKind;
use tollgate::ledger::admission::AdmissionError;
use tollgate::ledger::event::Event;
use tollgate::ledger::record::Mode;
use tollgate::money::CREDIT;
use tollgate::time::{DAY, MINUTE, Timestamp};

use crate::desk::{Desk, NOON, call, open_plan, plan_of_three, priced, quota_of_three};

#[tokio::test]
async fn a_retry_counts_once_and_gets_the_first_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let first = desk.track(priced("a", 2)).await.expect("a verdict");
    let retry = desk.track(priced("a", 2)).await.expect("a verdict");
    assert!(!first.replayed && retry.replayed);
    assert_eq!(first.decision.price_micros, retry.decision.price_micros);
    let account = desk.account().await;
    assert_eq!((account.totals.calls, account.balance_micros()), (1, 8 * CREDIT));
}

#[tokio::test]
async fn a_retry_after_a_restart_counts_once_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    desk.track(priced("a", 2)).await.expect("a verdict");
    let desk = desk.restart(directory.path()).await;
    assert!(desk.track(priced("a", 2)).await.expect("a verdict").replayed);
    let account = desk.account().await;
    assert_eq!((account.totals.calls, account.balance_micros()), (1, 8 * CREDIT));
}

/// A caller that says when its call was made, and learns nothing of the answer for ten minutes, may ask again all the same.
#[tokio::test]
async fn a_retry_is_answered_also_when_its_call_is_too_old_to_be_decided() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 10, None).await;
    let made = |id, credits| Event { occurred_at_micros: Some(NOON.micros()), ..priced(id, credits) };
    let first = desk.track(made("a", 2)).await.expect("a verdict");
    desk.clock.advance(10 * MINUTE);
    let retry = desk.track(made("a", 2)).await.expect("the first answer");
    assert!(retry.replayed && retry.decision.at == first.decision.at);
    assert_eq!(first.decision.price_micros, retry.decision.price_micros);
    assert!(matches!(desk.track(made("a", 3)).await, Err(AdmissionError::Conflict(id)) if id == "a"));
    assert!(matches!(desk.track(made("b", 2)).await, Err(AdmissionError::Invalid(_))));
    let account = desk.account().await;
    assert_eq!((account.totals.calls, account.balance_micros()), (1, 8 * CREDIT));
}

#[tokio::test]
async fn the_same_id_with_another_content_is_a_conflict() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.track(call("a")).await.expect("a verdict");
    let other = desk.track(priced("a", 1)).await;
    assert!(matches!(other, Err(AdmissionError::Conflict(id)) if id == "a"));
    assert_eq!(desk.account().await.totals.calls, 1);
}

#[tokio::test]
async fn a_refusal_takes_nothing_and_is_remembered() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), quota_of_three()).await;
    for id in ["a", "b", "c"] {
        assert!(desk.passes(id).await);
    }
    let refused = desk.track(call("d")).await.expect("a verdict");
    let Verdict::Denied(refusal) = &refused.decision.verdict else { panic!("it passed") };
    assert_eq!((refusal.reason, refusal.denied_by.as_ref()), (DenialReason::QuotaExceeded, "month"));
    // Nobody waits for a refusal to be durable: it comes when it comes.
    while desk.account().await.totals.refused == 0 {
        tokio::task::yield_now().await;
    }
    let totals = desk.account().await.totals;
    assert_eq!((totals.calls, totals.refused), (3, 1));
}

/// Rule K: what was used before a restart is used after it.
#[tokio::test]
async fn a_restart_forgets_no_limit() {
    let kinds = [RateKind::Sliding, RateKind::Fixed, RateKind::Bucket { burst: 3 }];
    let plans = kinds.map(plan_of_three).into_iter().chain([quota_of_three()]);
    for plan in plans {
        let directory = tempfile::tempdir().expect("a directory");
        let desk = Desk::open(directory.path(), plan).await;
        assert!(desk.passes("a").await && desk.passes("b").await && desk.passes("c").await);
        let desk = desk.restart(directory.path()).await;
        assert!(!desk.passes("d").await, "{:?} {:?}", desk.policy.rates, desk.policy.quotas);
    }
}

#[tokio::test]
async fn what_happened_is_recorded_beyond_every_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), quota_of_three()).await;
    for id in ["a", "b", "c", "d"] {
        desk.track_as(Mode::Record, priced(id, 1)).await.expect("recorded");
    }
    assert!(!desk.passes("e").await, "the quota counts what was recorded");
    let account = desk.account().await;
    assert_eq!((account.totals.calls, account.overage_micros), (4, 4 * CREDIT));
}

#[tokio::test]
async fn history_touches_neither_limits_nor_credits() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), quota_of_three()).await;
    let mut old = priced("old", 5);
    old.occurred_at_micros = Some(NOON.minus(4_000 * DAY).micros());
    let first = desk.track_as(Mode::Import, old.clone()).await.expect("kept");
    assert!(!first.replayed);
    desk.ledger.fresh().await.expect("folded");
    assert!(desk.track_as(Mode::Import, old).await.expect("kept").replayed);
    assert!(desk.passes("a").await && desk.passes("b").await && desk.passes("c").await);
    let account = desk.account().await;
    assert_eq!((account.totals.calls, account.overage_micros), (4, 0));
}

/// Rule R: how far from now each kind of call may have been made.
#[tokio::test]
async fn a_call_from_too_far_away_is_refused_by_its_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    let minute = 60_000_000;
    let cases = [
        (Mode::Decide, -5 * minute, true),
        (Mode::Decide, -5 * minute - 1, false),
        (Mode::Decide, 5 * minute, true),
        (Mode::Decide, 5 * minute + 1, false),
        (Mode::Record, -35 * DAY, true),
        (Mode::Record, -35 * DAY - 1, false),
        (Mode::Record, 5 * minute + 1, false),
        (Mode::Import, -NOON.micros(), true),
        (Mode::Import, -NOON.micros() - 1, false),
        (Mode::Import, 5 * minute + 1, false),
    ];
    for (place, (mode, offset, good)) in cases.into_iter().enumerate() {
        let mut event = call(&format!("event-{place}"));
        event.occurred_at_micros = Some(NOON.plus(offset).micros());
        let tracked = desk.track_as(mode, event).await;
        let refused = matches!(&tracked, Err(AdmissionError::Invalid(wrong)) if wrong.0[0].field == "event.occurred_at");
        assert_eq!(refused, !good, "{mode:?} {offset}: {tracked:?}");
    }
}

#[tokio::test]
async fn a_wallet_is_never_overspent_by_callers_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Desk::open(directory.path(), open_plan()).await;
    desk.grant("first", 5, None).await;
    let ids = (0..50).map(|place| format!("call-{place}")).collect::<Vec<_>>();
    let tracked = futures_util::future::join_all(ids.iter().map(|id| desk.track(priced(id, 1)))).await;
    let passed = tracked
        .iter()
        .filter(|tracked| tracked.as_ref().is_ok_and(|tracked| tracked.decision.verdict == Verdict::Allowed));
    assert_eq!(passed.count(), 5);
    let account = desk.account().await;
    assert_eq!((account.balance_micros(), account.debited_micros), (0, 5 * CREDIT));
    assert_eq!(Timestamp::from_micros(account.decided_at_micros), NOON);
}
