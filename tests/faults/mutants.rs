//! The checker itself is tested: a server that breaks a promise on purpose must be found out.

use crate::run::Run;
use crate::verdict::Promise;
use crate::{say, seed};

const ROUNDS_MAX: u64 = 8;

/// How the server dies in each round.
#[derive(Clone, Copy, Debug)]
enum Death {
    AtRandom,
    /// Not before the counters were corrected under load.
    Corrected,
    /// After some thousand events.
    Late,
    At(&'static str),
}

/// Runs a server with a fault until the promise is seen to be broken.
async fn is_found(mutant: &'static str, death: Death, promise: Promise) {
    let seed = seed();
    let mut run = Run::new(seed, Some(mutant)).await;
    for round in 1..=ROUNDS_MAX {
        match death {
            Death::AtRandom => run.killed_at_random().await,
            Death::Corrected => run.corrected_under_load().await,
            Death::Late => run.killed_late().await,
            Death::At(place) => {
                run.killed_at(place, 2 + round * 3).await;
            }
        }
        let verdict = run.verdict().await;
        if verdict.breaks(promise) {
            say(&format!("{mutant} was found in round {round}"));
            return;
        }
    }
    panic!("seed {seed}: `{mutant}` was not found: {}", run.summary());
}

macro_rules! mutants {
    ($($name:ident: $mutant:literal, $death:expr, $promise:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            is_found(concat!("mutant:", $mutant), $death, Promise::$promise).await;
        }
    )*};
}

mutants! {
    an_answer_before_the_commit_is_found: "acknowledge_before_commit", Death::At("before_append"), NothingLost;
    a_dropped_event_is_found: "drop_one_in_thousand", Death::Late, NothingLost;
    a_fold_without_position_is_found: "fold_without_position", Death::At("fold_after_rollups"), SumsExact;
    a_counted_duplicate_is_found: "count_duplicate", Death::AtRandom, SumsExact;
    one_id_counted_twice_in_a_batch_is_found: "same_id_twice_in_a_batch", Death::AtRandom, SumsExact;
    a_correction_without_a_cut_is_found: "reconcile_without_cut", Death::Corrected, CountersAgree;
    an_answer_from_a_pending_mark_is_found: "answer_from_pending_mark", Death::At("before_append"), NothingLost;
}
