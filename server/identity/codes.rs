//! Codes that go by mail: whoever has one may do one thing, once, for a short time.
//!
//! A store holds their digests alone. A code is made of a seed under the installation's secret, so that work that is done
//! again makes the same code and the same letter.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use secrecy::SecretBox;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secrets::seal::{Seal, to_hex};
use crate::store::records::{Kept as Found, Record, Records};
use crate::store::{Documents, StoreError};
use crate::time::{Clock, DAY, HOUR, Timestamp};

/// 32 bytes in their text. What is longer is no code, and is not looked at.
const LENGTH: usize = 43;
/// The index of codes by their end.
const EXPIRY: &str = "expiry";
/// The index of codes by whom or what they are about. No id has a `/`.
const SUBJECT: &str = "subject";

/// What a code is good for. One of another purpose is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Confirming the address of an account.
    ConfirmAddress,
    /// Choosing a new password.
    ResetPassword,
    /// Giving an account another address.
    ChangeAddress,
    /// Accepting an invitation.
    Invitation,
    /// Letting in again who was locked out.
    Unlock,
}

impl Purpose {
    /// How long a code is good, in microseconds.
    #[must_use]
    pub const fn lifetime(self) -> i64 {
        match self {
            Self::ConfirmAddress => DAY,
            Self::ResetPassword | Self::ChangeAddress | Self::Unlock => HOUR,
            Self::Invitation => 7 * DAY,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ConfirmAddress => "confirm_address",
            Self::ResetPassword => "reset_password",
            Self::ChangeAddress => "change_address",
            Self::Invitation => "invitation",
            Self::Unlock => "unlock",
        }
    }
}

/// Makes codes, and knows its own again.
#[derive(Debug)]
pub struct Codes {
    codes: Records<Kept>,
    seal: Seal,
    clock: Arc<dyn Clock>,
}

/// A code as its owner gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    /// The code itself. It is secret.
    pub text: String,
    /// The first moment at which it is not good any more.
    pub until: Timestamp,
}

/// What a code that is good stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Whom or what it is about: an id.
    pub subject: String,
    /// What else is to be known when it is used; may be empty.
    pub detail: String,
    id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: String,
    purpose: Purpose,
    subject: String,
    detail: String,
    expires_at: Timestamp,
}

impl Record for Kept {
    const KIND: &'static str = "code";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(EXPIRY, place(self.expires_at)), (SUBJECT, format!("{}/", self.subject))]
    }
}

impl Codes {
    /// The codes in a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, secret: &SecretBox<[u8; 32]>, clock: Arc<dyn Clock>) -> Self {
        let codes = Records::new(Arc::clone(documents));
        Self { codes, seal: Seal::new(secret, "code"), clock }
    }

    /// Makes the code of a seed; again the same one, unless it was used meanwhile.
    pub async fn make(
        &self,
        purpose: Purpose,
        seed: Uuid,
        subject: &str,
        detail: &str,
    ) -> Result<Code, StoreError> {
        let text = self.seal.digest(&[b"text/", purpose.name().as_bytes(), b"/", seed.as_bytes()]);
        let text = BASE64URL_NOPAD.encode(&text);
        let (subject, detail) = (subject.to_owned(), detail.to_owned());
        let expires_at = self.clock.now().plus(purpose.lifetime());
        let kept = Kept { id: self.digest(purpose, &text), purpose, subject, detail, expires_at };
        self.codes.insert(&kept).await?;
        let first = self.codes.get(&kept.id).await?;
        Ok(Code { text, until: first.map_or(kept.expires_at, |first| first.record.expires_at) })
    }

    /// What a code stands for, without using it; `None`: it is not good.
    pub async fn look(&self, purpose: Purpose, code: &str) -> Result<Option<Meaning>, StoreError> {
        Ok(self.find(purpose, code).await?.map(|found| found.record.into()))
    }

    /// Uses a code up; `None`: it is not good. Of two who use it at once, one gets what it stands for.
    pub async fn take(&self, purpose: Purpose, code: &str) -> Result<Option<Meaning>, StoreError> {
        let Some(found) = self.find(purpose, code).await? else { return Ok(None) };
        let is_mine = self.codes.delete(&found.record.id, found.revision).await?;
        Ok(is_mine.then(|| found.record.into()))
    }

    /// Uses up a code that was looked at before; `false`: somebody else was faster.
    pub async fn finish(&self, meaning: &Meaning) -> Result<bool, StoreError> {
        // A code is never changed.
        self.codes.delete(&meaning.id, 1).await
    }

    /// Deletes all codes about somebody.
    pub async fn forget(&self, subject: &str) -> Result<(), StoreError> {
        self.codes.clear(SUBJECT, &format!("{subject}/"), |_| true).await
    }

    /// Deletes at most `limit` codes whose time is over; answers how many.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        self.codes.purge(EXPIRY, &place(self.clock.now()), limit).await
    }

    async fn find(&self, purpose: Purpose, code: &str) -> Result<Option<Found<Kept>>, StoreError> {
        if code.len() != LENGTH {
            return Ok(None);
        }
        let found = self.codes.get(&self.digest(purpose, code)).await?;
        let now = self.clock.now();
        Ok(found.filter(|found| found.record.purpose == purpose && now < found.record.expires_at))
    }

    fn digest(&self, purpose: Purpose, text: &str) -> String {
        to_hex(&self.seal.digest(&[b"kept/", purpose.name().as_bytes(), b"/", text.as_bytes()]))
    }
}

fn place(expires_at: Timestamp) -> String {
    format!("{:020}", expires_at.micros().max(0))
}

impl From<Kept> for Meaning {
    fn from(kept: Kept) -> Self {
        Self { subject: kept.subject, detail: kept.detail, id: kept.id }
    }
}

/// A log has no codes.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("until", &self.until).finish_non_exhaustive()
    }
}
