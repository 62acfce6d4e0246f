//! Members that are counted apart, and those that share a counter because there are too many (rule P).

use std::sync::Arc;

use tollgate::gate::call::{Call, Demand};
use tollgate::gate::decision::{CounterId, DenialReason};
use tollgate::gate::policy::{Policy, RateKind, RateLimit, Scope};
use tollgate::gate::state::{Counter, SlidingLog, State};
use tollgate::gate::table::{MEMBERS_MAX, WINDOW_MAX};
use tollgate::time::{HOUR, MINUTE, SECOND};

use super::{ACME, NOON, adapters, decided, demand, denied, installed, with_rate};

fn people(kind: RateKind, limit: i64) -> Policy {
    let one = with_rate(kind, limit, MINUTE);
    let rates = vec![RateLimit { scope: Scope::Consumer, ..one.rates[0].clone() }];
    Policy { rates, ..one }
}

fn asking<'a>(event: u128, consumers: &'a [String]) -> Demand<'a> {
    let plain = demand(event, 0);
    Demand { call: Call { consumers, ..plain.call }, ..plain }
}

#[tokio::test]
async fn each_member_is_counted_apart_and_once_a_call() {
    for kind in [RateKind::Sliding, RateKind::Fixed, RateKind::Bucket { burst: 2 }] {
        for (name, counters, _) in installed(0).await {
            let two = people(kind, 2);
            let mut event = 0;
            for (members, allowed, remaining) in [
                (&["a", "a"][..], true, 1),
                (&["a", "b"], true, 0),
                (&["c", "a"], false, 0),
                (&["b"], true, 0),
                (&["c"], true, 1),
            ] {
                event += 1;
                let members: Vec<_> = members.iter().map(ToString::to_string).collect();
                let decision = decided(&*counters, &two, &asking(event, &members)).await;
                assert_eq!(denied(&decision).is_none(), allowed, "{name} {kind:?} {event}");
                assert_eq!(decision.limits[0].remaining, Some(remaining), "{name} {kind:?} {event}");
            }
        }
    }
}

#[tokio::test]
async fn members_beyond_the_most_share_one_counter_until_it_holds_nothing() {
    for (name, counters, clock) in adapters().await {
        let policy = people(RateKind::Sliding, 3);
        let limit = policy.rates[0].key;
        let mut state = State::default();
        for member in 0..MEMBERS_MAX {
            let id = CounterId { limit, member: Arc::from(member.to_string()) };
            let log = SlidingLog { entries: [(NOON, 1)].into(), units: 1 };
            state.counters.insert(&id, Counter::Sliding(Box::new(log)));
        }
        counters.install(ACME, state).await.unwrap();
        let ask = |event, members: &[&str]| {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            let (counters, policy) = (counters.clone(), policy.clone());
            async move {
                let decision = decided(&*counters, &policy, &asking(event, &members)).await;
                (denied(&decision), decision.limits[0].remaining)
            }
        };
        assert_eq!(ask(1, &["7"]).await, (None, Some(1)), "{name}: who was there has a counter");
        assert_eq!(ask(2, &["new"]).await, (None, Some(2)), "{name}");
        let both = ask(3, &["newer", "newest"]).await;
        assert_eq!(both, (None, Some(0)), "{name}: two of them count twice in what they share");
        assert_eq!(ask(4, &["new"]).await, (Some(DenialReason::RateLimited), Some(0)), "{name}");
        // All of them are free again, and so is what they shared.
        clock.advance(HOUR + WINDOW_MAX + 20 * SECOND);
        counters.install(ACME, State::default()).await.unwrap();
        for event in 5..8 {
            assert_eq!(ask(event, &["new"]).await.1, Some(7 - i64::try_from(event).unwrap()), "{name}");
        }
        assert_eq!(ask(8, &["newer"]).await, (None, Some(2)), "{name}: counted apart again");
    }
}
