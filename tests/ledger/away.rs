//! A journal that goes away, and comes back: what was decided meanwhile waits on the local disk, or is said again (rules E, M, T).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tollgate::adapters::spool::FileSpool;
use tollgate::ledger::admission::{AdmissionError, ExtendOrder};
use tollgate::ledger::journal::{Batch, Journal, JournalError, Slot};
use tollgate::ledger::queue::{Kept, QueueError};
use tollgate::ledger::stamp::Position;
use tollgate::ledger::works::Stores;
use tollgate::money::CREDIT;
use tollgate::store::StoreError;
use tollgate::time::{SECOND, Timestamp};

use crate::desk::{Desk, NOON, open_plan, priced};
use crate::flaky::Luck;
use crate::places;
use crate::reservations::{ORDER, reserve, settlement};

/// Looks at what heals by itself, and how long each waits: the corrector looks once a second.
const LOOKS: u32 = 40;
const LOOK: Duration = Duration::from_millis(250);
/// Longer than a mark is pending.
const FORGOTTEN: i64 = 11 * SECOND;

/// A journal, and whether it can be written.
#[derive(Debug)]
struct Away {
    journal: Arc<dyn Journal>,
    is_away: AtomicBool,
}

#[async_trait]
impl Journal for Away {
    fn is_shared(&self) -> bool {
        self.journal.is_shared()
    }

    async fn take_slot(&self, low_water: Timestamp) -> Result<Position, JournalError> {
        self.journal.take_slot(low_water).await
    }

    async fn beat(&self, epoch: Position, low_water: Timestamp) -> Result<(), JournalError> {
        self.journal.beat(epoch, low_water).await
    }

    async fn seal(&self, epoch: Position) -> Result<Position, JournalError> {
        self.journal.seal(epoch).await
    }

    async fn slots(&self) -> Result<Vec<Slot>, JournalError> {
        self.journal.slots().await
    }

    async fn append(&self, batch: Batch) -> Result<(), JournalError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("it is away").into());
        }
        self.journal.append(batch).await
    }

    async fn read(&self, after: Position, bytes_max: usize) -> Result<Vec<Batch>, JournalError> {
        self.journal.read(after, bytes_max).await
    }

    async fn head(&self, slot: u32) -> Result<Position, JournalError> {
        self.journal.head(slot).await
    }

    async fn trim(&self, through: Position) -> Result<(), JournalError> {
        self.journal.trim(through).await
    }
}

/// A ledger with 10 credits and a spool, and the journal that can be taken from it.
async fn open(directory: &Path) -> (Desk, Arc<Away>) {
    let luck = Luck::new(0);
    luck.end();
    let stores = places::stores(directory, &luck).await;
    let spool = FileSpool::open(&directory.join("spool"), 1 << 20).await.expect("a spool");
    let journal = Arc::new(Away { journal: stores.journal, is_away: AtomicBool::new(false) });
    let shared: Arc<dyn Journal> = Arc::<Away>::clone(&journal);
    let stores = Stores { journal: shared, spool: Some(Arc::new(spool)), ..stores };
    let desk = Desk::over(stores, open_plan(), NOON).await;
    desk.grant("first", 10, None).await;
    (desk, journal)
}

/// Waits until the counters have that many credits free.
async fn come_to(desk: &Desk, credits: i64) {
    let mut free = 0;
    for _ in 0..LOOKS {
        let limits = desk.ledger.admission.limits(desk.subject(), &priced("", 0)).await.expect("limits");
        free = limits.balance_micros.unwrap_or_default();
        if free == credits * CREDIT {
            return;
        }
        desk.clock.advance(SECOND);
        tokio::time::sleep(LOOK).await;
    }
    panic!("the counters have {free} micro-credits, and not {credits} credits");
}

#[tokio::test]
async fn an_end_that_no_journal_has_is_taken_back_and_can_be_said_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (desk, journal) = open(directory.path()).await;
    let reservation = reserve(&desk, "a", ORDER).await;
    let settle = || desk.ledger.admission.settle(desk.subject(), settlement(&reservation, 3));

    journal.is_away.store(true, Ordering::SeqCst);
    // From the first that finds it away the others hear of that, and what only the journal may take is kept nowhere.
    let first = desk.track(priced("b", 0)).await.expect("a verdict");
    assert_eq!(first.kept, Kept::Local);
    let lost = settle().await.expect_err("nobody could write it down");
    assert!(matches!(lost, AdmissionError::Queue(QueueError::Unavailable)), "{lost}");
    journal.is_away.store(false, Ordering::SeqCst);
    desk.clock.advance(FORGOTTEN);
    // The ledger holds all of it still, and so do the counters again.
    come_to(&desk, 6).await;

    let said = settle().await.expect("it lives on in the ledger");
    assert_eq!((said.charged_micros, said.replayed), (3 * CREDIT, false));
    assert_eq!(desk.account().await.balance_micros(), 7 * CREDIT);
    come_to(&desk, 7).await;
}

#[tokio::test]
async fn a_reservation_that_is_said_to_have_expired_holds_nothing_in_the_ledger_either() {
    let directory = tempfile::tempdir().expect("a directory");
    let (desk, journal) = open(directory.path()).await;
    let reservation = reserve(&desk, "a", ORDER).await;
    journal.is_away.store(true, Ordering::SeqCst);
    let first = desk.track(priced("b", 0)).await.expect("a verdict");
    assert_eq!(first.kept, Kept::Local);
    let (request_id, ttl) = (String::from("shorter"), Some(SECOND));
    let shorter =
        ExtendOrder { reservation: reservation.clone(), request_id, ttl, additional_micros: CREDIT };
    let lost = desk.ledger.admission.extend(desk.subject(), shorter).await.expect_err("nobody wrote it down");
    assert!(matches!(lost, AdmissionError::Queue(QueueError::Unavailable)), "{lost}");
    journal.is_away.store(false, Ordering::SeqCst);
    desk.clock.advance(2 * SECOND);

    let settle = || desk.ledger.admission.settle(desk.subject(), settlement(&reservation, 3));
    let mut late = settle().await;
    while matches!(late, Err(AdmissionError::Queue(QueueError::Unavailable))) {
        // What was spooled comes first.
        tokio::time::sleep(LOOK).await;
        late = settle().await;
    }
    assert!(matches!(late, Err(AdmissionError::ReservationExpired(_))), "{late:?}");
    let account = desk.account().await;
    assert_eq!((account.balance_micros(), account.held_micros()), (10 * CREDIT, 0));
    come_to(&desk, 10).await;
}
