//! Sudden deaths, at random moments and at each place where something is half done, break no promise.

#[cfg(feature = "faults")]
use std::collections::BTreeSet;

use crate::run::Run;
use crate::{cycles, say, seed};

/// The verdict is passed this often in a long run, so that a violation is found near its cause.
const CYCLES_BETWEEN_VERDICTS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_by_deaths_at_random_moments() {
    let seed = seed();
    let mut run = Run::new(seed, None).await;
    for cycle in 1..=cycles() {
        run.killed_at_random().await;
        if cycle % CYCLES_BETWEEN_VERDICTS == 0 || cycle == cycles() {
            let verdict = run.verdict().await;
            assert!(verdict.is_clean(), "seed {seed}, cycle {cycle}:\n{verdict}");
        }
    }
    let verdict = run.verdict_after_restart().await;
    assert!(verdict.is_clean(), "seed {seed}, after the last restart:\n{verdict}");
    say(&format!("{} deaths at random moments: {}", cycles(), run.summary()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_that_are_corrected_under_load_agree_with_the_ledger() {
    let seed = seed();
    let mut run = Run::new(seed, None).await;
    for round in 1..=(cycles() / 5).max(1) {
        run.corrected_under_load().await;
        let verdict = run.verdict().await;
        assert!(verdict.is_clean(), "seed {seed}, round {round}:\n{verdict}");
    }
    say(&format!("corrected under load: {}", run.summary()));
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_by_a_death_at_any_place() {
    const PLACES: [&str; 8] = [
        "before_append",
        "after_append",
        "after_reply",
        "fold_before_events",
        "fold_after_events",
        "fold_after_rollups",
        "fold_after_accounts",
        "fold_before_done",
    ];
    let seed = seed();
    let mut run = Run::new(seed, None).await;
    let mut reached = BTreeSet::new();
    let rounds = (cycles() / 5).max(1);
    for (place, round) in (0..rounds).flat_map(|round| PLACES.map(|place| (place, round))) {
        let at = 1 + round * 6 % 13;
        if run.killed_at(place, at).await {
            reached.insert(place);
        }
        let verdict = run.verdict().await;
        assert!(verdict.is_clean(), "seed {seed}, death {at} at `{place}`:\n{verdict}");
    }
    assert_eq!(reached.len(), PLACES.len(), "only these were reached: {reached:?}");
    say(&format!("deaths at {} places: {}", PLACES.len(), run.summary()));
}
