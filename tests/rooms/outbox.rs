//! The outbox over a journal of several slots: what it tells, what it has passed, and what the dead left to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prost::Message as _;
use tokio::sync::watch;
use tollgate::adapters::sqlite::events::SqliteEvents;
use tollgate::gate::decision::DenialReason;
use tollgate::ledger::entry::reason_number;
use tollgate::ledger::event::Event;
use tollgate::ledger::fold::Sink as _;
use tollgate::ledger::journal::{Batch, Journal, JournalError, Slot};
use tollgate::ledger::notices::Notices;
use tollgate::ledger::record::{Body, Record, Refusal};
use tollgate::ledger::stamp::{Position, Positions};
use tollgate::live::announcement::{Announcement, State};
use tollgate::live::outbox::{Outbox, OutboxParts};
use tollgate::live::publisher::{PublishError, Publisher};
use tollgate::tasks::Tasks;
use tollgate::time::{DAY, MINUTE, Timestamp};

use crate::rooms::Rooms;

const PATIENCE: Duration = Duration::from_secs(30);
/// The slot that the process under test writes.
const OWN: u32 = 0;

/// Batches in memory: what other processes would have written.
#[derive(Debug, Default)]
struct Batches {
    batches: Mutex<BTreeMap<Position, Batch>>,
    slots: Mutex<Vec<Slot>>,
}

#[async_trait]
impl Journal for Batches {
    fn is_shared(&self) -> bool {
        true
    }

    async fn take_slot(&self, _: Timestamp) -> Result<Position, JournalError> {
        Err(JournalError::NoSlot)
    }

    async fn beat(&self, epoch: Position, _: Timestamp) -> Result<(), JournalError> {
        Err(JournalError::Taken(epoch))
    }

    async fn seal(&self, epoch: Position) -> Result<Position, JournalError> {
        Err(JournalError::Taken(epoch))
    }

    async fn slots(&self) -> Result<Vec<Slot>, JournalError> {
        Ok(locked(&self.slots).clone())
    }

    async fn append(&self, batch: Batch) -> Result<(), JournalError> {
        locked(&self.batches).insert(batch.position, batch);
        Ok(())
    }

    async fn read(&self, after: Position, _: usize) -> Result<Vec<Batch>, JournalError> {
        let batches = locked(&self.batches);
        let later =
            batches.values().filter(|batch| batch.position.slot == after.slot && batch.position > after);
        Ok(later.take(2).cloned().collect())
    }

    async fn head(&self, slot: u32) -> Result<Position, JournalError> {
        let batches = locked(&self.batches);
        Ok(batches.keys().filter(|position| position.slot == slot).max().copied().unwrap_or_default())
    }

    async fn trim(&self, through: Position) -> Result<(), JournalError> {
        locked(&self.batches).retain(|at, _| at.slot != through.slot || *at > through);
        Ok(())
    }
}

/// A broker that may be away, and remembers what it was told.
#[derive(Debug, Default)]
struct Broker {
    told: Mutex<Vec<Announcement>>,
    is_away: Mutex<bool>,
}

#[async_trait]
impl Publisher for Broker {
    async fn publish(&self, announcements: &[Announcement]) -> Result<(), PublishError> {
        self.here()?;
        locked(&self.told).extend_from_slice(announcements);
        Ok(())
    }

    async fn retain(&self, _: &[State]) -> Result<(), PublishError> {
        self.here()
    }
}

impl Broker {
    fn here(&self) -> Result<(), PublishError> {
        if *locked(&self.is_away) { Err(PublishError::Away) } else { Ok(()) }
    }

    fn places(&self) -> Vec<(u32, u64)> {
        let told = locked(&self.told);
        let stamps = told.iter().filter_map(|announcement| announcement.stamp);
        stamps.map(|stamp| (stamp.position.slot, stamp.position.batch)).collect()
    }
}

/// An outbox with its journal and its broker.
struct Post {
    rooms: Rooms,
    journal: Arc<Batches>,
    broker: Arc<Broker>,
    folded: watch::Sender<Positions>,
    outbox: Outbox,
    tasks: Tasks,
}

