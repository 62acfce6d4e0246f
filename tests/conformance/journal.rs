//! The contract of `Journal`.

use prost::bytes::Bytes;
use tollgate::ledger::journal::{Batch, Journal, JournalError, Slot};
use tollgate::ledger::stamp::Position;
use tollgate::time::Timestamp;

use crate::backends::backends;

const ALL: usize = usize::MAX;
/// The low-water time at first.
const START: Timestamp = Timestamp::from_micros(1_000_000);

const fn at(epoch: u64, batch: u64) -> Position {
    Position { slot: 0, epoch, batch }
}

fn batch(epoch: u64, number: u64, records: &'static str) -> Batch {
    Batch { position: at(epoch, number), records: Bytes::from_static(records.as_bytes()), seal: false }
}

fn seal(epoch: u64, number: u64) -> Batch {
    Batch { position: at(epoch, number), records: Bytes::new(), seal: true }
}

/// Takes the slot over from the owner of an epoch. A journal that one process has alone knows that its last owner is gone, and
/// seals its epoch by itself; of another it is sealed first.
async fn take_over(journal: &dyn Journal, epoch: u64) -> Position {
    if journal.is_shared() {
        journal.seal(at(epoch, 0)).await.expect("a seal");
    }
    journal.take_slot(START).await.expect("a free slot")
}

async fn append(journal: &dyn Journal, batches: &[Batch]) {
    for batch in batches {
        journal.append(batch.clone()).await.expect("a free position");
    }
}

async fn read(journal: &dyn Journal, after: Position, bytes_max: usize) -> Vec<Batch> {
    journal.read(after, bytes_max).await.expect("an answer")
}

#[tokio::test]
async fn first_to_take_the_slot_begins_at_epoch_one_with_nothing_before_it() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        assert_eq!(journal.head(0).await.unwrap(), at(0, 0), "{name}");
        assert_eq!(journal.take_slot(START).await.unwrap(), at(1, 0), "{name}");
        assert_eq!(read(&*journal, at(0, 0), ALL).await, [], "{name}");
        assert_eq!(journal.head(0).await.unwrap(), at(0, 0), "{name}");
    }
}

#[tokio::test]
async fn what_was_appended_is_read_in_order_by_who_opens_it_next() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        let batches = [batch(1, 1, "a"), batch(1, 2, "bc"), batch(1, 3, "")];
        append(&*journal, &batches).await;
        drop(journal);
        let journal = backend.journal().await;
        assert_eq!(read(&*journal, at(0, 0), ALL).await, batches, "{name}");
        assert_eq!(read(&*journal, at(1, 1), ALL).await, batches[1..], "{name}");
        assert_eq!(read(&*journal, at(1, 3), ALL).await, [], "{name}");
        assert_eq!(journal.head(0).await.unwrap(), at(1, 3), "{name}");
        assert_eq!(journal.head(7).await.unwrap(), Position { slot: 7, epoch: 0, batch: 0 }, "{name}");
    }
}

#[tokio::test]
async fn taking_the_slot_over_seals_the_epoch_before_at_its_next_free_number() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        append(&*journal, &[batch(1, 1, "a")]).await;
        drop(journal);
        let journal = backend.journal().await;
        assert_eq!(take_over(&*journal, 1).await, at(2, 0), "{name}");
        assert_eq!(take_over(&*journal, 2).await, at(3, 0), "{name}: an epoch without batches is sealed too");
        append(&*journal, &[batch(3, 1, "b")]).await;
        let all = [batch(1, 1, "a"), seal(1, 2), seal(2, 1), batch(3, 1, "b")];
        assert_eq!(read(&*journal, at(0, 0), ALL).await, all, "{name}");
        for (after, rest) in [(at(1, 1), 1), (at(1, 2), 2), (at(2, 0), 2), (at(2, 1), 3), (at(3, 0), 3)] {
            assert_eq!(read(&*journal, after, ALL).await, all[rest..], "{name}: after {after:?}");
        }
        journal.trim(at(1, 2)).await.unwrap();
        assert_eq!(
            read(&*journal, at(1, 2), ALL).await,
            all[2..],
            "{name}: a seal that was trimmed is still one"
        );
    }
}

#[tokio::test]
async fn old_owner_that_wakes_up_is_told_that_its_position_is_taken() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        append(&*journal, &[batch(1, 1, "a")]).await;
        take_over(&*journal, 1).await;
        let refused = journal.append(batch(1, 2, "late")).await;
        let Err(JournalError::Taken(position)) = refused else { panic!("{name}: {refused:?}") };
        assert_eq!(position, at(1, 2), "{name}");
        append(&*journal, &[batch(2, 1, "b")]).await;
        journal.trim(at(2, 1)).await.unwrap();
        let refused = journal.append(batch(1, 2, "later")).await;
        assert!(matches!(refused, Err(JournalError::Taken(_))), "{name}: trimming keeps the seal");
        let again = journal.append(batch(2, 1, "b")).await;
        assert!(matches!(again, Err(JournalError::Taken(_))), "{name}: what was trimmed is taken still");
    }
}

