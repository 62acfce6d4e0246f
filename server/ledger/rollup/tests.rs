//! A rollup is the sum of its events, however they come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::ledger::event::{Event, Outcome, Tokens};
use crate::ledger::rollups::StoredRollup;
use crate::ledger::sums::{Counted, Effect};
use crate::ledger::wire::Wire;
use crate::time::Timestamp;

/// One call, and what became of it.
#[derive(Clone, Debug)]
struct Call {
    event: Event,
    minute: i64,
    credits_micros: i64,
    api_key_id: String,
    amendment: Option<(Outcome, i64)>,
    is_refused: bool,
}

impl Call {
    fn after(&self) -> (Event, i64) {
        let mut event = self.event.clone();
        let Some((outcome, credits)) = &self.amendment else { return (event, self.credits_micros) };
        event.complete(outcome);
        (event, *credits)
    }

    fn values(&self, dimension: &Dimension) -> BTreeSet<String> {
        let event = self.after().0;
        let value = match dimension {
            Dimension::Endpoint => event.endpoint,
            Dimension::Model => event.model,
            Dimension::ApiKey => self.api_key_id.clone(),
            Dimension::StatusCode => event.status_code.to_string(),
            Dimension::Custom(name) => event.dimensions.get(name).cloned().unwrap_or_default(),
            Dimension::Consumer if !event.consumers.is_empty() => {
                return event.consumers.into_iter().collect();
            }
            _ => String::new(),
        };
        BTreeSet::from([value])
    }
}

fn key() -> RollupKey {
    RollupKey { tenant: Arc::from("a"), hour: Timestamp::EPOCH }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let amount = 0_i64..1_000;
    let tokens = (amount.clone(), amount.clone()).prop_map(|(input, output)| Tokens {
        input,
        output,
        cached_input: input / 2,
        cache_write_input: input / 3,
    });
    let latency = prop::option::of(0_i64..2_000_000);
    let quantities = prop::collection::btree_map("[xy]", amount.clone(), 0..2);
    let facts = (latency, prop::option::of(tokens), quantities);
    let names = ("[ab]", "[m]?", "[k]?", prop::collection::vec("[uvw]", 0..4));
    let dimensions = prop::collection::btree_map("[de]", "[st]?", 0..3);
    let status = prop::sample::select(vec![0_u32, 0, 200, 404, 503]);
    let event = (names, dimensions, status, 1_i64..5, facts.clone());
    let amendment = prop::option::of((prop::sample::select(vec![0_u32, 201, 500]), amount.clone(), facts));
    let call = (event, amendment, 0_i64..60, amount, prop::bool::weighted(0.2)).prop_map(
        |((names, dimensions, status_code, weight, facts), amendment, minute, credits_micros, is_refused)| {
            let (endpoint, model, api_key_id, consumers) = names;
            let (latency_micros, tokens, quantities) = facts;
            let event = Event {
                endpoint,
                model,
                consumers,
                dimensions,
                status_code,
                weight,
                latency_micros,
                tokens,
                quantities,
                ..Event::default()
            };
            let amendment = amendment.filter(|_| !is_refused).map(|(status_code, credits, facts)| {
                let (latency_micros, tokens, quantities) = facts;
                (Outcome { status_code, latency_micros, tokens, quantities }, credits)
            });
            Call { event, minute, credits_micros, api_key_id, amendment, is_refused }
        },
    );
    prop::collection::vec(call, 0..40)
}

/// Everything that can be asked of sums. Extremes only where nothing was taken away again.
fn facts(sums: &Sums, has_extremes: bool) -> (Vec<i64>, BTreeMap<String, i64>, Vec<Option<i64>>) {
    let numbers = vec![
        sums.calls,
        sums.refused,
        sums.errors,
        sums.units,
        sums.credits_micros,
        sums.tokens_input,
        sums.tokens_output,
        sums.tokens_cached_input,
        sums.tokens_cache_write_input,
        sums.latency.as_ref().map_or(0, |latency| latency.count),
        sums.latency.as_ref().map_or(0, |latency| latency.sum_micros),
    ];
    let quantities = sums.quantities.iter().filter(|(_, amount)| **amount != 0);
    let latency = sums.latency.as_ref().filter(|_| has_extremes);
    let latency = latency.map(|sketch| vec![sketch.min(), sketch.max(), sketch.percentile(90)]);
    let quantities = quantities.map(|(name, amount)| (name.clone(), *amount)).collect();
    (numbers, quantities, latency.unwrap_or_default().into_iter().filter(Option::is_some).collect())
}

