//! How far a sink is in a slot, as it is kept.

use prost::Message as _;

use crate::ledger::stamp::Position;
use crate::store::{Document, Documents, Replaced, StoreError};

const KIND: &str = "sink";

/// A cursor at a revision.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    id: String,
    /// The last batch that the broker has all of.
    pub(super) position: Position,
    /// Whether it was ever kept.
    pub(super) revision: u64,
}

impl Cursor {
    /// The cursor of a sink in a slot; at the beginning, where there is none.
    pub(super) async fn read(documents: &dyn Documents, sink: &str, slot: u32) -> Result<Self, StoreError> {
        let id = format!("{sink}/slot-{slot}");
        let Some(document) = documents.get(KIND, &id).await? else {
            return Ok(Self { id, position: Position { slot, ..Position::default() }, revision: 0 });
        };
        let position = Position::decode(document.body.as_slice())
            .map_err(|error| StoreError::corrupt(format!("the cursor `{id}`"), error))?;
        Ok(Self { id, position, revision: document.revision })
    }

    /// Moves it on and keeps it, never back: where another process reads the slot too, the one that is further wins.
    pub(super) async fn advance(
        &mut self,
        documents: &dyn Documents,
        position: Position,
    ) -> Result<(), StoreError> {
        while self.position < position {
            let document = Document {
                kind: KIND,
                id: self.id.clone(),
                revision: self.revision,
                body: position.encode_to_vec(),
                unique: Vec::new(),
                ranges: Vec::new(),
            };
            match documents.replace_many(vec![document]).await?.first() {
                Some(Replaced::Yes { revision }) => {
                    (self.position, self.revision) = (position, *revision);
                }
                Some(Replaced::Changed) | None => {
                    let (sink, slot) = self.id.rsplit_once("/slot-").unwrap_or_default();
                    debug_assert_eq!(slot, position.slot.to_string());
                    *self = Self::read(documents, sink, position.slot).await?;
                }
            }
        }
        Ok(())
    }
}
