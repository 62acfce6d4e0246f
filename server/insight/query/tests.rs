//! Answers, over rollups that are in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::*;
use crate::ledger::event::Event;
use crate::ledger::rollup::Rollup;
use crate::ledger::rollups::{RollupKey, StoredRollup};
use crate::ledger::stamp::Position;
use crate::ledger::sums::{Change, Counted, Effect};
use crate::time::DAY;

/// The rollups of one tenant, by hour.
#[derive(Debug, Default)]
struct Hours(BTreeMap<Timestamp, StoredRollup>);

#[async_trait]
impl Rollups for Hours {
    async fn get(&self, keys: &[RollupKey]) -> Result<Vec<Option<StoredRollup>>, StoreError> {
        Ok(keys.iter().map(|key| self.0.get(&key.hour).cloned()).collect())
    }

    async fn replace(&self, rollups: Vec<StoredRollup>) -> Result<Vec<bool>, StoreError> {
        Ok(vec![false; rollups.len()])
    }

    async fn range(
        &self,
        _tenant: &str,
        start: Timestamp,
        end: Timestamp,
        detail: Detail,
        limit: usize,
    ) -> Result<Vec<StoredRollup>, StoreError> {
        let mut found: Vec<_> =
            self.0.range(start..end).map(|(_, rollup)| rollup.clone()).take(limit).collect();
        for rollup in &mut found {
            if detail != Detail::Minutes {
                rollup.minutes.clear();
            }
            if detail != Detail::Dimensions {
                rollup.dimensions.clear();
            }
        }
        Ok(found)
    }
}

/// Calls: when each was made, its endpoint, and for whom.
fn hours(calls: &[(Timestamp, &str, &[&str])]) -> Hours {
    let mut rollups = BTreeMap::new();
    for (batch, (occurred_at, endpoint, consumers)) in (1..).zip(calls) {
        let hour = occurred_at.floor(HOUR);
        let key = RollupKey { tenant: Arc::from("a"), hour };
        let event = Event {
            endpoint: (*endpoint).to_owned(),
            consumers: consumers.iter().map(|consumer| (*consumer).to_owned()).collect(),
            latency_micros: Some(1_000),
            ..Event::default()
        };
        let counted = Counted { event: &event, credits_micros: 10, api_key_id: "" };
        let change = Change { occurred_at: *occurred_at, effect: Effect::Count(counted) };
        let rollup = rollups.entry(hour).or_insert_with(|| Rollup::new(key));
        rollup.absorb(&[(Position { slot: 0, epoch: 1, batch }, change)]);
    }
    Hours(rollups.iter().map(|(hour, rollup)| (*hour, rollup.encode())).collect())
}

/// 2026-11-02, a Monday, and so many hours and minutes later.
fn at(hours: i64, minutes: i64) -> Timestamp {
    Timestamp::from_micros(1_793_577_600_000_000).plus(hours * HOUR + minutes * MINUTE)
}

fn query(granularity: Granularity) -> UsageQuery {
    UsageQuery { tenant: Arc::from("a"), start: None, end: None, granularity, group_by: None, filter: None }
}

async fn rows(hours: &Hours, query: &UsageQuery) -> (Vec<(Timestamp, String, i64)>, i64) {
    let answer = query.answer(hours).await.unwrap();
    let rows = answer.rows.into_iter().map(|row| (row.start, row.value, row.sums.calls)).collect();
    (rows, answer.totals.calls)
}

fn row(start: Timestamp, value: &str, calls: i64) -> (Timestamp, String, i64) {
    (start, value.to_owned(), calls)
}

