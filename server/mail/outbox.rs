//! Letters that are not sent yet: kept with what they are about, sent behind the answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mail::letter::Letter;
use crate::store::records::{Record, Records};
use crate::store::{Documents, StoreError};
use crate::time::{Clock, Timestamp};

/// The index of letters by when they are due.
const DUE: &str = "due";

/// A letter that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What makes it one letter: the same id is one letter.
    pub id: String,
    /// The letter.
    pub letter: Letter,
    /// When it was written.
    pub written_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

impl Record for Waiting {
    const KIND: &'static str = "letter";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(DUE, format!("{:020}", self.due_at.micros().max(0)))]
    }
}

/// Letters that are not sent yet.
#[derive(Debug)]
pub struct Outbox {
    letters: Records<Waiting>,
    clock: Arc<dyn Clock>,
}

impl Outbox {
    /// The outbox of a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self { letters: Records::new(Arc::clone(documents)), clock }
    }

    /// Keeps a letter, to be sent soon. The same id again is the same letter, while it waits.
    pub async fn post(&self, id: &str, letter: Letter) -> Result<(), StoreError> {
        let now = self.clock.now();
        let waiting = Waiting { id: id.to_owned(), letter, written_at: now, due_at: now, tries: 0 };
        self.letters.insert(&waiting).await.map(|_| ())
    }
}
