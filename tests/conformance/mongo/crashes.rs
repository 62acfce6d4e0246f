//! The server killed in the middle of writes, again and again: what was answered is there, and what was not is done once.

use std::time::Duration;

use prost::bytes::Bytes;
use test_servers::FerretDb;
use tollgate::adapters::mongo::events::MongoEvents;
use tollgate::adapters::mongo::journal::MongoJournal;
use tollgate::adapters::mongo::settings::Settings;
use tollgate::gate::call::EventKey;
use tollgate::ledger::events::{Events, Placed};
use tollgate::ledger::journal::{Batch, Journal, JournalError};
use tollgate::ledger::stamp::Position;
use tollgate::time::Timestamp;

use super::connect;
use super::replicas::{amendment, row};

const CYCLES: u64 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Does something until the store answers.
async fn until_answered<T, E>(
    mut work: impl AsyncFnMut() -> Result<T, E>,
    is_passing: impl Fn(&E) -> bool,
) -> T
where
    E: std::fmt::Debug,
{
    loop {
        match work().await {
            Ok(answer) => return answer,
            Err(error) => assert!(is_passing(&error), "{error:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_killed_in_the_middle_loses_and_doubles_nothing() {
    let Some(mut server) = FerretDb::start() else { return };
    if server.is_foreign() {
        return;
    }
    let config = Settings { uri: Some(server.uri().into()), ..Settings::default() };
    let store = connect(&config).await;
    let (journal, events) = (MongoJournal::new(&store), MongoEvents::open(&store).await.unwrap());
    let epoch = journal.take_slot(Timestamp::EPOCH).await.unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_stopped = || stop.load(std::sync::atomic::Ordering::SeqCst);
    let batch = |number: u64| Batch {
        position: Position { batch: number, ..epoch },
        records: Bytes::from(format!("batch {number}")),
        seal: false,
    };

    let append = async {
        let mut number = 0;
        while !is_stopped() {
            number += 1;
            let append = async || journal.append(batch(number)).await;
            until_answered(append, |error| matches!(error, JournalError::Store(_))).await;
        }
        number
    };
    let fold = async {
        let mut key = 0;
        while !is_stopped() {
            key += 1;
            let amend = async || events.amend(vec![amendment(100_000 + key, key)]).await;
            let amended = until_answered(amend, |_| true).await;
            assert!(matches!(amended[0].placed, Placed::Fresh | Placed::Replay));
            let inserted = until_answered(async || events.insert(vec![row(key)]).await, |_| true).await;
            assert!(matches!(inserted[0].placed, Placed::Fresh | Placed::Replay), "{inserted:?}");
            assert_eq!(inserted[0].early.len(), 1, "row {key}");
        }
        key
    };
    let kill = async {
        for cycle in 0..CYCLES {
            tokio::time::sleep(Duration::from_millis(150 + 37 * cycle)).await;
            server.kill();
            tokio::time::sleep(PAUSE).await;
            server.restart();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let (batches, rows, ()) = tokio::join!(append, fold, kill);

    let read = journal.read(Position { batch: 0, ..epoch }, usize::MAX).await.unwrap();
    assert_eq!(read, (1..=batches).map(batch).collect::<Vec<_>>());
    assert!(batches > CYCLES && rows > u128::from(CYCLES), "{batches} batches, {rows} rows");
    let keys: Vec<_> = (1..=rows).map(EventKey).collect();
    for (key, kept) in keys.iter().zip(events.get(&keys).await.unwrap()) {
        let kept = kept.unwrap_or_else(|| panic!("row {key:?} is lost"));
        assert_eq!(kept.amendments.len(), 1, "row {key:?}");
    }
}
