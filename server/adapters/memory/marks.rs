//! Marks: what the last hour's events were answered, so that a retry gets the first answer (rule Q).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::counters::{EndDecision, PENDING_LIFE};
use crate::gate::decision::Decision;
use crate::time::{HOUR, Timestamp};

/// How long a mark answers.
const MARK_LIFE: i64 = HOUR;

/// A bounded number of marks, the oldest of which make room for new ones.
#[derive(Debug)]
pub(super) struct Marks {
    ring: VecDeque<Kept>,
    /// The place of the ring's first mark, counted since the beginning.
    first: u64,
    /// The place of the newest mark of an event, by half of its key; the mark itself has the whole.
    places: HashMap<u64, u64, BuildHasherDefault<KeyIsHash>>,
    max: usize,
}

/// A mark as it is kept: half of all memory is theirs, so it is as small as can be.
#[derive(Debug)]
struct Kept {
    event: [u8; 16],
    payload: [u8; 16],
    at: Timestamp,
    price_micros: i64,
    /// `None`: durable, and price and time say all.
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More {
    durable: bool,
    answer: Answer,
}

/// What an event was answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Its price and time say all.
    Plain,
    /// A decision.
    Charge(Box<Decision>),
    /// An extension.
    Extension {
        /// The decision.
        decision: Box<Decision>,
        /// All that was held then.
        held_micros: i64,
        /// When the hold ended by itself.
        expires_at: Timestamp,
    },
    /// The end of a reservation.
    End(Box<EndDecision>),
}

/// A mark that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The event's content.
    pub(super) payload: PayloadHash,
    /// When it was decided.
    pub(super) at: Timestamp,
    /// What it was charged.
    pub(super) price_micros: i64,
    /// Whether the ledger has it.
    pub(super) durable: bool,
    /// Whether it was abandoned: pending for so long that the journal will not have it (rule C).
    pub(super) abandoned: bool,
    /// What it was answered.
    pub(super) answer: Answer,
}

/// A mark to keep.
#[derive(Debug)]
pub(super) struct NewMark {
    /// Which event.
    pub(super) event: EventKey,
    /// Its content.
    pub(super) payload: PayloadHash,
    /// When it was decided.
    pub(super) at: Timestamp,
    /// What it was charged.
    pub(super) price_micros: i64,
    /// What it was answered.
    pub(super) answer: Answer,
    /// Whether the ledger has it.
    pub(super) durable: bool,
}

impl Marks {
    pub(super) fn new(max: usize) -> Self {
        Self { ring: VecDeque::new(), first: 0, places: HashMap::default(), max }
    }

    /// The mark of an event, if it still answers.
    pub(super) fn find(&self, event: EventKey, now: Timestamp) -> Option<Found> {
        self.find_abandoned(event, now).filter(|found| !found.abandoned)
    }

    /// The mark of an event, also if it was abandoned.
    pub(super) fn find_abandoned(&self, event: EventKey, now: Timestamp) -> Option<Found> {
        let kept = self.ring.get(self.index(event)?)?;
        let age = now.since(kept.at);
        let durable = kept.more.as_ref().is_none_or(|more| more.durable);
        (age <= MARK_LIFE).then(|| Found {
            payload: PayloadHash(u128::from_le_bytes(kept.payload)),
            at: kept.at,
            price_micros: kept.price_micros,
            durable,
            abandoned: !durable && age > PENDING_LIFE,
            answer: kept.more.as_ref().map_or(Answer::Plain, |more| more.answer.clone()),
        })
    }

    /// Keeps a mark, in the place of an older one of the same event.
    pub(super) fn keep(&mut self, mark: NewMark, now: Timestamp) {
        self.forget(now);
        let more = (!mark.durable).then(|| Box::new(More { durable: false, answer: mark.answer }));
        let place = self.first.wrapping_add(u64::try_from(self.ring.len()).unwrap_or(u64::MAX));
        self.places.insert(half(mark.event), place);
        self.ring.push_back(Kept {
            event: mark.event.0.to_le_bytes(),
            payload: mark.payload.0.to_le_bytes(),
            at: mark.at,
            price_micros: mark.price_micros,
            more,
        });
    }

