//! The port `Journal` on MongoDB: a document for each batch, whose `_id` is its position, so that each is taken once (rule B).
//!
//! Seals are batches too, and stand in no second place that could say something else.

mod heads;
mod slots;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use prost::bytes::Bytes;
use tracing::instrument;

use crate::adapters::mongo::connect::MongoStore;
use crate::adapters::mongo::convert::{Fields, ID, bytes, unreadable};
use crate::adapters::mongo::failure::{failed, is_duplicate, is_unanswered, nonsense};
use crate::adapters::mongo::journal::heads::{Heads, next_numbers};
use crate::ledger::journal::{Batch, Journal, JournalError, Slot};
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

const SEAL: &str = "seal";
const RECORDS: &str = "records";
const WRITER: &str = "writer";
/// How often an append is made whose answer is lost, or whose position is taken by what no majority has yet.
const APPENDS_MAX: usize = 4;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);
/// Batches that are asked for at once.
const WINDOW: u64 = 64;

/// Journals in a collection.
#[derive(Clone, Debug)]
pub struct MongoJournal {
    store: MongoStore,
    batches: Collection<Document>,
    slots: Collection<Document>,
    /// Who writes: a batch with this and the same content is our own.
    writer: ObjectId,
    heads: Arc<Heads>,
    /// The batch whose append was begun and not answered.
    doubtful: Arc<Mutex<Option<Batch>>>,
}

/// Whose batch stands at a position that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It is our own, with the same content.
    Us,
    Another,
    /// No majority has it yet, or no more.
    Unknown,
}

impl MongoJournal {
    /// The journals of a store.
    #[must_use]
    pub fn new(store: &MongoStore) -> Self {
        Self {
            store: store.clone(),
            batches: store.collection("journal"),
            slots: store.collection("slots"),
            writer: ObjectId::new(),
            heads: Arc::default(),
            doubtful: Arc::default(),
        }
    }

    /// Inserts a batch, and finds out what became of it where the answer is lost: its position is taken once, so that a second
    /// insertion changes nothing. Answers whether it is there.
    async fn insert(&self, batch: &Batch) -> Result<bool, StoreError> {
        let document = doc! {
            ID: id(batch.position),
            SEAL: batch.seal,
            WRITER: self.writer,
            RECORDS: bytes(&batch.records),
        };
        let mut failure = nonsense("a position is taken, and by nobody");
        for attempt in 0..APPENDS_MAX {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match self.store.run(self.batches.insert_one(&document)).await {
                Ok(_) => return Ok(true),
                Err(error) if is_duplicate(&error) => match self.owner(batch).await? {
                    Owner::Us => return Ok(true),
                    Owner::Another => return Ok(false),
                    Owner::Unknown => {}
                },
                Err(error) if is_unanswered(&error) => failure = failed(error),
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failure)
    }

    fn swap_doubtful(&self, batch: Option<Batch>) -> Option<Batch> {
        // It is replaced as a whole, so a poisoned lock is still good.
        std::mem::replace(&mut *self.doubtful.lock().unwrap_or_else(PoisonError::into_inner), batch)
    }

    async fn owner(&self, batch: &Batch) -> Result<Owner, StoreError> {
        let found = self.store.find_one(&self.batches, doc! { ID: id(batch.position) }, None).await?;
        let Some(found) = found else { return Ok(Owner::Unknown) };
        let is_ours = found.get_object_id(WRITER).is_ok_and(|writer| writer == self.writer);
        let is_same = is_ours && to_batch(Fields(found))? == *batch;
        Ok(if is_same { Owner::Us } else { Owner::Another })
    }

    /// The batches after `last` that are there, in order, until they have that many bytes; there may be more.
    async fn window(&self, last: Last, bytes_max: usize) -> Result<Vec<Batch>, StoreError> {
        let mut ids = next_numbers(last.position, last.is_seal, WINDOW);
        if !last.is_seal {
            // It may be sealed within the window.
            ids.extend(next_numbers(last.position, true, WINDOW));
        }
        let find = self.batches.find(doc! { ID: { "$in": ids } }).sort(doc! { ID: 1 });
        let read = async {
            let (mut batches, mut bytes) = (Vec::new(), 0_usize);
            let mut cursor = find.await?;
            while bytes <= bytes_max && cursor.advance().await? {
                let kept = Document::try_from(cursor.current())?;
                bytes = bytes.saturating_add(kept.get_binary_generic(RECORDS).map_or(0, Vec::len));
                batches.push(kept);
            }
            Ok(batches)
        };
        let found = self.store.run(read).await.map_err(failed)?;
        found.into_iter().map(|kept| to_batch(Fields(kept))).collect()
    }
}

/// The batch that was read last, and whether it is a seal.
#[derive(Clone, Copy, Debug)]
struct Last {
    position: Position,
    is_seal: bool,
}

impl Last {
    /// Whether there may have been one after it when as many numbers after `before` were asked for and it was the last.
    const fn may_go_on(self, before: Self, count: u64) -> bool {
        let first = if self.position.epoch == before.position.epoch { before.position.batch } else { 0 };
        let is_later = self.position.epoch != before.position.epoch || self.position.batch > first;
        is_later && (self.is_seal || self.position.batch >= first.saturating_add(count))
    }

    /// Whether that is the batch after it: in the same epoch the next number, and after a seal the next epoch.
    fn is_before(self, next: Position) -> bool {
        let Position { epoch, batch, .. } = self.position;
        let expected =
            if self.is_seal { (epoch.saturating_add(1), 1) } else { (epoch, batch.saturating_add(1)) };
        (next.epoch, next.batch) == expected
    }
}

#[async_trait]
impl Journal for MongoJournal {
    fn is_shared(&self) -> bool {
        true
    }

