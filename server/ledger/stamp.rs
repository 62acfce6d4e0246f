//! Places in the journals: what a document has absorbed, and where a record stands (rules A, F, H).

/// A batch of one slot's journal. Positions of one slot are ordered by epoch, then by batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Position {
    /// The writer's slot, 0 to 63.
    #[prost(uint32, tag = "1")]
    pub slot: u32,
    /// The slot's epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The batch's number in the epoch, from 1.
    #[prost(uint64, tag = "3")]
    pub batch: u64,
}

impl Position {
    /// Whether a document that stands at `positions` has absorbed this batch already.
    #[must_use]
    pub fn is_absorbed(&self, positions: &[Self]) -> bool {
        positions
            .iter()
            .any(|have| have.slot == self.slot && (have.epoch, have.batch) >= (self.epoch, self.batch))
    }

    /// Moves the document's position of this slot to this batch, never back.
    pub fn advance(&self, positions: &mut Vec<Self>) {
        match positions.iter_mut().find(|have| have.slot == self.slot) {
            Some(have) => *have = (*have).max(*self),
            None => positions.push(*self),
        }
    }
}

/// How far each slot is, one position a slot.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Positions {
    /// In no order.
    #[prost(message, repeated, tag = "1")]
    pub slots: Vec<Position>,
}

impl Positions {
    /// The position of a slot; before its first batch where nothing is known of it.
    #[must_use]
    pub fn of(&self, slot: u32) -> Position {
        let known = self.slots.iter().find(|position| position.slot == slot);
        known.copied().unwrap_or(Position { slot, epoch: 0, batch: 0 })
    }

    /// Moves a slot to this position, never back; answers whether it moved.
    pub fn advance(&mut self, position: Position) -> bool {
        let moved = position > self.of(position.slot);
        if moved {
            position.advance(&mut self.slots);
        }
        moved
    }

    /// Whether each of these slots is at least there.
    #[must_use]
    pub fn have_passed(&self, heads: &[Position]) -> bool {
        heads.iter().all(|head| head.batch == 0 || head.is_absorbed(&self.slots))
    }
}

impl From<Position> for Positions {
    fn from(position: Position) -> Self {
        Self { slots: vec![position] }
    }
}

/// One record of a batch (rule H).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The batch.
    pub position: Position,
    /// The record's place in the batch, from 0.
    pub place: u32,
}