fn plain<'a>(calls: impl Iterator<Item = &'a Call>) -> Sums {
    let mut sums = Sums::default();
    for call in calls {
        let (event, credits_micros) = call.after();
        match call.is_refused {
            true => sums.refused += 1,
            false => sums.count(&Counted { event: &event, credits_micros, api_key_id: "" }),
        }
    }
    sums
}

fn again(rollup: &Rollup) -> Rollup {
    Rollup::decode(rollup.encode()).unwrap()
}

proptest! {
    #[test]
    fn any_grouping_of_batches_with_replays_is_the_plain_sum_of_the_events(
        calls in calls(),
        batch_of in prop::collection::vec(0_u64..6, 200),
        steps in prop::collection::vec((0_usize..4, 1_usize..9), 60),
    ) {
        let afters: Vec<_> = calls.iter().map(Call::after).collect();
        let mut changes = Vec::new();
        for (call, (after, credits)) in calls.iter().zip(&afters) {
            let counted =
                |event, credits_micros| Counted { event, credits_micros, api_key_id: &call.api_key_id };
            let before = counted(&call.event, call.credits_micros);
            let occurred_at = Timestamp::from_micros(call.minute * MINUTE);
            let effect = match call.is_refused {
                true => Effect::Refuse { event: &call.event, api_key_id: &call.api_key_id },
                false => Effect::Count(before),
            };
            changes.push(Change { occurred_at, effect });
            if call.amendment.is_some() {
                changes.push(Change { occurred_at, effect: Effect::Amend { before, after: counted(after, *credits) } });
            }
        }
        // Two slots, whose batches come in turns: with the second an amendment may come before its event.
        let mut batches: Vec<Vec<(Position, Change<'_>)>> = Vec::new();
        let mut numbers = [0_u64; 2];
        let mut rest = changes.as_slice();
        let mut turns = batch_of.iter().cycle();
        let mut postponed = Vec::new();
        while !rest.is_empty() || !postponed.is_empty() {
            let turn = *turns.next().unwrap();
            let slot = usize::from(turn > 3);
            let (taken, left) = rest.split_at(rest.len().min(usize::try_from(turn).unwrap() + 1));
            rest = left;
            if slot == 1 && !left.is_empty() {
                postponed.extend(taken.iter().copied());
                continue;
            }
            numbers[slot] += 1;
            let position = Position { slot: u32::try_from(slot).unwrap(), epoch: 1, batch: numbers[slot] };
            let late = if left.is_empty() { std::mem::take(&mut postponed) } else { Vec::new() };
            batches.push(taken.iter().copied().chain(late).map(|change| (position, change)).collect());
        }
        let mut rollup = Rollup::new(key());
        let (mut next, mut plan) = (0, steps.iter().cycle());
        while next < batches.len() {
            let (back, forward) = plan.next().unwrap();
            let (from, to) = (next.saturating_sub(*back), (next + forward).min(batches.len()));
            let window: Vec<_> = batches[from..to].concat();
            rollup.absorb(&window);
            rollup = again(&rollup);
            next = to;
        }
        prop_assert!(!rollup.absorb(&batches.concat()), "all is absorbed");
        let mut wire = Wire::default();
        rollup.hour.write(&mut wire);
        prop_assert_eq!(wire.into_bytes(), rollup.hour.encode_to_vec(), "as prost writes it");

        let stored = rollup.encode();
        let hour = decode_totals(&stored).unwrap();
        prop_assert_eq!(facts(&hour, true), facts(&plain(calls.iter()), true));
        for (minute, sums) in decode_minutes(&stored).unwrap() {
            let expected = plain(calls.iter().filter(|call| call.minute == i64::from(minute)));
            prop_assert_eq!(facts(&sums, true), facts(&expected, true));
        }
        let custom = ["d", "e", "never"].map(|name| Dimension::Custom(String::from(name)));
        let fields =
            [Dimension::Endpoint, Dimension::Model, Dimension::ApiKey, Dimension::StatusCode, Dimension::Consumer];
        for dimension in fields.into_iter().chain(custom).chain([Dimension::Region]) {
            let breakdown = decode_breakdown(&stored, &dimension).unwrap();
            let values: BTreeSet<_> = calls.iter().flat_map(|call| call.values(&dimension)).collect();
            for value in values.iter().chain(breakdown.values.keys()) {
                let expected = plain(calls.iter().filter(|call| call.values(&dimension).contains(value)));
                let found = breakdown.values.get(value).cloned().unwrap_or_default();
                let has_extremes = dimension != Dimension::StatusCode || value != "0";
                prop_assert_eq!(
                    facts(&found, has_extremes), facts(&expected, has_extremes), "{:?} {}", dimension, value
                );
            }
        }
    }
}

/// A rollup that has absorbed one batch with these events.
fn of(events: &[Event]) -> Rollup {
    let mut rollup = Rollup::new(key());
    let position = Position { slot: 0, epoch: 1, batch: 1 };
    let count = |event| Effect::Count(Counted { event, credits_micros: 0, api_key_id: "" });
    let changes =
        events.iter().map(|event| (position, Change { occurred_at: key().hour, effect: count(event) }));
    rollup.absorb(&changes.collect::<Vec<_>>());
    rollup
}

fn calls_by_value(stored: &StoredRollup, dimension: &Dimension) -> BTreeMap<String, i64> {
    let breakdown = decode_breakdown(stored, dimension).unwrap();
    breakdown.values.into_iter().map(|(value, sums)| (value, sums.calls)).collect()
}

#[test]
fn values_beyond_the_thousandth_are_under_other_and_a_value_once_in_stays() {
    let event = |number: usize| Event { endpoint: number.to_string(), ..Event::default() };
    let mut events: Vec<_> = (0..VALUES_MAX + 5).map(event).collect();
    events.extend([event(0), event(VALUES_MAX + 1), event(VALUES_MAX - 1)]);
    let values = calls_by_value(&of(&events).encode(), &Dimension::Endpoint);
    assert_eq!(values.len(), VALUES_MAX + 1);
    assert_eq!((values["0"], values[&(VALUES_MAX - 1).to_string()], values[OTHER]), (2, 2, 6));
    assert_eq!(values.values().sum::<i64>(), 1_008);
}

#[test]
fn event_counts_once_under_other_however_many_of_its_consumers_are_there() {
    let one = |number: usize| Event { consumers: vec![number.to_string()], ..Event::default() };
    let mut events: Vec<_> = (0..VALUES_MAX).map(one).collect();
    let several = [5, 2_000, 5, 3_000].map(|number| number.to_string());
    events.push(Event { consumers: several.to_vec(), ..Event::default() });
    let values = calls_by_value(&of(&events).encode(), &Dimension::Consumer);
    assert_eq!((values["5"], values[OTHER]), (2, 1));
}

#[test]
fn names_for_which_there_is_no_room_are_under_other_and_names_that_nobody_used_are_not() {
    let named = |number: usize| Event {
        dimensions: BTreeMap::from([(format!("n{number}"), String::from("v"))]),
        ..Event::default()
    };
    let custom = |number: usize| Dimension::Custom(format!("n{number}"));
    let full: Vec<_> = (0..NAMES_MAX).map(named).collect();
    let calls = i64::try_from(NAMES_MAX).unwrap();
    let stored = of(&full).encode();
    assert_eq!(calls_by_value(&stored, &custom(3))["v"], 1);
    assert_eq!(calls_by_value(&stored, &custom(3))[NONE], calls - 1, "those before and after it had none");
    assert_eq!(calls_by_value(&stored, &custom(99))[NONE], calls);
    let beyond: Vec<_> = (0..=NAMES_MAX).map(named).collect();
    let stored = again(&of(&beyond)).encode();
    assert_eq!(calls_by_value(&stored, &custom(NAMES_MAX))[OTHER], calls + 1);
    assert_eq!(calls_by_value(&stored, &custom(3))[NONE], calls);
}

#[test]
fn stored_bytes_that_make_no_sense_are_told_not_believed() {
    let whole = of(&[Event { latency_micros: Some(5), ..Event::default() }]).encode();
    let broken = vec![0xff; 3];
    for stored in [
        StoredRollup { totals: broken.clone(), ..whole.clone() },
        StoredRollup { minutes: broken.clone(), ..whole.clone() },
        StoredRollup { dimensions: broken, ..whole.clone() },
        // A count without its bin.
        StoredRollup { totals: vec![0x5a, 0x03, 0x32, 0x01, 0x05], ..whole },
    ] {
        let error = Rollup::decode(stored).unwrap_err();
        assert!(error.to_string().contains("a rollup of tenant `a`"), "{error}");
    }
}
