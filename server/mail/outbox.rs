//! Letters that are not sent yet: kept with what they are about, sealed, because codes stand in them; sent behind the answer.

use std::error::Error;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::mail::address::Address;
use crate::mail::letter::Letter;
use crate::secrets::vault::Vault;
use crate::store::records::{Kept, Range, Record, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, MINUTE, Timestamp};

/// The index of letters by when they are due.
const DUE: &str = "due";
/// The index of letters by the address that they go to.
const TO: &str = "to";
/// How long a letter is left to whoever took it to send it: longer than any sending takes. Who ended meanwhile has it sent
/// again by another.
const TAKEN: i64 = 5 * MINUTE;

/// A letter that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What makes it one letter: the same id is one letter.
    pub id: String,
    /// The letter.
    pub letter: Letter,
    /// When it was written.
    pub written_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

/// A letter as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sealed {
    id: String,
    /// The key of the address that it goes to.
    to: String,
    /// The letter, as only this installation can read it.
    letter: String,
    written_at: Timestamp,
    /// When it is tried next.
    due_at: Timestamp,
    tries: u32,
}

impl Record for Sealed {
    const KIND: &'static str = "letter";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(DUE, format!("{:020}", self.due_at.micros().max(0))), (TO, self.to.clone())]
    }
}

/// Letters that are not sent yet.
#[derive(Debug)]
pub struct Outbox {
    letters: Records<Sealed>,
    vault: Vault,
    posted: Notify,
    clock: Arc<dyn Clock>,
}

/// A letter that is this server's to send, for some minutes.
#[derive(Clone, Debug)]
pub struct Taken {
    kept: Kept<Sealed>,
    waiting: Waiting,
}

impl Taken {
    /// The letter. This try is counted.
    #[must_use]
    pub const fn waiting(&self) -> &Waiting {
        &self.waiting
    }
}

impl Outbox {
    /// The outbox of a store. A server has one, so that what is posted is sent at once.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, secret: &SecretBox<[u8; 32]>, clock: Arc<dyn Clock>) -> Self {
        let (letters, vault) = (Records::new(Arc::clone(documents)), Vault::new(secret, "letters"));
        Self { letters, vault, posted: Notify::new(), clock }
    }

    /// Keeps a letter, to be sent soon. The same id again is the same letter, while it waits.
    pub async fn post(&self, id: &str, letter: Letter) -> Result<(), StoreError> {
        let now = self.clock.now();
        let text = serde_json::to_vec(&letter).map_err(|error| StoreError::corrupt("a letter", error))?;
        let (id, to, letter) = (id.to_owned(), letter.to.key(), self.vault.seal(&text));
        self.letters.insert(&Sealed { id, to, letter, written_at: now, due_at: now, tries: 0 }).await?;
        self.posted.notify_one();
        Ok(())
    }

    /// Returns when a letter was posted here since it was last asked.
    pub async fn posted(&self) {
        self.posted.notified().await;
    }

    /// The ids of at most `limit` letters that are due, those that wait longest first.
    pub async fn due(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let range = Range { index: DUE, prefix: "", order: Order::Ascending, after: None };
        let page = self.letters.page(range, limit).await?;
        let now = self.clock.now();
        let due = page.records.into_iter().filter(|waiting| waiting.due_at <= now);
        Ok(due.map(|waiting| waiting.id).collect())
    }

    /// Takes a letter for this server to send. `None`: another has it, or it is not due any more.
    pub async fn take(&self, id: &str) -> Result<Option<Taken>, StoreError> {
        let now = self.clock.now();
        let Some(mut kept) = self.letters.get(id).await? else { return Ok(None) };
        if kept.record.due_at > now {
            return Ok(None);
        }
        kept.record.tries = kept.record.tries.saturating_add(1);
        kept.record.due_at = now.plus(TAKEN);
        if !self.letters.replace(&kept).await? {
            return Ok(None);
        }
        kept.revision = kept.revision.saturating_add(1);
        let waiting = self.open(&kept.record)?;
        Ok(Some(Taken { kept, waiting }))
    }

    fn open(&self, sealed: &Sealed) -> Result<Waiting, StoreError> {
        let corrupt = |why: Box<dyn Error + Send + Sync>| {
            StoreError::corrupt(format!("the letter `{}`", sealed.id), why)
        };
        let text =
            self.vault.open(&sealed.letter).ok_or_else(|| corrupt("it was sealed by another".into()))?;
        // What the parser says of it might quote it.
        let letter =
            serde_json::from_slice(text.expose_secret()).map_err(|_| corrupt("it is no letter".into()))?;
        let Sealed { id, written_at, tries, .. } = sealed.clone();
        Ok(Waiting { id, letter, written_at, tries })
    }

    /// Puts a letter back, to be tried at that moment.
    pub async fn put_back(&self, taken: Taken, due_at: Timestamp) -> Result<(), StoreError> {
        let mut kept = taken.kept;
        kept.record.due_at = due_at;
        // Where it has changed it took longer than it was left to us, and another sees to it.
        self.letters.replace(&kept).await.map(|_| ())
    }

    /// Removes all letters to an address. One that is being sent may arrive.
    pub async fn forget(&self, address: &Address) -> Result<(), StoreError> {
        let key = address.key();
        // Another address may begin with it.
        self.letters.clear(TO, &key, |sealed| sealed.to == key).await
    }

    /// Removes a letter, and its code with it.
    pub async fn remove(&self, taken: &Taken) -> Result<(), StoreError> {
        self.letters.delete(&taken.kept.record.id, taken.kept.revision).await.map(|_| ())
    }
}
