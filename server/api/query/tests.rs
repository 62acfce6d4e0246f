//! Questions as the contract asks them.

use prost_types::Timestamp as Moment;

use super::event::{counted, refused};
use super::list::{Selection, page_size, place, position, selection};
use super::*;
use crate::fault::Invalid;
use crate::insight::step::Granularity;
use crate::ledger::event::{Event, Tokens};
use crate::ledger::events::ListPlace;
use crate::ledger::record::{Body, Charge, GrantBurn, Hold, Record, Refusal, Usage};
use crate::ledger::rollup::Dimension;
use crate::ledger::standing::Standing;
use crate::ledger::sums::{Counted, Sums};
use crate::time::Timestamp;

fn field<T: std::fmt::Debug>(wrong: Result<T, Invalid>) -> String {
    wrong.unwrap_err().0.remove(0).field
}

fn named(dimension: i32, custom_name: &str) -> Option<v1::DimensionRef> {
    Some(v1::DimensionRef { dimension, custom_name: custom_name.to_owned() })
}

#[test]
fn numbers_that_the_contract_does_not_know_are_refused() {
    assert_eq!(field(granularity(99)), "granularity");
    assert_eq!(field(dimension("group_by", named(99, ""))), "group_by.dimension");
    let filter = |dimension| filter(Some(v1::UsageFilter { dimension, value: String::from("x") }));
    assert_eq!(field(filter(named(-1, ""))), "filter.dimension.dimension");
    assert_eq!(field(filter(None)), "filter.dimension");
    assert_eq!(field(filter(named(0, ""))), "filter.dimension");
    assert_eq!(field(is_fresh(3)), "freshness");
    assert_eq!((is_fresh(0), is_fresh(1), is_fresh(2)), (Ok(false), Ok(false), Ok(true)));
    assert_eq!(granularity(0), Ok(Granularity::Total));
    assert_eq!(granularity(6), Ok(Granularity::Month));
}

#[test]
fn custom_name_goes_with_custom_only() {
    let custom = i32::from(v1::Dimension::Custom);
    let endpoint = i32::from(v1::Dimension::Endpoint);
    assert_eq!(dimension("g", named(custom, "team")), Ok(Some(Dimension::Custom(String::from("team")))));
    assert_eq!(field(dimension("g", named(custom, ""))), "g.custom_name");
    assert_eq!(field(dimension("g", named(endpoint, "team"))), "g.custom_name");
    assert_eq!(field(dimension("g", named(0, "team"))), "g.custom_name");
    assert_eq!(dimension("g", named(0, "")), Ok(None));
    assert_eq!(dimension("g", None), Ok(None));
}

#[test]
fn every_dimension_of_the_contract_has_its_own() {
    let all: std::collections::BTreeSet<_> =
        (1..=11).map(|number| dimension("g", named(number, "")).unwrap().unwrap()).collect();
    assert_eq!(all.len(), 11);
}

#[test]
fn moments_are_from_1970_to_9999() {
    let at = |seconds, nanos| moment("start", Some(Moment { seconds, nanos }));
    assert_eq!(at(3, 5_000), Ok(Some(Timestamp::from_micros(3_000_005))));
    assert_eq!(moment("start", None), Ok(None));
    for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0), (i64::MAX, 0)] {
        assert_eq!(field(at(seconds, nanos)), "start");
    }
}

#[test]
fn sums_are_said_whole() {
    let event = Event {
        status_code: 500,
        weight: 3,
        latency_micros: Some(1_500_000),
        tokens: Some(Tokens { input: 1, output: 2, cached_input: 1, cache_write_input: 0 }),
        quantities: [(String::from("bytes"), 9)].into(),
        ..Event::default()
    };
    let mut sums = Sums { refused: 4, ..Sums::default() };
    assert_eq!(totals(&sums).latency, None);
    sums.count(&Counted { event: &event, credits_micros: 7, api_key_id: "" });
    let totals = totals(&sums);
    let (calls, refused, errors) = (totals.calls, totals.refused, totals.errors);
    assert_eq!((calls, refused, errors, totals.units, totals.credits_micros), (1, 4, 1, 3, 7));
    assert_eq!(
        totals.tokens,
        Some(v1::Tokens { input: 1, output: 2, cached_input: 1, cache_write_input: 0 })
    );
    assert_eq!(totals.quantities["bytes"], 9);
    let latency = totals.latency.unwrap();
    let length = Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 });
    assert_eq!((latency.count, latency.sum, latency.min, latency.max), (1, length, length, length));
    assert_eq!((latency.p50, latency.p99), (length, length), "one latency is every percentile");
}