#[tokio::test]
async fn reading_stops_before_a_gap() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        append(&*journal, &[batch(1, 1, "a"), batch(1, 3, "c")]).await;
        assert_eq!(read(&*journal, at(0, 0), ALL).await, [batch(1, 1, "a")], "{name}");
        assert_eq!(read(&*journal, at(1, 1), ALL).await, [], "{name}");
        append(&*journal, &[batch(1, 2, "b")]).await;
        assert_eq!(read(&*journal, at(1, 1), ALL).await, [batch(1, 2, "b"), batch(1, 3, "c")], "{name}");
    }
}

#[tokio::test]
async fn an_epoch_is_read_only_after_the_seal_of_the_one_before() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        append(&*journal, &[batch(1, 1, "a"), batch(2, 1, "b")]).await;
        assert_eq!(read(&*journal, at(0, 0), ALL).await, [batch(1, 1, "a")], "{name}");
        append(&*journal, &[seal(1, 2)]).await;
        assert_eq!(read(&*journal, at(1, 1), ALL).await, [seal(1, 2), batch(2, 1, "b")], "{name}");
    }
}

#[tokio::test]
async fn as_much_as_was_asked_for_is_read_and_at_least_one_batch() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        append(&*journal, &[batch(1, 1, "aaaa"), batch(1, 2, "bbbb"), batch(1, 3, "cccc")]).await;
        for (bytes_max, count) in [(0, 1), (1, 1), (7, 1), (8, 2), (ALL, 3)] {
            assert_eq!(read(&*journal, at(0, 0), bytes_max).await.len(), count, "{name}: {bytes_max}");
        }
    }
}

#[tokio::test]
async fn what_was_trimmed_is_gone_and_its_numbers_are_never_used_again() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        append(&*journal, &[batch(1, 1, "a"), batch(1, 2, "b"), batch(1, 3, "c")]).await;
        journal.trim(at(1, 2)).await.unwrap();
        assert_eq!(read(&*journal, at(0, 0), ALL).await, [batch(1, 3, "c")], "{name}: what is left");
        journal.trim(at(1, 3)).await.unwrap();
        journal.trim(at(1, 1)).await.unwrap();
        assert_eq!(read(&*journal, at(1, 1), ALL).await, [], "{name}");
        assert_eq!(journal.head(0).await.unwrap(), at(1, 3), "{name}: the head stays");
        drop(journal);
        let journal = backend.journal().await;
        assert_eq!(take_over(&*journal, 1).await, at(2, 0), "{name}");
        assert_eq!(read(&*journal, at(1, 3), ALL).await, [seal(1, 4)], "{name}: the seal is after them");
    }
}

#[tokio::test]
async fn slots_know_nothing_of_each_other() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        journal.take_slot(START).await.unwrap();
        let other = Position { slot: 1, epoch: 1, batch: 1 };
        let foreign = Batch { position: other, records: Bytes::from_static(b"x"), seal: false };
        append(&*journal, &[batch(1, 1, "a"), foreign.clone()]).await;
        journal.trim(at(1, 1)).await.unwrap();
        assert_eq!(read(&*journal, Position { slot: 1, epoch: 0, batch: 0 }, ALL).await, [foreign], "{name}");
        assert_eq!(journal.head(1).await.unwrap(), other, "{name}");
    }
}

#[tokio::test]
async fn a_slot_says_who_lives_and_what_will_never_come_again() {
    for backend in backends() {
        let name = backend.name();
        let journal = backend.journal().await;
        assert_eq!(journal.slots().await.unwrap(), [], "{name}");
        let mine = journal.take_slot(START).await.unwrap();
        let slot = |slots: Vec<Slot>| {
            slots.into_iter().find(|slot| slot.head.slot == mine.slot).expect("it was taken")
        };
        let first = slot(journal.slots().await.unwrap());
        assert_eq!((first.head, first.sealed, first.low_water), (mine, false, START), "{name}");
        append(&*journal, &[batch(1, 1, "a")]).await;
        let later = START.plus(5);
        journal.beat(mine, later).await.unwrap();
        let living = slot(journal.slots().await.unwrap());
        assert_eq!((living.head, living.sealed, living.low_water), (at(1, 1), false, later), "{name}");
        assert_ne!(living.beat, first.beat, "{name}");
        for _ in 0..2 {
            assert_eq!(journal.seal(mine).await.unwrap(), at(1, 2), "{name}: it is sealed once");
        }
        let sealed = slot(journal.slots().await.unwrap());
        assert_eq!((sealed.head, sealed.sealed), (at(1, 2), true), "{name}");
        assert!(matches!(journal.beat(mine, later).await, Err(JournalError::Taken(_))), "{name}: it is told");
        assert_eq!(journal.take_slot(later).await.unwrap(), at(2, 0), "{name}: a sealed slot is free");
        assert!(matches!(journal.beat(mine, later).await, Err(JournalError::Taken(_))), "{name}");
        assert_eq!(
            journal.seal(mine).await.unwrap(),
            at(1, 2),
            "{name}: an old epoch stays sealed where it was"
        );
    }
}
