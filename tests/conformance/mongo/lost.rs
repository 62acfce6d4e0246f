//! Requests and answers that are lost or late on the way: what became of them is found out, or may be asked for again.

use prost::bytes::Bytes;
use tollgate::adapters::mongo::documents::MongoDocuments;
use tollgate::adapters::mongo::events::MongoEvents;
use tollgate::adapters::mongo::journal::MongoJournal;
use tollgate::adapters::mongo::rollups::MongoRollups;
use tollgate::ledger::events::{Events, Placed};
use tollgate::ledger::journal::{Batch, Journal, JournalError};
use tollgate::ledger::rollups::{RollupKey, Rollups, StoredRollup};
use tollgate::ledger::stamp::Position;
use tollgate::store::{Document, Documents, Replaced};
use tollgate::time::Timestamp;

use super::proxy::{Loss, Proxy};
use super::replicas::{amendment, row};
use super::{config, connect, port, through};

const START: Timestamp = Timestamp::from_micros(1_000_000);
const AFTER_NOTHING: Position = Position { slot: 0, epoch: 0, batch: 0 };

/// An insertion into the journal; `WORD` stands in no other message.
const APPEND: &str = "records";

fn batch(epoch: Position, number: u64, records: &'static str) -> Batch {
    Batch {
        position: Position { batch: number, ..epoch },
        records: Bytes::from_static(records.as_bytes()),
        seal: false,
    }
}

#[tokio::test]
async fn append_whose_answer_is_lost_is_found_to_be_ours() {
    let Some(config) = config() else { return };
    let proxy = Proxy::before(port(&config)).await;
    let journal = MongoJournal::new(&connect(&through(&config, proxy.port)).await);
    let epoch = journal.take_slot(START).await.unwrap();
    for (number, loss, count) in [(1, Loss::Answer, 1), (2, Loss::Answer, 3), (3, Loss::Request, 2)] {
        proxy.lose(loss, APPEND, count);
        journal.append(batch(epoch, number, "a")).await.unwrap();
        assert_eq!(proxy.left(), 0, "{loss:?}");
    }
    // So often that it gives up: then it is not known.
    proxy.lose(Loss::Answer, APPEND, 99);
    let unknown = journal.append(batch(epoch, 4, "b")).await;
    assert!(matches!(unknown, Err(JournalError::Store(_))), "{unknown:?}");
    proxy.lose(Loss::Answer, APPEND, 0);
    journal.append(batch(epoch, 4, "b")).await.unwrap();
    let other = journal.append(batch(epoch, 4, "other")).await;
    assert!(matches!(other, Err(JournalError::Taken(_))), "{other:?}");

    let expected = [batch(epoch, 1, "a"), batch(epoch, 2, "a"), batch(epoch, 3, "a"), batch(epoch, 4, "b")];
    assert_eq!(journal.read(AFTER_NOTHING, usize::MAX).await.unwrap(), expected);
}

#[tokio::test]
async fn append_that_never_arrived_before_a_seal_is_told_so() {
    let Some(config) = config() else { return };
    let proxy = Proxy::before(port(&config)).await;
    let journal = MongoJournal::new(&connect(&through(&config, proxy.port)).await);
    let other = MongoJournal::new(&connect(&config).await);
    let epoch = journal.take_slot(START).await.unwrap();
    proxy.lose(Loss::Request, APPEND, 99);
    assert!(matches!(journal.append(batch(epoch, 1, "a")).await, Err(JournalError::Store(_))));
    let seal = other.seal(epoch).await.unwrap();
    assert_eq!(seal.batch, 1);
    proxy.lose(Loss::Request, APPEND, 0);
    assert!(matches!(journal.append(batch(epoch, 1, "a")).await, Err(JournalError::Taken(_))));
    // What is written past the seal is read by nobody.
    journal.append(batch(epoch, 2, "a")).await.unwrap();
    let read = other.read(AFTER_NOTHING, usize::MAX).await.unwrap();
    assert_eq!(read.len(), 1);
    assert!(read[0].seal);
}

