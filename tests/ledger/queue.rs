//! The queue, and those who ask the counters before they take their place in it.

use std::sync::Arc;

use tollgate::adapters::memory::counters::MemoryCounters;
use tollgate::ledger::cuts::Cuts;
use tollgate::ledger::queue::{Queue, QueueError};
use tollgate::ledger::stamp::{Position, Positions};
use tollgate::time::SystemClock;

#[test]
fn who_asks_and_hears_no_answer_makes_the_tenant_suspect() {
    let (counters, cuts) = (MemoryCounters::new(Arc::new(SystemClock)), Arc::new(Cuts::default()));
    let queue = Queue::new(Position::default(), Arc::new(counters), Arc::clone(&cuts));
    let tenant = Arc::from("acme");
    let suspects = || cuts.open(Positions::default).len();

    assert_eq!(queue.asking(&tenant).answered(Ok::<_, QueueError>(7)).expect("the answer"), 7);
    assert_eq!(suspects(), 0);
    assert!(queue.asking(&tenant).answered(Err::<(), _>(QueueError::Unavailable)).is_err());
    assert_eq!(suspects(), 1, "the answer was lost");
    drop(queue.asking(&tenant));
    assert_eq!(suspects(), 1, "the caller has gone away");
}
