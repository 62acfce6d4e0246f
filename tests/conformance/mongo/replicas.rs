//! Several replicas at once: each is told what the others are told.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use prost::bytes::Bytes;
use tollgate::adapters::mongo::events::MongoEvents;
use tollgate::adapters::mongo::journal::MongoJournal;
use tollgate::adapters::mongo::rollups::MongoRollups;
use tollgate::gate::call::{EventKey, PayloadHash};
use tollgate::ledger::events::{Amended, Amendment, Events, InsertedRow, Placed, Row, RowKind};
use tollgate::ledger::journal::{Batch, Journal, JournalError};
use tollgate::ledger::rollups::{RollupKey, Rollups, StoredRollup};
use tollgate::ledger::stamp::{Position, Stamp};
use tollgate::time::Timestamp;

use super::{config, connect};

const REPLICAS: usize = 4;

pub(super) fn row(key: u128) -> Row {
    let micros = i64::try_from(key).expect("a small key");
    Row {
        key: EventKey(key),
        payload: PayloadHash(key),
        stamp: stamp(key),
        tenant: "a".into(),
        kind: RowKind::Usage,
        at: Timestamp::from_micros(micros),
        occurred_at: Timestamp::from_micros(micros),
        body: Bytes::from(format!("row {key}")),
    }
}

pub(super) fn amendment(key: u128, target: u128) -> Amendment {
    Amendment {
        key: EventKey(key),
        payload: PayloadHash(key),
        stamp: stamp(key),
        target: EventKey(target),
        body: Bytes::from(format!("amendment {key}")),
    }
}

fn stamp(key: u128) -> Stamp {
    let place = u32::try_from(key).expect("a small key");
    Stamp { position: Position { slot: 0, epoch: 1, batch: 1 }, place }
}

/// What is counted: which amendments with which row, and which by themselves after which others.
type Counted = (HashMap<u128, Vec<u128>>, HashMap<u128, Vec<u128>>);

fn keys(amendments: &[Amendment]) -> Vec<u128> {
    amendments.iter().map(|amendment| amendment.key.0).collect()
}

fn counted(rows: &[Row], inserted: &[InsertedRow], amendments: &[Amendment], amended: &[Amended]) -> Counted {
    let counts = |placed| matches!(placed, Placed::Fresh | Placed::Replay);
    assert!(inserted.iter().all(|row| counts(row.placed)) && amended.iter().all(|each| counts(each.placed)));
    let rows = rows.iter().zip(inserted).map(|(row, inserted)| (row.key.0, keys(&inserted.early)));
    let alone = amendments.iter().zip(amended).filter_map(|(amendment, amended)| {
        amended.target.as_ref().map(|target| (amendment.key.0, keys(&target.amendments)))
    });
    (rows.collect(), alone.collect())
}

#[tokio::test]
async fn replicas_that_fold_the_same_batches_count_the_same() {
    const ROWS: u128 = 40;
    let Some(config) = config() else { return };
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(MongoEvents::open(&connect(&config).await).await.unwrap());
    }
    let rows: Vec<_> = (1..=ROWS).map(row).collect();
    // Two for each row, from another slot, so that they race with their rows.
    let amendments: Vec<_> =
        (1..=ROWS).flat_map(|key| [amendment(1_000 + key, key), amendment(2_000 + key, key)]).collect();
    let tasks = replicas.iter().enumerate().flat_map(|(number, events)| {
        let (rows, amendments) = (rows.clone(), amendments.clone());
        let insert = async move {
            let mut inserted = Vec::new();
            for part in rows.chunks(5 + number) {
                inserted.extend(events.insert(part.to_vec()).await.unwrap());
            }
            (inserted, Vec::new())
        };
        let amend = async move {
            let mut amended = Vec::new();
            for part in amendments.chunks(3 + number) {
                amended.extend(events.amend(part.to_vec()).await.unwrap());
            }
            (Vec::new(), amended)
        };
        [Box::pin(insert) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>, Box::pin(amend)]
    });
    let answers: Vec<(Vec<InsertedRow>, Vec<Amended>)> = join_all(tasks).await;

    let inserted = replicas[0].insert(rows.clone()).await.unwrap();
    let amended = replicas[0].amend(amendments.clone()).await.unwrap();
    let expected = counted(&rows, &inserted, &amendments, &amended);
    for pair in answers.chunks(2) {
        assert_eq!(counted(&rows, &pair[0].0, &amendments, &pair[1].1), expected);
    }
    let (with_rows, alone) = expected;
    let mut all: Vec<_> = with_rows.values().flatten().chain(alone.keys()).copied().collect();
    all.sort_unstable();
    let mut each = keys(&amendments);
    each.sort_unstable();
    assert_eq!(all, each, "each is counted with its row or alone, never both");
    for kept in replicas[1].get(&rows.iter().map(|row| row.key).collect::<Vec<_>>()).await.unwrap() {
        let kept = kept.unwrap();
        let mut before = with_rows[&kept.row.key.0].clone();
        for amendment in kept.amendments.iter().skip(before.len()) {
            assert_eq!(alone[&amendment.key.0], before);
            before.push(amendment.key.0);
        }
    }
}

