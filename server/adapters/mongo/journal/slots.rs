//! The slots themselves: who took each, whether its owner lives, and what of it is forgotten.

use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use crate::adapters::mongo::convert::{Fields, ID, signed, unreadable};
use crate::adapters::mongo::failure::{failed, is_duplicate};
use crate::adapters::mongo::journal::{MongoJournal, SEAL, id, position, slot_prefix};
use crate::ledger::journal::{JournalError, SLOTS, Slot};
use crate::ledger::stamp::Position;
use crate::store::StoreError;
use crate::time::Timestamp;

const EPOCH: &str = "epoch";
const BEAT: &str = "beat";
/// The last epoch that somebody has begun to seal.
const SEALING: &str = "sealing";
const LOW_WATER: &str = "low_water";
/// The key of the last batch that was forgotten; without it a slot whose batches are all gone would begin anew.
const TRIMMED: &str = "trimmed";

impl MongoJournal {
    /// Takes the lowest slot that is free. Of several that try, one has the epoch: each change is conditional on the one
    /// before it. One whose answer was lost is owned by nobody, never beats, and is sealed like that of a dead owner.
    pub(super) async fn take_free(&self, low_water: Timestamp) -> Result<Position, JournalError> {
        let taken = self.all_slots().await?;
        for slot in 0..SLOTS {
            let epoch = match taken.iter().find(|taken| taken.head.slot == slot) {
                None => self.begin(slot, low_water).await?,
                Some(free) if free.sealed => self.begin_next(free.head, low_water).await?,
                Some(_) => None,
            };
            if let Some(epoch) = epoch {
                return Ok(Position { slot, epoch, batch: 0 });
            }
        }
        Err(JournalError::NoSlot)
    }

    /// All slots that were ever taken. Their documents are read before their batches, so that a head is not older.
    pub(super) async fn all_slots(&self) -> Result<Vec<Slot>, StoreError> {
        let find = self.slots.find(doc! {}).sort(doc! { ID: 1 });
        let mut kept = Vec::new();
        for document in self.store.collect(find).await? {
            kept.push(Fields(document));
        }
        let numbers = kept.iter().map(slot_number).collect::<Result<Vec<_>, _>>()?;
        let heads = self.find_heads(&numbers).await?;
        let mut slots = Vec::with_capacity(kept.len());
        for (kept, last) in kept.iter().zip(heads) {
            self.see_trimmed(kept)?;
            let begun = Position { batch: 0, epoch: kept.unsigned(EPOCH)?, ..last.position };
            slots.push(Slot {
                head: last.position.max(begun),
                sealed: last.is_seal && last.position >= begun,
                beat: kept.unsigned(BEAT)?,
                low_water: Timestamp::from_micros(kept.signed(LOW_WATER)?),
            });
        }
        Ok(slots)
    }

    /// Says that an epoch is about to be sealed, so that an owner that lives stops: the seal needs the next free number, and
    /// who is busy takes each of them first. May be made again: it never falls.
    pub(super) async fn say_sealing(&self, epoch: Position) -> Result<(), StoreError> {
        let slot = doc! { ID: slot_id(epoch.slot) };
        let say = self.slots.update_one(slot, doc! { "$max": { SEALING: signed(epoch.epoch)? } });
        self.store.run(say).await.map_err(failed)?;
        Ok(())
    }

    /// Says that the owner of an epoch lives; `false`: the slot has a newer one, or this is about to be sealed. May be made again: it only has to change, and
    /// low-water never falls.
    pub(super) async fn say(&self, epoch: Position, low_water: Timestamp) -> Result<bool, StoreError> {
        let number = signed(epoch.epoch)?;
        let owned = doc! { ID: slot_id(epoch.slot), EPOCH: number, SEALING: { "$lt": number } };
        let change = doc! { "$inc": { BEAT: 1_i64 }, "$max": { LOW_WATER: low_water.micros() } };
        let say = self.slots.find_one_and_update(owned, change).return_document(ReturnDocument::After);
        let said = self.store.run(say).await.map_err(failed)?;
        said.map_or(Ok(false), |slot| self.see_trimmed(&Fields(slot)).map(|()| true))
    }

    /// The last batch of a slot that was forgotten.
    pub(super) async fn find_trimmed(&self, slot: u32) -> Result<Position, StoreError> {
        let kept = self.store.find_one(&self.slots, doc! { ID: slot_id(slot) }, None).await?;
        if let Some(kept) = kept {
            self.see_trimmed(&Fields(kept))?;
        }
        Ok(self.heads.trimmed(slot))
    }

    /// Forgets batches, but no seals (rule B): without one nobody would know that its epoch has ended. It is noted before they
    /// go, so that nobody takes what is left for a gap. May be made again: what is gone stays gone.
    pub(super) async fn forget(&self, through: Position) -> Result<(), StoreError> {
        let slot = doc! { ID: slot_id(through.slot) };
        let note = self.slots.update_one(slot, doc! { "$max": { TRIMMED: id(through) } });
        self.store.run(note).await.map_err(failed)?;
        self.heads.see_trimmed(through);
        let gone = doc! { ID: { "$gte": slot_prefix(through.slot), "$lte": id(through) }, SEAL: false };
        self.store.run(self.batches.delete_many(gone)).await.map_err(failed)?;
        Ok(())
    }

    /// The first epoch of a slot; `None`: somebody else has begun it.
    async fn begin(&self, slot: u32, low_water: Timestamp) -> Result<Option<u64>, StoreError> {
        let new = doc! {
            ID: slot_id(slot),
            EPOCH: 1_i64,
            BEAT: 0_i64,
            SEALING: 0_i64,
            LOW_WATER: low_water.micros(),
            TRIMMED: id(Position { slot, ..Position::default() }),
        };
        match self.store.run(self.slots.insert_one(new)).await {
            Ok(_) => Ok(Some(1)),
            Err(error) if is_duplicate(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The epoch after a sealed one; `None`: somebody else has begun it.
    async fn begin_next(&self, sealed: Position, low_water: Timestamp) -> Result<Option<u64>, StoreError> {
        let next = sealed.epoch.saturating_add(1);
        let change: Document = doc! {
            "$set": { EPOCH: signed(next)?, LOW_WATER: low_water.micros() },
            "$inc": { BEAT: 1_i64 },
        };
        let free = doc! { ID: slot_id(sealed.slot), EPOCH: signed(sealed.epoch)? };
        let taken = self.store.run(self.slots.update_one(free, change)).await.map_err(failed)?;
        Ok((taken.matched_count == 1).then_some(next))
    }

    fn see_trimmed(&self, slot: &Fields) -> Result<(), StoreError> {
        let trimmed = position(slot.text(TRIMMED)?);
        let trimmed = trimmed.ok_or_else(|| unreadable(TRIMMED, "it is no position of a journal"))?;
        self.heads.see_trimmed(trimmed);
        Ok(())
    }
}

fn slot_id(slot: u32) -> String {
    format!("{slot:02}")
}

fn slot_number(slot: &Fields) -> Result<u32, StoreError> {
    slot.text(ID)?.parse().map_err(|error| unreadable(ID, error))
}