#[tokio::test]
async fn steps_have_what_is_in_them_and_empty_ones_are_left_out() {
    let hours = hours(&[
        (at(0, 0), "/a", &[]),
        (at(0, 59), "/a", &[]),
        (at(2, 30), "/a", &[]),
        (at(24, 5), "/a", &[]),
        (at(7 * 24, 0), "/a", &[]),
        (at(30 * 24, 0), "/a", &[]),
    ]);
    let month = at(-24, 0);
    let cases: &[(Granularity, &[(Timestamp, i64)])] = &[
        (Granularity::Total, &[(at(0, 0), 6)]),
        (
            Granularity::Minute,
            &[
                (at(0, 0), 1),
                (at(0, 59), 1),
                (at(2, 30), 1),
                (at(24, 5), 1),
                (at(7 * 24, 0), 1),
                (at(30 * 24, 0), 1),
            ],
        ),
        (
            Granularity::Hour,
            &[(at(0, 0), 2), (at(2, 0), 1), (at(24, 0), 1), (at(7 * 24, 0), 1), (at(30 * 24, 0), 1)],
        ),
        (Granularity::Day, &[(at(0, 0), 3), (at(24, 0), 1), (at(7 * 24, 0), 1), (at(30 * 24, 0), 1)]),
        (Granularity::Week, &[(at(0, 0), 4), (at(7 * 24, 0), 1), (at(28 * 24, 0), 1)]),
        (Granularity::Month, &[(month, 5), (at(29 * 24, 0), 1)]),
    ];
    for (granularity, expected) in cases {
        let expected = expected.iter().map(|(start, calls)| row(*start, "", *calls)).collect();
        assert_eq!(rows(&hours, &query(*granularity)).await, (expected, 6), "{granularity:?}");
    }
}

#[tokio::test]
async fn range_begins_with_its_start_and_ends_before_its_end() {
    let hours = hours(&[(at(0, 0), "/a", &[]), (at(1, 30), "/a", &[]), (at(1, 31), "/a", &[])]);
    let of = |granularity, start, end| UsageQuery { start, end, ..query(granularity) };
    let cases = [
        (of(Granularity::Total, Some(at(-5, 0)), None), vec![row(at(-5, 0), "", 3)], 3),
        (of(Granularity::Total, Some(at(1, 0)), Some(at(2, 0))), vec![row(at(1, 0), "", 2)], 2),
        (of(Granularity::Hour, None, Some(at(1, 0))), vec![row(at(0, 0), "", 1)], 1),
        (of(Granularity::Minute, Some(at(1, 31)), Some(at(1, 32))), vec![row(at(1, 31), "", 1)], 1),
        (of(Granularity::Minute, Some(at(0, 1)), Some(at(1, 31))), vec![row(at(1, 30), "", 1)], 1),
        (of(Granularity::Total, Some(at(5, 0)), None), vec![], 0),
    ];
    for (query, expected, totals) in cases {
        assert_eq!(rows(&hours, &query).await, (expected, totals), "{query:?}");
    }
}

#[tokio::test]
async fn values_of_a_step_are_in_order_of_calls_then_of_themselves() {
    let hours = hours(&[
        (at(0, 0), "/b", &["user:1", "bot:2"]),
        (at(1, 0), "/c", &["user:1"]),
        (at(1, 0), "/a", &[]),
        (at(1, 0), "/c", &[]),
        (at(30, 0), "/z", &[]),
    ]);
    let by = |dimension| UsageQuery { group_by: Some(dimension), ..query(Granularity::Day) };
    let endpoints =
        vec![row(at(0, 0), "/c", 2), row(at(0, 0), "/a", 1), row(at(0, 0), "/b", 1), row(at(24, 0), "/z", 1)];
    assert_eq!(rows(&hours, &by(Dimension::Endpoint)).await, (endpoints, 5));
    let consumers = vec![
        row(at(0, 0), "", 2),
        row(at(0, 0), "user:1", 2),
        row(at(0, 0), "bot:2", 1),
        row(at(24, 0), "", 1),
    ];
    assert_eq!(rows(&hours, &by(Dimension::Consumer)).await, (consumers, 5), "totals count each event once");
    let nobody = vec![row(at(0, 0), "", 4), row(at(24, 0), "", 1)];
    assert_eq!(rows(&hours, &by(Dimension::Custom(String::from("x")))).await, (nobody, 5));
}

