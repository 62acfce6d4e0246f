//! The last batch of a slot: looked for from the last one that was seen, by keys alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mongodb::bson::doc;

use crate::adapters::mongo::convert::{Fields, ID};
use crate::adapters::mongo::failure::failed;
use crate::adapters::mongo::journal::{Last, MongoJournal, SEAL, id, slot_prefix, to_position};
use crate::ledger::stamp::Position;
use crate::store::StoreError;

/// Numbers that are asked for at first; each further time four times as many.
const NUMBERS_FIRST: u64 = 16;
/// Numbers that are asked for at most.
const NUMBERS_MAX: u64 = 4_096;

/// What is known of the slots: how far each was, at least.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<HashMap<u32, Seen>>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    head: Option<Last>,
    trimmed: Position,
}

impl Heads {
    /// The last batch of the slot that is known to be forgotten.
    pub(super) fn trimmed(&self, slot: u32) -> Position {
        self.with(slot, |seen| Position { slot, ..seen.trimmed })
    }

    /// Batches up to this one are forgotten.
    pub(super) fn see_trimmed(&self, through: Position) {
        self.with(through.slot, |seen| {
            seen.trimmed = through.max(Position { slot: through.slot, ..seen.trimmed });
        });
    }

    fn head(&self, slot: u32) -> Option<Last> {
        self.with(slot, |seen| seen.head)
    }

    fn see(&self, head: Last) {
        self.with(head.position.slot, |seen| {
            if seen.head.is_none_or(|seen| seen.position < head.position) {
                seen.head = Some(head);
            }
        });
    }

    fn with<T>(&self, slot: u32, work: impl FnOnce(&mut Seen) -> T) -> T {
        // Whatever happened to who held it: what it says was seen once, and stays true.
        work(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(slot).or_default())
    }
}

impl MongoJournal {
    /// The last batch of a slot.
    pub(super) async fn find_head(&self, slot: u32) -> Result<Last, StoreError> {
        Ok(self.find_heads(&[slot]).await?.remove(0))
    }

    /// The last batch of each slot, in order.
    pub(super) async fn find_heads(&self, slots: &[u32]) -> Result<Vec<Last>, StoreError> {
        let mut heads = Vec::with_capacity(slots.len());
        for slot in slots {
            heads.push(match self.heads.head(*slot) {
                Some(head) => head,
                None => self.first_head(*slot).await?,
            });
        }
        let (mut moving, mut count) = (vec![true; heads.len()], NUMBERS_FIRST);
        while moving.contains(&true) {
            let ids: Vec<_> = heads
                .iter()
                .zip(&moving)
                .filter(|(_, moving)| **moving)
                .flat_map(|(head, _)| next_numbers(head.position, head.is_seal, count))
                .collect();
            let before = heads.clone();
            for kept in self.store.find_ids(&self.batches, &ids, Some(doc! { SEAL: 1 })).await? {
                let found = to_last(&Fields(kept))?;
                let place = slots.iter().position(|slot| *slot == found.position.slot);
                let Some(place) = place.filter(|place| heads[*place].position < found.position) else {
                    continue;
                };
                heads[place] = found;
            }
            // Where not all numbers were taken, this was the last: whoever is busy has a later one by now, and will for ever.
            moving = before.iter().zip(&heads).map(|(before, head)| head.may_go_on(*before, count)).collect();
            count = count.saturating_mul(4).min(NUMBERS_MAX);
        }
        heads.iter().for_each(|head| self.heads.see(*head));
        Ok(heads)
    }

    /// The last batch of an epoch: its seal, or the number that is free after it.
    pub(super) async fn next_in(&self, epoch: Position) -> Result<Next, StoreError> {
        let trimmed = self.find_trimmed(epoch.slot).await?;
        let first = Position { batch: 0, ..epoch };
        let range = doc! { "$gte": id(first), "$lte": id(Position { batch: u64::MAX, ..epoch }) };
        let last = self.last_of(range).await?.unwrap_or(Last { position: first, is_seal: false });
        if last.is_seal {
            return Ok(Next { free: last.position, sealed: Some(last.position) });
        }
        let gone = if trimmed.epoch == epoch.epoch { trimmed.batch } else { 0 };
        let batch = last.position.batch.max(gone).saturating_add(1);
        Ok(Next { free: Position { batch, ..epoch }, sealed: None })
    }

    /// What stands at a position that was taken in this moment: a seal, or a batch with a free number after it.
    pub(super) async fn next_after(&self, taken: Position) -> Result<Next, StoreError> {
        if self.is_seal(taken).await? {
            return Ok(Next { free: taken, sealed: Some(taken) });
        }
        Ok(Next { free: Position { batch: taken.batch.saturating_add(1), ..taken }, sealed: None })
    }

    /// Whether a seal stands there.
    pub(super) async fn is_seal(&self, position: Position) -> Result<bool, StoreError> {
        let found =
            self.store.find_one(&self.batches, doc! { ID: id(position) }, Some(doc! { SEAL: 1 })).await?;
        found.map_or(Ok(false), |kept| Fields(kept).flag(SEAL))
    }

    /// Where a slot stands that was not looked at before.
    async fn first_head(&self, slot: u32) -> Result<Last, StoreError> {
        let trimmed = self.find_trimmed(slot).await?;
        let prefix = slot_prefix(slot);
        // The letter after the colon that the prefix ends with.
        let end = prefix.replace(':', ";");
        let last = self.last_of(doc! { "$gte": prefix, "$lt": end }).await?;
        Ok(match last {
            Some(last) if last.position >= trimmed => last,
            // Nothing is before the first epoch, so that it may begin.
            _ => Last { position: trimmed, is_seal: trimmed.epoch == 0 },
        })
    }

    /// The batch with the highest key in a range.
    async fn last_of(&self, range: mongodb::bson::Document) -> Result<Option<Last>, StoreError> {
        let find =
            self.batches.find_one(doc! { ID: range }).sort(doc! { ID: -1 }).projection(doc! { SEAL: 1 });
        let last = self.store.run(find).await.map_err(failed)?;
        last.map(|kept| to_last(&Fields(kept))).transpose()
    }
}

/// Where an epoch may be sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    /// The first number after its last batch.
    pub(super) free: Position,
    /// Where it is sealed already.
    pub(super) sealed: Option<Position>,
}

/// The keys of the batches that may come after a position: of the same epoch, or after a seal of the next one.
pub(super) fn next_numbers(last: Position, is_seal: bool, count: u64) -> Vec<String> {
    let (epoch, batch) = if is_seal { (last.epoch.saturating_add(1), 0) } else { (last.epoch, last.batch) };
    (1..=count)
        .map(|more| id(Position { slot: last.slot, epoch, batch: batch.saturating_add(more) }))
        .collect()
}

fn to_last(kept: &Fields) -> Result<Last, StoreError> {
    Ok(Last { position: to_position(kept)?, is_seal: kept.flag(SEAL)? })
}