#[tokio::test]
async fn rows_and_amendments_whose_answers_are_lost_are_our_replays() {
    let Some(config) = config() else { return };
    let proxy = Proxy::before(port(&config)).await;
    let events = MongoEvents::open(&connect(&through(&config, proxy.port)).await).await.unwrap();
    let rows = vec![row(1), row(2), row(3)];
    proxy.lose(Loss::Answer, "occurred_at", 1);
    events.insert(rows.clone()).await.expect_err("its answer is lost");
    let again = events.insert(rows).await.unwrap();
    assert!(again.iter().all(|row| row.placed == Placed::Replay), "{again:?}");

    // One is early, the others are not. Which step of it is lost makes no difference.
    let amendments = vec![amendment(11, 1), amendment(19, 9), amendment(12, 1)];
    for (word, count) in [("target", 1), ("amendment_count", 1), ("$push", 1)] {
        proxy.lose(Loss::Answer, word, count);
        events.amend(amendments.clone()).await.expect_err("its answer is lost");
        assert_eq!(proxy.left(), 0, "{word}");
    }
    let amended = events.amend(amendments).await.unwrap();
    assert!(amended.iter().all(|each| each.placed == Placed::Replay), "{amended:?}");
    let before = |place: usize| amended[place].target.as_ref().map(|target| target.amendments.len());
    assert_eq!([before(0), before(1), before(2)], [Some(0), None, Some(1)]);

    proxy.lose(Loss::Answer, "$set", 1);
    events.insert(vec![row(9)]).await.expect_err("its answer is lost");
    let joined = events.insert(vec![row(9)]).await.unwrap();
    assert_eq!((joined[0].placed, joined[0].early.len()), (Placed::Replay, 1));
}

#[tokio::test]
async fn replacement_whose_answer_is_lost_has_changed_its_revision() {
    let Some(config) = config() else { return };
    let proxy = Proxy::before(port(&config)).await;
    let store = connect(&through(&config, proxy.port)).await;
    let (documents, rollups) = (MongoDocuments::new(&store), MongoRollups::new(&store));
    let document = |revision| Document {
        kind: "thing",
        id: "a".to_owned(),
        revision,
        body: vec![1],
        unique: Vec::new(),
        ranges: Vec::new(),
    };
    let rollup = |revision| StoredRollup {
        key: RollupKey { tenant: "a".into(), hour: Timestamp::EPOCH },
        revision,
        positions: Vec::new(),
        totals: vec![1],
        minutes: Vec::new(),
        dimensions: Vec::new(),
    };
    for revision in [0, 1] {
        proxy.lose(Loss::Answer, "body", 1);
        documents.replace_many(vec![document(revision)]).await.expect_err("its answer is lost");
        assert_eq!(documents.replace_many(vec![document(revision)]).await.unwrap(), [Replaced::Changed]);
        assert_eq!(documents.get("thing", "a").await.unwrap().unwrap().revision, revision + 1);
        proxy.lose(Loss::Answer, "minutes", 1);
        rollups.replace(vec![rollup(revision)]).await.expect_err("its answer is lost");
        assert_eq!(rollups.replace(vec![rollup(revision)]).await.unwrap(), [false]);
    }
}

#[tokio::test]
async fn amendment_that_comes_while_its_row_joins_the_others_is_counted_with_it() {
    let Some(config) = config() else { return };
    let proxy = Proxy::before(port(&config)).await;
    let slow = MongoEvents::open(&connect(&through(&config, proxy.port)).await).await.unwrap();
    let quick = MongoEvents::open(&connect(&config).await).await.unwrap();
    quick.amend(vec![amendment(11, 1)]).await.unwrap();
    proxy.lose(Loss::Time, "$set", 1);
    let join = slow.insert(vec![row(1)]);
    let amend = async {
        while proxy.left() > 0 {
            tokio::task::yield_now().await;
        }
        let amended = quick.amend(vec![amendment(12, 1)]).await;
        proxy.let_go();
        amended
    };
    let (joined, amended) = tokio::join!(join, amend);
    assert!(amended.unwrap()[0].target.is_none(), "the row was not there");
    let early: Vec<_> = joined.unwrap()[0].early.iter().map(|early| early.key.0).collect();
    assert_eq!(early, [11, 12]);
}