impl Post {
    async fn new() -> Self {
        let rooms = Rooms::new().await;
        let (journal, tasks) = (Arc::<Batches>::default(), Tasks::default());
        let parts = OutboxParts {
            name: "test",
            journal: Arc::<Batches>::clone(&journal),
            events: Arc::new(SqliteEvents::new(&rooms.store.database).expect("a store of rows")),
            documents: Arc::clone(&rooms.store.documents),
            notices: Arc::new(Notices::dropped()),
            clock: rooms.store.clock(),
        };
        let outbox = Outbox::new(parts, &tasks);
        let folded = watch::Sender::new(Positions::default());
        Self { rooms, journal, broker: Arc::default(), folded, outbox, tasks }
    }

    fn begin(&self) {
        let broker = Arc::<Broker>::clone(&self.broker);
        let directory = Arc::clone(&self.rooms.directory);
        self.outbox.publish_to(broker, directory, OWN, self.folded.subscribe(), Arc::default());
    }

    /// A batch with one refusal, decided at that moment; folded.
    async fn batch(&self, slot: u32, batch: u64, at: Timestamp) {
        let refusal = Refusal {
            event: Event { id: format!("call-{slot}-{batch}"), ..Event::default() },
            reason: reason_number(DenialReason::RateLimited),
            denied_by: format!("limit-{slot}-{batch}"),
            ..Refusal::default()
        };
        let body = Some(Body::Refusal(refusal));
        let record = Record { tenant: "acme".to_owned(), at_micros: at.micros(), body, ..Record::default() };
        let position = Position { slot, epoch: 1, batch };
        let records = record.encode_length_delimited_to_vec().into();
        self.journal.append(Batch { position, records, seal: false }).await.expect("it is kept");
        self.folded.send_modify(|positions| {
            positions.advance(position);
        });
    }

    /// The end of a slot; folded.
    async fn seal(&self, slot: u32, batch: u64) {
        let position = Position { slot, epoch: 1, batch };
        self.journal
            .append(Batch { position, records: Vec::new().into(), seal: true })
            .await
            .expect("it is kept");
        let low_water = Timestamp::EPOCH;
        locked(&self.journal.slots).push(Slot { head: position, sealed: true, beat: 0, low_water });
        self.folded.send_modify(|positions| {
            positions.advance(position);
        });
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "{what}; told: {:?}", self.broker.places());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn passed(&self) -> u64 {
        self.outbox.passed(OWN).batch
    }
}

#[tokio::test]
async fn batch_is_passed_when_the_broker_has_it_and_not_before() {
    let post = Post::new().await;
    let now = post.rooms.store.clock().now();
    *locked(&post.broker.is_away) = true;
    for number in 1..=5 {
        post.batch(OWN, number, now).await;
    }
    post.begin();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((post.passed(), post.broker.places()), (0, Vec::new()));
    *locked(&post.broker.is_away) = false;
    post.until("it is passed", |post| post.passed() == 5).await;
    assert_eq!(post.broker.places(), (1..=5).map(|number| (OWN, number)).collect::<Vec<_>>());
    assert!(post.tasks.stop(PATIENCE).await);
}

#[tokio::test]
async fn batch_is_not_kept_for_longer_than_a_day_for_a_broker_that_is_away() {
    let post = Post::new().await;
    let now = post.rooms.store.clock().now();
    *locked(&post.broker.is_away) = true;
    for (number, age) in [(1, DAY + MINUTE), (2, DAY + MINUTE), (3, DAY - MINUTE), (4, DAY + MINUTE)] {
        post.batch(OWN, number, now.minus(age)).await;
    }
    post.begin();
    post.until("the old ones are let go", |post| post.passed() > 0).await;
    // The fourth is old too, but stands behind one that is not.
    assert_eq!(post.passed(), 2);
    // What is still there is told all the same.
    *locked(&post.broker.is_away) = false;
    post.until("all are told", |post| post.broker.places().len() == 4).await;
    assert!(post.tasks.stop(PATIENCE).await);
}

#[tokio::test]
async fn what_a_dead_writer_left_is_told_by_another() {
    let post = Post::new().await;
    let now = post.rooms.store.clock().now();
    for number in 1..=3 {
        post.batch(7, number, now).await;
    }
    post.begin();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(post.broker.places(), [], "its writer may live");
    post.seal(7, 4).await;
    post.batch(OWN, 1, now).await;
    post.until("it is told", |post| post.broker.places().len() == 4).await;
    let others = post.broker.places().into_iter().filter(|(slot, _)| *slot == 7);
    assert_eq!(others.collect::<Vec<_>>(), [(7, 1), (7, 2), (7, 3)]);
    assert!(post.tasks.stop(PATIENCE).await);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
