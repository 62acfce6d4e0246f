//! The contract of `Events`.

use std::sync::Arc;

use prost::bytes::Bytes;
use tollgate::gate::call::{EventKey, PayloadHash};
use tollgate::ledger::events::{Amendment, EventSearch, Events, ListPlace, Placed, RefusalRow, Row, RowKind};
use tollgate::ledger::stamp::{Position, Stamp};
use tollgate::store::Order;
use tollgate::time::Timestamp;

use crate::backends::backends;

const fn stamp(batch: u64, place: u32) -> Stamp {
    Stamp { position: Position { slot: 0, epoch: 1, batch }, place }
}

/// A call of tenant `a`, made `occurred_at` microseconds after the epoch.
fn row(key: u128, batch: u64, occurred_at: i64) -> Row {
    Row {
        key: EventKey(key),
        payload: PayloadHash(key + 1_000),
        stamp: stamp(batch, u32::try_from(key).expect("a small key")),
        tenant: Arc::from("a"),
        kind: RowKind::Usage,
        at: Timestamp::from_micros(5),
        occurred_at: Timestamp::from_micros(occurred_at),
        body: Bytes::from(format!("row {key}")),
    }
}

fn amendment(key: u128, target: u128, batch: u64) -> Amendment {
    Amendment {
        key: EventKey(key),
        payload: PayloadHash(key + 1_000),
        stamp: stamp(batch, u32::try_from(key).expect("a small key")),
        target: EventKey(target),
        body: Bytes::from(format!("amendment {key}")),
    }
}

fn refusal(batch: u64, place: u32, occurred_at: i64) -> RefusalRow {
    RefusalRow {
        stamp: stamp(batch, place),
        tenant: Arc::from("a"),
        occurred_at: Timestamp::from_micros(occurred_at),
        body: Bytes::from(format!("refusal {batch} {place}")),
    }
}

/// All calls of tenant `a`, a few at once.
fn search(after: Option<ListPlace>, limit: usize, order: Order) -> EventSearch<'static> {
    EventSearch { tenant: "a", start: Timestamp::EPOCH, end: Timestamp::MAX, after, limit, order }
}

async fn insert(events: &dyn Events, rows: &[Row]) -> Vec<(Placed, Vec<EventKey>)> {
    let inserted = events.insert(rows.to_vec()).await.expect("an answer");
    inserted.into_iter().map(|row| (row.placed, keys(&row.early))).collect()
}

/// What became of each, and the row and earlier amendments that it found.
async fn amend(
    events: &dyn Events,
    amendments: &[Amendment],
) -> Vec<(Placed, Option<(EventKey, Vec<EventKey>)>)> {
    let amended = events.amend(amendments.to_vec()).await.expect("an answer");
    let found = |target: tollgate::ledger::events::AmendedRow| (target.row.key, keys(&target.amendments));
    amended.into_iter().map(|each| (each.placed, each.target.map(found))).collect()
}

fn keys(amendments: &[Amendment]) -> Vec<EventKey> {
    amendments.iter().map(|amendment| amendment.key).collect()
}

const fn placed(placed: Placed) -> (Placed, Vec<EventKey>) {
    (placed, Vec::new())
}

#[tokio::test]
async fn row_exists_once_and_its_stamp_tells_a_replay_from_a_duplicate() {
    for backend in backends() {
        let name = backend.name();
        let mut events = backend.events().await;
        let first = row(1, 1, 10);
        let duplicate = Row { stamp: stamp(2, 0), ..first.clone() };
        let conflict = Row { payload: PayloadHash(7), ..duplicate.clone() };
        let cases = [
            (&first, Placed::Fresh),
            (&first, Placed::Replay),
            (&duplicate, Placed::Duplicate),
            (&conflict, Placed::Conflict),
        ];
        for (row, expected) in &cases {
            assert_eq!(insert(&*events, &[(*row).clone()]).await, [placed(*expected)], "{name}");
        }
        drop(events);
        events = backend.events().await;
        for (row, expected) in &cases[1..] {
            assert_eq!(
                insert(&*events, &[(*row).clone()]).await,
                [placed(*expected)],
                "{name}: opened again"
            );
        }
        let kept = events.get(&[EventKey(1)]).await.unwrap();
        assert_eq!(kept[0].as_ref().unwrap().row, first, "{name}: the first stays as it was");
    }
}

