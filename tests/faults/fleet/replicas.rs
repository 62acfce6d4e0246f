//! Replicas that die, stand still and wake up again, while their stores are well.

use std::time::Instant;

use super::harm::Harm;
use super::{CYCLES_BETWEEN_VERDICTS, Setup, cycles, expect_clean, tell_beyond};
use crate::run::Run;
use crate::{say, seed};

/// Harms a fleet again and again. Verdicts on the way are asked from one replica, the last from all of them.
pub(super) async fn survives(name: &str, setup: Setup, harms: &[Harm]) {
    let (seed, since) = (seed(), Instant::now());
    let Some(mut run) = Run::of_fleet(seed, setup).await else { return };
    for (cycle, harm) in (1..=cycles()).zip(harms.iter().cycle()) {
        run.harmed(*harm).await;
        if cycle % CYCLES_BETWEEN_VERDICTS == 0 && cycle < cycles() {
            let verdict = run.verdict().await;
            expect_clean(&verdict, &format!("seed {seed}, cycle {cycle}, {harm:?}"));
        }
    }
    let verdict = run.verdict_of_all().await;
    tell_beyond(&verdict);
    expect_clean(&verdict, &format!("seed {seed}, at the end, by all replicas"));
    say(&format!("{name}, {} cycles in {} s: {}", cycles(), since.elapsed().as_secs(), run.summary()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_by_replicas_that_die() {
    let mut harms = [Harm::ReplicasKilled; 5];
    harms[1] = Harm::ReplicaMissed;
    survives("replicas that die", Setup::CALM, &harms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_taken_for_dead_ends_and_loses_nothing() {
    survives("replicas that stand still", Setup::CALM, &[Harm::ReplicaPaused, Harm::ReplicaUndead]).await;
}