#[test]
fn pages_have_a_size_and_a_selection_of_the_contract() {
    let sizes = [0, 1, 1_000, 1_001, i32::MAX].map(|size| page_size(size).unwrap());
    assert_eq!(sizes, [100, 1, 1_000, 1_000, 1_000]);
    assert_eq!(field(page_size(-1)), "page_size");
    assert_eq!((selection(0), selection(2)), (Ok(Selection::Usage), Ok(Selection::Refusals)));
    assert_eq!(field(selection(3)), "selection");
}

#[test]
fn place_in_a_list_is_read_as_it_was_written() {
    for (micros, arrival) in [(0, 1), (-5, u128::MAX), (i64::MAX, 0)] {
        let there = ListPlace { occurred_at: Timestamp::from_micros(micros), arrival };
        assert_eq!(place(&position(there)), Some(there));
    }
    for wrong in [&[0; 16][..], &[0; 23], &[0; 25], &[]] {
        assert_eq!(place(wrong), None);
    }
}

fn usage(hold: Option<Hold>) -> Record {
    let event = Event {
        id: String::from("e1"),
        consumers: vec![String::from("user:a:b"), String::from("bot:7")],
        weight: 2,
        latency_micros: Some(1_500),
        ..Event::default()
    };
    let charge = Charge { name: String::from("monthly"), used_before: 1, used_after: 3, ..Charge::default() };
    let burns = vec![GrantBurn { grant: String::from("g"), micros: 5 }];
    let body = Usage {
        event,
        charges: vec![charge],
        burns,
        price_micros: 5,
        plan_version: 3,
        hold,
        ..Usage::default()
    };
    Record { at_micros: 2_000_000, body: Some(Body::Usage(body)), ..Record::default() }
}

#[test]
fn counted_call_is_listed_with_all_that_is_known_of_it() {
    let listed = counted(Standing::of(usage(None)).unwrap()).unwrap();
    assert_eq!(listed.decision(), v1::Decision::Allowed);
    assert_eq!(
        (listed.mode(), listed.credits_charged_micros, listed.plan_version),
        (v1::TrackMode::Decide, 5, 3)
    );
    let counter =
        v1::CounterChange { name: String::from("monthly"), used_before: 1, used_after: 3, limit: None };
    assert_eq!(listed.counters, [counter]);
    assert_eq!(listed.grants, [v1::GrantBurn { grant_id: String::from("g"), credits_micros: 5 }]);
    let event = listed.event.unwrap();
    let consumer = |kind: v1::ConsumerKind, id: &str| v1::Consumer { kind: kind.into(), id: id.to_owned() };
    let consumers = [consumer(v1::ConsumerKind::User, "a:b"), consumer(v1::ConsumerKind::Bot, "7")];
    assert_eq!(event.consumers, consumers);
    assert_eq!((event.weight, event.latency.unwrap().nanos), (Some(2), 1_500_000));
    assert_eq!(event.occurred_at, listed.decided_at, "it was made when it was decided");
}

#[test]
fn living_reservation_is_listed_as_not_charged() {
    let hold = Hold { reservation: String::from("res_1"), expires_at_micros: 0, excess_allowed: false };
    let listed = counted(Standing::of(usage(Some(hold))).unwrap()).unwrap();
    assert_eq!((listed.credits_charged_micros, listed.grants.len()), (0, 0));
    assert_eq!(listed.reservation_id, "res_1");
}

#[test]
fn refused_call_is_listed_with_its_reason() {
    let reason = i32::from(v1::DenialReason::RateLimited);
    let refusal = Refusal { reason, denied_by: String::from("burst"), ..Refusal::default() };
    let record = Record { body: Some(Body::Refusal(refusal)), ..Record::default() };
    let listed = refused(record.clone()).unwrap();
    assert_eq!((listed.decision(), listed.reason()), (v1::Decision::Denied, v1::DenialReason::RateLimited));
    assert_eq!(listed.denied_by, "burst");
    assert_eq!(refused(usage(None)), None);
    assert!(Standing::of(record).is_none());
}