#[tokio::test]
async fn every_part_of_a_stamp_tells_records_apart() {
    for backend in backends() {
        let name = backend.name();
        let events = backend.events().await;
        insert(&*events, &[row(1, 1, 10)]).await;
        let position = Position { slot: 0, epoch: 1, batch: 1 };
        for other in [
            Stamp { position: Position { slot: 1, ..position }, place: 1 },
            Stamp { position: Position { epoch: 2, ..position }, place: 1 },
            Stamp { position: Position { batch: 2, ..position }, place: 1 },
            Stamp { position, place: 2 },
        ] {
            let again = Row { stamp: other, ..row(1, 1, 10) };
            assert_eq!(insert(&*events, &[again]).await, [placed(Placed::Duplicate)], "{name}: {other:?}");
        }
    }
}

#[tokio::test]
async fn within_one_call_the_first_of_a_key_counts() {
    for backend in backends() {
        let name = backend.name();
        let events = backend.events().await;
        let conflict = Row { payload: PayloadHash(7), stamp: stamp(1, 9), ..row(1, 1, 10) };
        let answer = insert(&*events, &[row(1, 1, 10), conflict, row(2, 1, 10), row(1, 1, 10)]).await;
        let expected = [Placed::Fresh, Placed::Conflict, Placed::Fresh, Placed::Replay];
        assert_eq!(answer, expected.map(placed), "{name}");
    }
}

#[tokio::test]
async fn rows_come_back_in_the_order_in_which_they_are_asked_for() {
    for backend in backends() {
        let name = backend.name();
        let events = backend.events().await;
        let posting = Row { kind: RowKind::Posting, tenant: Arc::from("b"), ..row(2, 1, 20) };
        insert(&*events, &[row(1, 1, 10), posting.clone()]).await;
        let found = events.get(&[EventKey(2), EventKey(3), EventKey(1)]).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|found| found.map(|found| found.row)).collect();
        assert_eq!(found, [Some(posting), None, Some(row(1, 1, 10))], "{name}");
    }
}

#[tokio::test]
async fn amendment_finds_its_row_and_what_came_before_it_in_replays_too() {
    for backend in backends() {
        let name = backend.name();
        let mut events = backend.events().await;
        insert(&*events, &[row(1, 1, 10)]).await;
        let (first, second) = (amendment(11, 1, 2), amendment(12, 1, 3));
        let expected = |placed| {
            let found = |earlier: Vec<u128>| Some((EventKey(1), earlier.into_iter().map(EventKey).collect()));
            [(placed, found(vec![])), (placed, found(vec![11]))]
        };
        let both = [first.clone(), second];
        assert_eq!(amend(&*events, &both).await, expected(Placed::Fresh), "{name}");
        drop(events);
        events = backend.events().await;
        assert_eq!(amend(&*events, &both).await, expected(Placed::Replay), "{name}");
        let duplicate = Amendment { stamp: stamp(9, 0), ..first.clone() };
        let conflict = Amendment { payload: PayloadHash(7), ..duplicate.clone() };
        for (again, expected) in [(duplicate, Placed::Duplicate), (conflict, Placed::Conflict)] {
            assert_eq!(amend(&*events, &[again]).await[0].0, expected, "{name}");
        }
        assert_eq!(events.amendment(EventKey(11)).await.unwrap(), Some(first), "{name}");
        assert_eq!(events.amendment(EventKey(1)).await.unwrap(), None, "{name}");
        let kept = events.get(&[EventKey(1)]).await.unwrap().remove(0).unwrap();
        assert_eq!(keys(&kept.amendments), [EventKey(11), EventKey(12)], "{name}");
        assert_eq!(
            insert(&*events, &[row(1, 1, 10)]).await,
            [placed(Placed::Replay)],
            "{name}: none was early"
        );
    }
}

