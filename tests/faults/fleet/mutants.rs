//! The checker of fleets is tested: replicas that break a promise on purpose must be found out.

use std::time::Instant;

use super::Setup;
use super::harm::Harm;
use crate::run::Run;
use crate::verdict::Promise;
use crate::{say, seed};

const ROUNDS_MAX: u64 = 6;

/// Runs a fleet with a fault until the promise is seen to be broken.
async fn is_found(mutant: &'static str, harm: Harm, promise: Promise) {
    let (seed, since) = (seed(), Instant::now());
    let setup = Setup { mutant: Some(mutant), ..Setup::CALM };
    let Some(mut run) = Run::of_fleet(seed, setup).await else { return };
    for round in 1..=ROUNDS_MAX {
        run.harmed(harm).await;
        let verdict = run.verdict().await;
        if verdict.breaks(promise) {
            let seconds = since.elapsed().as_secs();
            say(&format!("{mutant} was found in a fleet in round {round}, after {seconds} s"));
            return;
        }
    }
    panic!("seed {seed}: `{mutant}` was not found in a fleet: {}", run.summary());
}

macro_rules! mutants {
    ($($name:ident: $mutant:literal, $harm:ident, $promise:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            is_found(concat!("mutant:", $mutant), Harm::$harm, Promise::$promise).await;
        }
    )*};
}

mutants! {
    a_seal_that_nobody_heeds_is_found_in_a_fleet: "no_seal", ReplicaUndead, NothingLost;
    an_answer_from_a_pending_mark_is_found_in_a_fleet: "answer_from_pending_mark", ReplicasKilled, NothingLost;
    a_correction_without_a_cut_is_found_in_a_fleet: "reconcile_without_cut", ReplicaMissed, CountersAgree;
}
