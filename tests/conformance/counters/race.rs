//! Callers at the same moment.

use std::sync::{Arc, Barrier};

use tokio::runtime::Runtime;
use tollgate::gate::call::Demand;
use tollgate::gate::counters::{Charged, Counters};
use tollgate::gate::decision::Verdict;
use tollgate::gate::policy::{Policy, RateKind};
use tollgate::gate::state::State;
use tollgate::time::{MINUTE, ManualClock};

use super::redis::{replicas, servers};
use super::{ACME, NOON, demand, installed, policy, with_quota, with_rate};

const CALLERS: usize = 50;

/// How many of fifty callers that start together, each on a thread of its own, get what `passes` looks for.
fn race(
    runtime: &Runtime,
    counters: &[Arc<dyn Counters>],
    policy: &Policy,
    ask: impl Fn(usize) -> Demand<'static> + Sync,
    passes: impl Fn(&Charged) -> bool + Sync,
) -> usize {
    let start = Barrier::new(CALLERS);
    let caller = |number: usize| {
        let counters = &counters[number % counters.len()];
        start.wait();
        passes(&runtime.block_on(counters.charge(ACME, policy, &ask(number))).expect("the counters answer"))
    };
    std::thread::scope(|scope| {
        let caller = &caller;
        let callers: Vec<_> = (0..CALLERS).map(|number| scope.spawn(move || caller(number))).collect();
        callers.into_iter().filter_map(|caller| caller.join().ok()).filter(|&passed| passed).count()
    })
}

fn is_allowed(charged: &Charged) -> bool {
    matches!(charged, Charged::Decided(decision) if decision.verdict == Verdict::Allowed)
}

/// A runtime that lives as long as the adapters do, which may have connections in it.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn of_fifty_callers_on_a_limit_of_five_exactly_five_pass() {
    for (policy, price, credits) in [
        (with_rate(RateKind::Sliding, 5, MINUTE), 0, 0),
        (with_rate(RateKind::Bucket { burst: 5 }, 5, MINUTE), 0, 0),
        (with_rate(RateKind::Fixed, 5, MINUTE), 0, 0),
        (with_quota(5), 0, 0),
        (policy(), 2, 11),
    ] {
        let runtime = runtime();
        for (name, counters, _) in runtime.block_on(installed(credits)) {
            let ask = |number: usize| demand(u128::try_from(number).unwrap() + 1, price);
            assert_eq!(race(&runtime, &[counters], &policy, ask, is_allowed), 5, "{name}: {policy:?}");
        }
    }
}

#[test]
fn of_fifty_copies_of_one_call_one_is_charged_and_all_get_its_answer() {
    let runtime = runtime();
    for (name, counters, _) in runtime.block_on(installed(100)) {
        let counters = [counters];
        let first = |charged: &Charged| matches!(charged, Charged::Decided(decision) if decision.number == 2);
        assert_eq!(race(&runtime, &counters, &policy(), |_| demand(7, 2), first), 1, "{name}");
        let again = |charged: &Charged| matches!(charged, Charged::Replayed { decision, .. } if decision.balance_micros == Some(98));
        assert_eq!(race(&runtime, &counters, &policy(), |_| demand(7, 2), again), CALLERS, "{name}");
    }
}

#[test]
fn of_fifty_callers_over_three_replicas_exactly_five_pass() {
    let runtime = runtime();
    let five = with_rate(RateKind::Sliding, 5, MINUTE);
    for (name, url) in servers() {
        let clock = Arc::new(ManualClock::at(NOON));
        let counters = runtime.block_on(replicas(url, &clock, 3));
        runtime.block_on(counters[0].install(ACME, State::default())).unwrap();
        let ask = |number: usize| demand(u128::try_from(number).unwrap() + 1, 0);
        assert_eq!(race(&runtime, &counters, &five, ask, is_allowed), 5, "{name}");
    }
}