#[tokio::test]
async fn filter_keeps_one_value_in_rows_and_totals() {
    let hours = hours(&[(at(0, 0), "/a", &[]), (at(1, 0), "/b", &[]), (at(2, 0), "/a", &[])]);
    let filter = |value: &str| Some((Dimension::Endpoint, value.to_owned()));
    let plain = UsageQuery { filter: filter("/a"), ..query(Granularity::Hour) };
    assert_eq!(rows(&hours, &plain).await, (vec![row(at(0, 0), "", 1), row(at(2, 0), "", 1)], 2));
    let grouped = UsageQuery { group_by: Some(Dimension::Endpoint), ..plain.clone() };
    assert_eq!(rows(&hours, &grouped).await, (vec![row(at(0, 0), "/a", 1), row(at(2, 0), "/a", 1)], 2));
    let nothing = UsageQuery { filter: filter("/c"), ..plain };
    assert_eq!(rows(&hours, &nothing).await, (vec![], 0));
}

#[tokio::test]
async fn sums_of_a_step_are_those_of_its_hours() {
    let hours = hours(&[(at(0, 0), "/a", &[]), (at(3, 0), "/a", &[]), (at(5, 0), "/a", &[])]);
    let answer = query(Granularity::Day).answer(&hours).await.unwrap();
    let [day] = answer.rows.as_slice() else { panic!("{:?}", answer.rows) };
    assert_eq!(day.sums, answer.totals);
    let latency = day.sums.latency.as_ref().unwrap();
    assert_eq!((latency.count, latency.sum_micros, latency.percentile(99)), (3, 3_000, Some(1_000)));
    assert_eq!((day.sums.calls, day.sums.credits_micros), (3, 30));
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_by_field() {
    let endpoint = || Some(Dimension::Endpoint);
    let filter = |dimension| Some((dimension, String::from("x")));
    let hour = query(Granularity::Hour);
    let minute = query(Granularity::Minute);
    let cases = [
        (UsageQuery { start: Some(at(0, 1)), ..hour.clone() }, "start"),
        (UsageQuery { end: Some(at(0, 59)), ..hour.clone() }, "end"),
        (UsageQuery { end: Some(at(0, 1).plus(1)), ..minute.clone() }, "end"),
        (UsageQuery { start: Some(at(2, 0)), end: Some(at(2, 0)), ..hour.clone() }, "end"),
        (UsageQuery { start: Some(at(2, 0)), end: Some(at(1, 0)), ..hour.clone() }, "end"),
        (UsageQuery { group_by: endpoint(), ..minute.clone() }, "group_by"),
        (UsageQuery { filter: filter(Dimension::Endpoint), ..minute }, "filter"),
        (UsageQuery { group_by: endpoint(), filter: filter(Dimension::Model), ..hour }, "filter"),
    ];
    for (query, field) in cases {
        let error = query.answer(&Hours::default()).await.unwrap_err();
        assert_eq!(error.violations().iter().map(|wrong| wrong.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}

#[tokio::test]
async fn answer_that_would_be_too_long_is_refused_and_a_full_one_is_not() {
    let calls: Vec<_> = (0..10_001).map(|minute| (at(0, minute), "/a", &[] as &[&str])).collect();
    let (all, most) = (hours(&calls), hours(&calls[..ROWS_MAX]));
    assert_eq!(query(Granularity::Minute).answer(&most).await.unwrap().rows.len(), ROWS_MAX);
    let error = query(Granularity::Minute).answer(&all).await.unwrap_err();
    assert_eq!(error.reason(), Reason::QueryTooLarge);
    assert_eq!(query(Granularity::Day).answer(&all).await.unwrap().totals.calls, 10_001);
}

#[tokio::test]
async fn many_hours_of_details_are_all_there() {
    let calls: Vec<_> = (0..700).map(|hour| (at(0, 0).plus(hour * DAY), "/a", &[] as &[&str])).collect();
    let by = UsageQuery { group_by: Some(Dimension::Endpoint), ..query(Granularity::Total) };
    assert_eq!(rows(&hours(&calls), &by).await, (vec![row(at(0, 0), "/a", 700)], 700));
}