#[tokio::test]
async fn of_replicas_that_want_one_revision_one_has_it() {
    let Some(config) = config() else { return };
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(MongoRollups::new(&connect(&config).await));
    }
    let rollup = |hour: i64, revision, writer: usize| StoredRollup {
        key: RollupKey { tenant: "a".into(), hour: Timestamp::from_micros(hour * 3_600_000_000) },
        revision,
        positions: Vec::new(),
        totals: writer.to_string().into_bytes(),
        minutes: Vec::new(),
        dimensions: Vec::new(),
    };
    for revision in 0..6 {
        let races = replicas.iter().enumerate().map(|(writer, rollups)| {
            let all = (0..20).map(|hour| rollup(hour, revision, writer)).collect();
            async move { rollups.replace(all).await.unwrap() }
        });
        let won = join_all(races).await;
        let keys: Vec<_> = (0..20).map(|hour| rollup(hour, 0, 0).key).collect();
        let kept = replicas[0].get(&keys).await.unwrap();
        for (hour, kept) in kept.iter().enumerate() {
            let winners: Vec<_> = (0..REPLICAS).filter(|writer| won[*writer][hour]).collect();
            let kept = kept.as_ref().unwrap();
            assert_eq!(winners.len(), 1, "revision {revision}, hour {hour}");
            assert_eq!(kept.totals, winners[0].to_string().into_bytes());
            assert_eq!(kept.revision, revision + 1);
        }
    }
}

#[tokio::test]
async fn replicas_that_take_slots_at_once_have_different_ones() {
    let Some(config) = config() else { return };
    let mut journals = Vec::new();
    for _ in 0..8 {
        journals.push(MongoJournal::new(&connect(&config).await));
    }
    let take = |epoch: u64| {
        let journals = &journals;
        async move {
            let taken = join_all(journals.iter().map(|journal| journal.take_slot(Timestamp::EPOCH))).await;
            let taken: HashSet<_> = taken.into_iter().map(|taken| taken.unwrap()).collect();
            let expected: HashSet<_> = (0..8).map(|slot| Position { slot, epoch, batch: 0 }).collect();
            assert_eq!(taken, expected);
            taken
        }
    };
    for epoch in 1..=3 {
        let taken = take(epoch).await;
        // Several seal each, and all are told the same.
        for position in taken {
            let seals = join_all(journals.iter().map(|journal| journal.seal(position))).await;
            let seals: HashSet<_> = seals.into_iter().map(|seal| seal.unwrap()).collect();
            assert_eq!(seals, HashSet::from([Position { batch: 1, ..position }]));
        }
    }
}

#[tokio::test]
async fn what_a_writer_was_told_is_before_the_seal() {
    let Some(config) = config() else { return };
    for round in 0..10_u64 {
        let writer = MongoJournal::new(&connect(&config).await);
        let sealer = MongoJournal::new(&connect(&config).await);
        let epoch = writer.take_slot(Timestamp::EPOCH).await.unwrap();
        let write = async {
            for number in 1.. {
                let position = Position { batch: number, ..epoch };
                let records = Bytes::from(format!("{round} {number}"));
                match writer.append(Batch { position, records, seal: false }).await {
                    Ok(()) => {}
                    Err(JournalError::Taken(at)) => return at,
                    Err(other) => panic!("{other:?}"),
                }
                // As often as that, whoever seals never finds a free number before it.
                if number % 8 == 0 && writer.beat(epoch, Timestamp::EPOCH).await.is_err() {
                    return Position { batch: number + 1, ..epoch };
                }
            }
            unreachable!("it is sealed at some time")
        };
        let seal = async {
            let target = Position { batch: 1 + round * 2, ..epoch };
            while sealer.head(epoch.slot).await.unwrap() < target {}
            sealer.seal(epoch).await.unwrap()
        };
        let (stopped, seal) = tokio::join!(write, seal);
        assert_eq!(stopped, seal, "round {round}");
        let after = Position { epoch: epoch.epoch - 1, batch: u64::from(u32::MAX), ..epoch };
        let read = sealer.read(Position { batch: 0, ..epoch }.max(after), usize::MAX).await.unwrap();
        assert_eq!(read.len() as u64, seal.batch, "round {round}");
        assert!(read.last().unwrap().seal);
    }
}