    #[instrument(level = "debug", skip_all, name = "journal.take_slot", target = "tollgate::store")]
    async fn take_slot(&self, low_water: Timestamp) -> Result<Position, JournalError> {
        self.take_free(low_water).await
    }

    #[instrument(level = "debug", skip_all, name = "journal.beat", target = "tollgate::store")]
    async fn beat(&self, epoch: Position, low_water: Timestamp) -> Result<(), JournalError> {
        let head = self.find_head(epoch.slot).await?;
        let is_sealed =
            head.position.epoch > epoch.epoch || (head.position.epoch == epoch.epoch && head.is_seal);
        if is_sealed || !self.say(epoch, low_water).await? {
            return Err(JournalError::Taken(epoch));
        }
        Ok(())
    }

    #[instrument(level = "debug", skip_all, name = "journal.seal", target = "tollgate::store")]
    async fn seal(&self, epoch: Position) -> Result<Position, JournalError> {
        self.say_sealing(epoch).await?;
        let mut position = self.next_in(epoch).await?;
        loop {
            if let Some(seal) = position.sealed {
                return Ok(seal);
            }
            let seal = Batch { position: position.free, records: Bytes::new(), seal: true };
            if self.insert(&seal).await? {
                return Ok(seal.position);
            }
            // Its owner was faster, or somebody else has sealed it.
            position = self.next_after(position.free).await?;
        }
    }

    #[instrument(level = "debug", skip_all, name = "journal.slots", target = "tollgate::store")]
    async fn slots(&self) -> Result<Vec<Slot>, JournalError> {
        Ok(self.all_slots().await?)
    }

    #[instrument(level = "debug", skip_all, name = "journal.append", target = "tollgate::store")]
    async fn append(&self, batch: Batch) -> Result<(), JournalError> {
        let position = batch.position;
        let is_again = self.swap_doubtful(Some(batch.clone())).as_ref() == Some(&batch);
        let is_there = if position <= self.heads.trimmed(position.slot) {
            // What is forgotten is taken. Who asks again may have taken it: seals are not forgotten.
            is_again && !self.is_seal(position).await?
        } else {
            // What another process has forgotten since was ours, and is written in vain: nothing reads what stands there.
            self.insert(&batch).await?
        };
        self.swap_doubtful(None);
        if is_there { Ok(()) } else { Err(JournalError::Taken(position)) }
    }

    #[instrument(level = "debug", skip_all, name = "journal.read", target = "tollgate::store")]
    async fn read(&self, after: Position, bytes_max: usize) -> Result<Vec<Batch>, JournalError> {
        let start = after.max(self.find_trimmed(after.slot).await?);
        let is_seal = start.epoch == 0 || self.is_seal(start).await?;
        let mut last = Last { position: start, is_seal };
        let (mut batches, mut bytes) = (Vec::new(), 0_usize);
        loop {
            let before = last;
            for batch in self.window(last, bytes_max.saturating_sub(bytes)).await? {
                let more = bytes.saturating_add(batch.records.len());
                if !last.is_before(batch.position) || (more > bytes_max && bytes > 0) {
                    return Ok(batches);
                }
                bytes = more;
                last = Last { position: batch.position, is_seal: batch.seal };
                batches.push(batch);
            }
            if !last.may_go_on(before, WINDOW) {
                return Ok(batches);
            }
        }
    }

    #[instrument(level = "debug", skip_all, name = "journal.head", target = "tollgate::store")]
    async fn head(&self, slot: u32) -> Result<Position, JournalError> {
        Ok(self.find_head(slot).await?.position)
    }

    #[instrument(level = "debug", skip_all, name = "journal.trim", target = "tollgate::store")]
    async fn trim(&self, through: Position) -> Result<(), JournalError> {
        Ok(self.forget(through).await?)
    }
}

/// A position as a key, in the order of positions.
fn id(position: Position) -> String {
    format!("{}{:016x}:{:016x}", slot_prefix(position.slot), position.epoch, position.batch)
}

/// What the keys of a slot begin with.
fn slot_prefix(slot: u32) -> String {
    format!("{slot:02}:")
}

/// The position of such a key.
fn position(id: &str) -> Option<Position> {
    let mut parts = id.split(':');
    let slot = parts.next()?.parse().ok()?;
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    Some(Position { slot, epoch: number()?, batch: number()? })
}

fn to_position(kept: &Fields) -> Result<Position, StoreError> {
    position(kept.text(ID)?).ok_or_else(|| unreadable(ID, "it is no position of a journal"))
}

fn to_batch(mut kept: Fields) -> Result<Batch, StoreError> {
    Ok(Batch {
        position: to_position(&kept)?,
        records: Bytes::from(kept.bytes(RECORDS)?),
        seal: kept.flag(SEAL)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_stand_in_the_order_of_positions() {
        let at = |slot, epoch, batch| Position { slot, epoch, batch };
        let positions = [
            at(0, 0, 0),
            at(0, 1, 0),
            at(0, 1, 9),
            at(0, 1, 10),
            at(0, 255, 1),
            at(0, 256, 1),
            at(9, 1, 1),
            at(63, u64::MAX, u64::MAX),
        ];
        let ids: Vec<_> = positions.iter().map(|position| id(*position)).collect();
        assert!(ids.is_sorted());
        for (id, expected) in ids.iter().zip(positions) {
            assert_eq!(position(id), Some(expected));
        }
    }
}
