//! What changes in records that servers remember, told to every server that shares the store.
//!
//! A change is a record of its own, written before what it tells of and marked as done after it, before the answer. Every
//! server reads the newest ones each second and forgets what they name. So what was answered is known everywhere after a
//! second and the time of a read; and of a change whose server ended half way, the others hear all the same.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::id;
use crate::store::records::{Kept, Place, Range, Record, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, MINUTE, SECOND, Timestamp};

/// How far back is read each time. Clocks are at most 5 s apart, and a change is in the window until it is undone for sure.
const WINDOW: i64 = 40 * SECOND;
/// A change that is not done for so long is heard all the same: its server has ended, or its call was given up. A call takes
/// at most 20 s.
const UNDONE: i64 = 25 * SECOND;
/// How long changes can be read.
pub const KEPT: i64 = 10 * MINUTE;
/// A server that has heard nothing for so long may have missed some. Half the time that they are kept, so that no clock
/// makes a difference.
const MISSED: i64 = KEPT / 2;
/// With more changes than that in the window, everything is taken for changed.
const CHANGES_MAX: usize = 10_000;
/// What is remembered may be used so long after all changes were last heard. Whoever was asleep for longer asks the store.
pub const FRESH: i64 = 4 * SECOND;
/// The same while the store cannot be reached.
pub const REMEMBERED: i64 = 15 * MINUTE;
/// So many attempts to hear must have failed for that: one may have failed because its server was asleep meanwhile.
const FAILURES: u32 = 2;
/// The index of changes by their time.
const AGE: &str = "age";

/// What a change is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The credential with that digest, in hexadecimal digits.
    Credential(String),
    /// The tenant with that id, or its subscription.
    Tenant(String),
    /// The tenant with that id, which was deleted or came back: its callers too.
    TenantEnd(String),
    /// The catalogue.
    Catalogue,
    /// The roles that the tenant with that id made.
    Role(String),
    /// The membership with that id: its role, or that it ended.
    Member(String),
}

/// Tells of changes.
#[derive(Clone, Debug)]
pub struct Teller {
    changes: Arc<Records<Told>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    id: String,
    subject: Subject,
    at: Timestamp,
    is_done: bool,
}

impl Record for Told {
    const KIND: &'static str = "change";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, place(self.at))]
    }
}

impl Teller {
    /// Tells those who share a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self { changes: Arc::new(Records::new(Arc::clone(documents))), clock }
    }

    /// Makes a change, and answers when all who will ask from then on hear of it.
    pub async fn tell<T, E: From<StoreError>>(
        &self,
        subject: Subject,
        change: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let told = Told { id: id::fresh("chg"), subject, at: self.clock.now(), is_done: false };
        self.changes.insert(&told).await?;
        let changed = change.await;
        // Also after a failure: the change may have been kept all the same.
        let done = self.done(told).await;
        let answer = changed?;
        done?;
        Ok(answer)
    }

    /// Deletes at most `limit` changes that everybody has heard of; answers how many.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let before = place(self.clock.now().minus(KEPT));
        self.changes.purge(AGE, &before, limit).await
    }

    async fn done(&self, begun: Told) -> Result<(), StoreError> {
        let record = Told { at: self.clock.now(), is_done: true, ..begun };
        let kept = Kept { record, revision: 1 };
        if self.changes.replace(&kept).await? {
            return Ok(());
        }
        // Nobody else changes it: it took so long that it was deleted, and has to be told anew.
        let again = Told { id: id::fresh("chg"), ..kept.record };
        self.changes.insert(&again).await.map(|_| ())
    }
}

/// Hears of changes.
#[derive(Debug)]
pub struct Listener {
    changes: Records<Told>,
    clock: Arc<dyn Clock>,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    /// All changes that were answered before this moment were heard.
    through: Timestamp,
    /// The changes of the window, by id.
    known: HashMap<String, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    first_seen: Timestamp,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may not have been made yet.
    Begun,
    /// It has not been done for so long that it was heard as it was.
    Undone,
    /// It was heard.
    Done,
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What has changed.
    pub changed: Changed,
    /// When it was asked for: with it, all changes from before are heard.
    pub as_of: Timestamp,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These; often none.
    These(Vec<Subject>),
    /// Nobody knows what: there were too many, or nothing was heard for too long.
    Anything,
}

