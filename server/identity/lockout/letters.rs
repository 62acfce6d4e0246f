//! The letter that tells an owner of a lock, and its code, which opens it.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use secrecy::SecretBox;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::identity::lockout::lock::moment;
use crate::identity::user::User;
use crate::mail::letter::{Letter, Subject};
use crate::mail::outbox::Outbox;
use crate::secrets::seal::{Seal, to_hex};
use crate::store::records::{Kept, Record, Records};
use crate::store::{Documents, Inserted, StoreError};
use crate::time::{Clock, HOUR, Timestamp};

/// What the digests of codes are made for: a code of another letter is none here.
const PURPOSE: &str = "unlock code";
/// How long a code is good, and so how long no other letter is sent.
const LIFE: i64 = HOUR;
/// The unique index of codes.
const CODE: &str = "code";
/// The index by age.
const AGE: &str = "age";

/// The last letter about an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// The digest of the account.
    id: String,
    /// The digest of the code; `None`: it was used.
    code: Option<String>,
    at: Timestamp,
}

impl Record for Told {
    const KIND: &'static str = "lock_letter";

    fn id(&self) -> &str {
        &self.id
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        self.code.iter().map(|code| (CODE, code.clone())).collect()
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, moment(self.at))]
    }
}

/// Letters about locks.
#[derive(Debug)]
pub(super) struct LockLetters {
    told: Records<Told>,
    outbox: Arc<Outbox>,
    seal: Seal,
    clock: Arc<dyn Clock>,
}

impl LockLetters {
    pub(super) fn new(
        documents: &Arc<dyn Documents>,
        outbox: Arc<Outbox>,
        secret: &SecretBox<[u8; 32]>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let told = Records::new(Arc::clone(documents));
        Self { told, outbox, seal: Seal::new(secret, PURPOSE), clock }
    }

    /// Tells the owner, unless that was done in the last hour.
    pub(super) async fn tell(&self, account: &str, owner: &User, until: Timestamp) {
        match self.try_to_tell(account, owner, until).await {
            Ok(true) => info!(user = owner.id, "user `{}` is told that tries to log in wait", owner.id),
            Ok(false) => {}
            Err(error) => {
                warn!(user = owner.id, error = %error, "user `{}` is not told of a lock: {error}", owner.id);
            }
        }
    }

    /// The account that a code was sent for. It is good once.
    pub(super) async fn redeem(&self, code: &str) -> Result<Option<String>, StoreError> {
        let Some(mut kept) = self.told.get_by(CODE, &self.digest(code)).await? else { return Ok(None) };
        if self.clock.now().since(kept.record.at) >= LIFE {
            return Ok(None);
        }
        kept.record.code = None;
        Ok(self.told.replace(&kept).await?.then_some(kept.record.id))
    }

    pub(super) async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.told.purge(AGE, &moment(now.minus(LIFE)), limit).await
    }

    async fn try_to_tell(&self, account: &str, owner: &User, until: Timestamp) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let code = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        let told = Told { id: account.to_owned(), code: Some(self.digest(&code)), at: now };
        let is_first = match self.told.get(account).await? {
            Some(before) if now.since(before.record.at) < LIFE => false,
            Some(Kept { revision, .. }) => self.told.replace(&Kept { record: told, revision }).await?,
            None => self.told.insert(&told).await? == Inserted::Yes,
        };
        if is_first {
            let subject = Subject::Locked { until, code };
            let letter = Letter { to: owner.address.clone(), name: owner.name.clone(), subject };
            self.outbox.post(&format!("locked-{account}-{}", now.micros()), letter).await?;
        }
        Ok(is_first)
    }

    fn digest(&self, code: &str) -> String {
        to_hex(&self.seal.digest(&[code.as_bytes()]))
    }
}