#[tokio::test]
async fn early_amendments_are_counted_with_their_row_now_and_in_every_replay() {
    for backend in backends() {
        let name = backend.name();
        let mut events = backend.events().await;
        let early = [amendment(12, 1, 1), amendment(11, 1, 1), amendment(13, 2, 1)];
        let alone = vec![(Placed::Fresh, None); 3];
        assert_eq!(amend(&*events, &early).await, alone, "{name}: no row is there");
        let with_row = |placed| [(placed, vec![EventKey(12), EventKey(11)])];
        assert_eq!(insert(&*events, &[row(1, 2, 10)]).await, with_row(Placed::Fresh), "{name}");
        let late = amendment(14, 1, 3);
        let all_before = Some((EventKey(1), vec![EventKey(12), EventKey(11)]));
        assert_eq!(amend(&*events, std::slice::from_ref(&late)).await, [(Placed::Fresh, all_before.clone())]);
        drop(events);
        events = backend.events().await;
        assert_eq!(
            amend(&*events, &early).await,
            vec![(Placed::Replay, None); 3],
            "{name}: never by themselves"
        );
        assert_eq!(
            insert(&*events, &[row(1, 2, 10)]).await,
            with_row(Placed::Replay),
            "{name}: the late one alone"
        );
        assert_eq!(amend(&*events, &[late]).await, [(Placed::Replay, all_before)], "{name}");
        let duplicate = Row { stamp: stamp(9, 9), ..row(1, 2, 10) };
        assert_eq!(
            insert(&*events, &[duplicate]).await,
            [placed(Placed::Duplicate)],
            "{name}: counts nothing"
        );
    }
}

#[tokio::test]
async fn lists_go_by_occurrence_then_arrival_and_page_without_gap_or_repeat() {
    for backend in backends() {
        let name = backend.name();
        let events = backend.events().await;
        let occurred = [30, 10, 20, 20, 10, 40];
        let rows: Vec<_> = (1..).zip(occurred).map(|(key, at)| row(key, 1, at)).collect();
        insert(&*events, &rows).await;
        insert(&*events, &[Row { tenant: Arc::from("b"), ..row(50, 1, 15) }]).await;
        insert(&*events, &[Row { kind: RowKind::Posting, ..row(51, 1, 15) }]).await;
        amend(&*events, &[amendment(60, 3, 2)]).await;
        let ascending = [2, 5, 3, 4, 1, 6];
        let mut descending = ascending;
        descending.reverse();
        for (order, expected) in [(Order::Ascending, ascending), (Order::Descending, descending)] {
            for limit in 1..8 {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let page = events.list(search(after, limit, order)).await.unwrap();
                    assert!(page.len() <= limit, "{name}");
                    let Some(last) = page.last() else { break };
                    after = Some(last.place);
                    for listed in page {
                        assert_eq!(listed.place.occurred_at, listed.row.row.occurred_at, "{name}");
                        let amended = listed.row.row.key == EventKey(3);
                        assert_eq!(listed.row.amendments.len(), usize::from(amended), "{name}");
                        seen.push(listed.row.row.key.0);
                    }
                }
                assert_eq!(seen, expected, "{name}: {limit} at once, {order:?}");
            }
        }
    }
}