impl Listener {
    /// A listener that has heard of all changes up to now: nothing is remembered yet.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        let heard = Heard { through: clock.now(), known: HashMap::new() };
        Self { changes: Records::new(Arc::clone(documents)), clock, heard: Mutex::new(heard) }
    }

    /// What has changed since it was last asked for. One asks at a time, and forgets what it is told.
    pub async fn news(&self) -> Result<News, StoreError> {
        let as_of = self.clock.now();
        let silence = as_of.since(self.heard().through).max(0);
        let from = as_of.minus(silence.saturating_add(WINDOW));
        let after = Place { value: place(from), id: String::new() };
        let range = Range { index: AGE, prefix: "", order: Order::Ascending, after: Some(&after) };
        let found = self.changes.page(range, CHANGES_MAX).await?;
        let mut heard = self.heard();
        heard.through = as_of;
        let subjects = heard.hear(found.records, as_of);
        let changed = if silence > MISSED || found.next.is_some() {
            Changed::Anything
        } else {
            Changed::These(subjects)
        };
        Ok(News { changed, as_of })
    }

    // It is changed whole, so a poisoned lock is still good.
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// What of the changes in the window was not heard before.
    fn hear(&mut self, window: Vec<Told>, now: Timestamp) -> Vec<Subject> {
        let mut before = std::mem::take(&mut self.known);
        let mut subjects = Vec::new();
        for told in window {
            let known = before.remove(&told.id);
            let first_seen = known.map_or(now, |known| known.first_seen);
            let state = match known.map(|known| known.state) {
                _ if told.is_done => State::Done,
                Some(State::Undone) => State::Undone,
                _ if now.since(first_seen) >= UNDONE => State::Undone,
                _ => State::Begun,
            };
            if state != State::Begun && known.is_none_or(|known| known.state != state) {
                subjects.push(told.subject);
            }
            self.known.insert(told.id, Known { first_seen, state });
        }
        subjects
    }
}

/// Whether what a server remembers may be used.
#[derive(Debug)]
pub struct Confirmed {
    as_of: AtomicI64,
    failures: AtomicU32,
}

impl Confirmed {
    /// Nothing has changed up to now.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self { as_of: AtomicI64::new(now.micros()), failures: AtomicU32::new(0) }
    }

    /// All changes from before that moment were heard.
    pub fn confirm(&self, as_of: Timestamp) {
        self.failures.store(0, Ordering::Release);
        self.as_of.store(as_of.micros(), Ordering::Release);
    }

    /// The store could not be asked for changes.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether it may be used. If not, the store is to be asked.
    pub fn holds(&self, now: Timestamp) -> bool {
        let age = now.since(Timestamp::from_micros(self.as_of.load(Ordering::Acquire)));
        age <= FRESH || (age <= REMEMBERED && self.failures.load(Ordering::Acquire) >= FAILURES)
    }
}

fn place(at: Timestamp) -> String {
    format!("{:020}", at.micros().max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn told(id: &str, is_done: bool) -> Told {
        let (id, subject) = (id.to_owned(), Subject::Tenant(id.to_owned()));
        Told { id, subject, at: START, is_done }
    }

    /// What is heard of one change, as it stands at each of those moments, in seconds.
    #[track_caller]
    fn check(moments: &[(i64, bool)], expected: &[bool]) {
        let mut heard = Heard { through: START, known: HashMap::new() };
        let mut hear = |(second, is_done): &(i64, bool)| {
            !heard.hear(vec![told("acme", *is_done)], START.plus(second * SECOND)).is_empty()
        };
        assert_eq!(moments.iter().map(&mut hear).collect::<Vec<_>>(), expected, "{moments:?}");
    }

    #[test]
    fn change_is_heard_once_when_it_is_done() {
        check(&[(0, true), (1, true)], &[true, false]);
        check(&[(0, false), (1, true), (2, true), (30, true)], &[false, true, false, false]);
    }

    #[test]
    fn change_whose_server_ended_half_way_is_heard_when_it_can_no_longer_be_made() {
        check(&[(0, false), (24, false), (25, false), (26, false)], &[false, false, true, false]);
        check(&[(0, false), (25, false), (26, true), (27, true)], &[false, true, true, false]);
    }

    #[test]
    fn memory_is_good_for_seconds_and_without_the_store_for_minutes() {
        let check = |failures: u32, age: i64, expected: bool| {
            let confirmed = Confirmed::at(START);
            (0..failures).for_each(|_| confirmed.failed());
            assert_eq!(confirmed.holds(START.plus(age)), expected, "{failures} failures, {age} µs");
        };
        check(0, FRESH, true);
        check(0, FRESH + 1, false);
        check(1, FRESH + 1, false);
        check(2, FRESH + 1, true);
        check(2, REMEMBERED, true);
        check(2, REMEMBERED + 1, false);
        check(0, -MINUTE, true);
        let confirmed = Confirmed::at(START);
        confirmed.failed();
        confirmed.failed();
        confirmed.confirm(START);
        assert!(!confirmed.holds(START.plus(MINUTE)));
    }
}