    /// The ledger has the event: a decision need not be journalled again, so that it is not kept any longer.
    pub(super) fn commit(&mut self, event: EventKey) {
        let Some(kept) = self.index(event).and_then(|index| self.ring.get_mut(index)) else { return };
        let Some(more) = kept.more.as_deref_mut() else { return };
        match more.answer {
            Answer::Plain | Answer::Charge(_) => kept.more = None,
            Answer::Extension { .. } | Answer::End(_) => more.durable = true,
        }
    }

    /// Makes room for one more, and lets go what answers no longer.
    fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.ring.front() {
            if self.ring.len() < self.max && now.since(oldest.at) <= MARK_LIFE {
                break;
            }
            let key = half(EventKey(u128::from_le_bytes(oldest.event)));
            if self.places.get(&key) == Some(&self.first) {
                self.places.remove(&key);
            }
            self.ring.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    fn index(&self, event: EventKey) -> Option<usize> {
        let place = *self.places.get(&half(event))?;
        let index = usize::try_from(place.wrapping_sub(self.first)).ok()?;
        let kept = self.ring.get(index)?;
        (kept.event == event.0.to_le_bytes()).then_some(index)
    }
}

fn half(event: EventKey) -> u64 {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] = event.0.to_le_bytes();
    u64::from_le_bytes([first, second, third, fourth, fifth, sixth, seventh, eighth])
}

/// Event keys are hashes already: hashing them again gains nothing.
#[derive(Clone, Copy, Debug, Default)]
struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(8) ^ number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const NOON: Timestamp = Timestamp::from_micros(43_200_000_000);

    fn mark(event: u128, at: Timestamp, durable: bool) -> NewMark {
        let payload = PayloadHash(event);
        NewMark { event: EventKey(event), payload, at, price_micros: 7, answer: Answer::Plain, durable }
    }

    fn check(durable: bool, age: i64, answers: bool) {
        let mut marks = Marks::new(4);
        marks.keep(mark(1, NOON, durable), NOON);
        let found = marks.find(EventKey(1), NOON.plus(age));
        assert_eq!(found.is_some(), answers, "{durable} {age}");
    }

    #[test]
    fn a_durable_mark_answers_for_an_hour_and_a_pending_one_for_ten_seconds() {
        check(true, HOUR, true);
        check(true, HOUR + 1, false);
        check(false, 10 * SECOND, true);
        check(false, 10 * SECOND + 1, false);
        check(false, -HOUR, true);
    }

    #[test]
    fn the_oldest_marks_make_room() {
        let mut marks = Marks::new(4);
        for event in 0..10 {
            marks.keep(mark(event, NOON, true), NOON);
        }
        for event in 0..10 {
            assert_eq!(marks.find(EventKey(event), NOON).is_some(), event >= 6, "{event}");
        }
        assert_eq!((marks.ring.len(), marks.places.len()), (4, 4));
    }

    #[test]
    fn old_marks_are_let_go_before_the_ring_is_full() {
        let mut marks = Marks::new(100);
        for event in 0..10 {
            marks.keep(mark(event, NOON, true), NOON);
        }
        marks.keep(mark(10, NOON.plus(HOUR + 1), true), NOON.plus(HOUR + 1));
        assert_eq!((marks.ring.len(), marks.places.len()), (1, 1));
    }

    #[test]
    fn a_second_mark_of_an_event_outlives_the_first() {
        let mut marks = Marks::new(2);
        marks.keep(mark(1, NOON, false), NOON);
        marks.keep(mark(1, NOON.plus(1), true), NOON);
        marks.keep(mark(2, NOON, true), NOON);
        assert_eq!(marks.find(EventKey(1), NOON).map(|found| found.at), Some(NOON.plus(1)));
    }

    #[test]
    fn events_that_share_half_of_their_key_are_not_taken_for_each_other() {
        let mut marks = Marks::new(4);
        marks.keep(mark(1, NOON, true), NOON);
        assert!(marks.find(EventKey(1 | 1 << 64), NOON).is_none());
    }

    #[test]
    fn a_mark_is_small() {
        assert!(size_of::<Kept>() <= 56);
    }
}