#[tokio::test]
async fn lists_begin_with_their_start_and_end_before_their_end() {
    for backend in backends() {
        let name = backend.name();
        let events = backend.events().await;
        insert(&*events, &[row(1, 1, -10), row(2, 1, 10), row(3, 1, 20), row(4, 1, 30)]).await;
        events.refuse(vec![refusal(1, 1, -10), refusal(1, 2, 10), refusal(1, 3, 20)]).await.unwrap();
        let cases = [
            (10, 30, 2),
            (10, 31, 3),
            (11, 20, 0),
            (20, 20, 0),
            (30, 10, 0),
            (-10, 10, 1),
            (i64::MIN, i64::MAX, 4),
        ];
        for (start, end, count) in cases {
            for order in [Order::Ascending, Order::Descending] {
                let (start, end) = (Timestamp::from_micros(start), Timestamp::from_micros(end));
                let search = EventSearch { start, end, ..search(None, 10, order) };
                let listed = events.list(search).await.unwrap();
                assert_eq!(listed.len(), count, "{name}: {start} to {end}");
                let refused = events.list_refusals(search).await.unwrap();
                let refusals = [-10, 10, 20].map(Timestamp::from_micros);
                let inside = refusals.iter().filter(|at| start <= **at && **at < end).count();
                assert_eq!(refused.len(), inside, "{name}: refusals, {start} to {end}");
            }
        }
        let nobody = EventSearch { tenant: "nobody", ..search(None, 10, Order::Ascending) };
        assert!(events.list(nobody).await.unwrap().is_empty(), "{name}");
        assert!(events.list_refusals(nobody).await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn refusals_are_kept_once_by_their_stamps_and_listed_apart() {
    for backend in backends() {
        let name = backend.name();
        let mut events = backend.events().await;
        let refusals = vec![refusal(1, 1, 20), refusal(1, 2, 10), refusal(2, 1, 20)];
        events.refuse(refusals.clone()).await.unwrap();
        drop(events);
        events = backend.events().await;
        events.refuse(refusals.clone()).await.unwrap();
        events.refuse(vec![RefusalRow { tenant: Arc::from("b"), ..refusal(3, 1, 20) }]).await.unwrap();
        let expected = [&refusals[1], &refusals[0], &refusals[2]];
        let listed = events.list_refusals(search(None, 10, Order::Ascending)).await.unwrap();
        assert_eq!(listed.iter().map(|listed| &listed.refusal).collect::<Vec<_>>(), expected, "{name}");
        let rest = events.list_refusals(search(Some(listed[0].place), 1, Order::Ascending)).await.unwrap();
        assert_eq!(rest[0].refusal, refusals[0], "{name}");
        let last = events.list_refusals(search(Some(listed[1].place), 9, Order::Descending)).await.unwrap();
        assert_eq!(last.len(), 1, "{name}");
        assert_eq!(last[0].refusal, refusals[1], "{name}");
        assert!(events.list(search(None, 10, Order::Ascending)).await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn nothing_changes_when_the_rows_are_many() {
    for backend in backends() {
        let name = backend.name();
        // More than SQLite keeps out of its indexes, and than MongoDB takes in one command. The server that speaks its protocol
        // here reads a collection wholly for each list.
        let count: u128 = if name == "sqlite" { 300_000 } else { 30_000 };
        let mut events = backend.events().await;
        let make = |key: u128| {
            let second = i64::try_from(key % 1_000).unwrap();
            // Spread like a hash is, so that the newest are among all.
            Row { key: EventKey(key.wrapping_mul(0x9E37_79B9_7F4A_7C15)), ..row(key, 1, second) }
        };
        for first in (0..count).step_by(10_000) {
            let rows: Vec<_> = (first..first + 10_000).map(make).collect();
            assert!(insert(&*events, &rows).await.iter().all(|row| row.0 == Placed::Fresh), "{name}");
        }
        for reopened in [false, true] {
            if reopened {
                drop(events);
                events = backend.events().await;
            }
            let sample: Vec<_> = (0..count).step_by(997).map(make).collect();
            assert!(insert(&*events, &sample).await.iter().all(|row| row.0 == Placed::Replay), "{name}");
            let wanted: Vec<_> = sample.iter().map(|row| row.key).collect();
            let found = events.get(&wanted).await.unwrap();
            assert!(
                found.iter().zip(&sample).all(|(found, row)| found.as_ref().unwrap().row == *row),
                "{name}"
            );
            let moment = Timestamp::from_micros(500);
            let search =
                EventSearch { start: moment, end: moment.plus(1), ..search(None, 1_000, Order::Ascending) };
            let listed = events.list(search).await.unwrap();
            assert_eq!(listed.len() as u128, count / 1_000, "{name}: each once");
            assert!(listed.windows(2).all(|pair| pair[0].place < pair[1].place), "{name}: in order");
        }
        events.sync().await.unwrap();
    }
}

/// The keys of tenant `a` that are listed.
async fn listed(events: &dyn Events) -> Vec<u128> {
    let rows = events.list(search(None, 1_000, Order::Ascending)).await.expect("an answer");
    rows.into_iter().map(|listed| listed.row.row.key.0).collect()
}

#[tokio::test]
async fn what_was_decided_before_a_moment_is_deleted_a_piece_at_a_time_and_nothing_else() {
    for backend in backends() {
        let name = backend.name();
        let mut events = backend.events().await;
        let decided = |key: u128, at: i64| Row { at: Timestamp::from_micros(at), ..row(key, 1, 1_000) };
        // A late one arrives after younger ones, and when a call was made does not matter.
        let rows = [decided(1, 10), decided(2, 30), decided(3, 20), decided(4, 29), decided(5, 31)];
        insert(&*events, &rows).await;
        insert(&*events, &[Row { kind: RowKind::Posting, ..decided(6, 15) }]).await;
        amend(&*events, &[amendment(11, 1, 2), amendment(12, 1, 2), amendment(13, 2, 2)]).await;
        events.refuse(vec![refusal(1, 1, 29), refusal(1, 2, 30)]).await.unwrap();
        let before = Timestamp::from_micros(30);
        let mut deleted = Vec::new();
        loop {
            deleted.push(events.purge(before, 2).await.unwrap());
            if deleted.last() == Some(&0) {
                break;
            }
            drop(events);
            events = backend.events().await;
        }
        assert_eq!(deleted.iter().sum::<usize>(), 5, "{name}: {deleted:?}");
        assert!(deleted.iter().all(|count| *count <= 2), "{name}: {deleted:?}");
        assert_eq!(listed(&*events).await, [2, 5], "{name}");
        let found = events.get(&[1, 2, 6].map(EventKey)).await.unwrap();
        let found: Vec<_> =
            found.into_iter().map(|found| found.map(|found| found.amendments.len())).collect();
        assert_eq!(found, [None, Some(1), None], "{name}: rows with their amendments");
        assert_eq!(events.amendment(EventKey(11)).await.unwrap(), None, "{name}");
        assert!(events.amendment(EventKey(13)).await.unwrap().is_some(), "{name}");
        let refusals = events.list_refusals(search(None, 10, Order::Ascending)).await.unwrap();
        assert_eq!(refusals.len(), 1, "{name}");
        assert_eq!(refusals[0].refusal, refusal(1, 2, 30), "{name}");
    }
}

#[tokio::test]
async fn rows_that_come_after_a_deletion_of_all_are_found_and_are_once() {
    for backend in backends() {
        let name = backend.name();
        let mut events = backend.events().await;
        let count = if name == "sqlite" { 140_000 } else { 5_000 };
        let before: Vec<_> = (1..=count).map(|key| row(key, 1, 10)).collect();
        insert(&*events, &before).await;
        while events.purge(Timestamp::MAX, 50_000).await.unwrap() > 0 {}
        assert!(listed(&*events).await.is_empty(), "{name}");
        let after = [row(1, 7, 10), row(200_000, 7, 20)];
        assert_eq!(insert(&*events, &after).await, [Placed::Fresh; 2].map(placed), "{name}");
        drop(events);
        events = backend.events().await;
        assert_eq!(insert(&*events, &after).await, [Placed::Replay; 2].map(placed), "{name}");
        assert_eq!(listed(&*events).await, [1, 200_000], "{name}");
    }
}
