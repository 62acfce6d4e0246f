//! The keys that tokens are signed with: one signs, the next is announced, and the old ones verify what they signed.
//!
//! They stand in one document that all servers share, sealed under the installation's secret, and each server remembers them.
//! One that meets a key it does not know asks the store, at most once a second.

mod key_set;
mod loaded;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use secrecy::SecretBox;
use tokio::sync::Mutex;

use crate::id;
use crate::identity::eddsa;
use crate::identity::signing_keys::key_set::{ID, KeySet, SigningKey};
use crate::secrets::vault::Vault;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Kept, Records};
use crate::store::{Documents, StoreError};
use crate::time::{Clock, DAY, SECOND, Timestamp};

pub use crate::identity::signing_keys::key_set::{
    ANNOUNCED, Duty, LEEWAY, Listed, TOKEN_LIFE_MAX, VERIFIES_ON,
};
pub(super) use crate::identity::signing_keys::loaded::{Known, Loaded};

/// How long a key signs.
pub const SIGNS_FOR: i64 = 30 * DAY;
/// The store is asked for keys that are not known here at most so often.
const ASKED_EVERY: i64 = SECOND;

/// The signing keys of the installation.
pub struct SigningKeys {
    records: Records<KeySet>,
    vault: Vault,
    teller: Teller,
    clock: Arc<dyn Clock>,
    loaded: RwLock<Arc<Loaded>>,
    is_outdated: AtomicBool,
    asked: Mutex<Option<Asked>>,
}

/// When the store was last asked for a key that is not known here.
#[derive(Clone, Copy)]
struct Asked {
    at: Timestamp,
    was_answered: bool,
}

/// A key as whoever verifies our tokens gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What it does, and when.
    pub listed: Listed,
    /// Its public half, 32 bytes.
    pub public: Vec<u8>,
}

/// Whether a rotation changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The announced key signs now, or when it was announced for five minutes.
    Yes,
    /// A key is about to sign already, or the one that signs has not signed for thirty days.
    NotYet,
}

impl SigningKeys {
    /// The keys of a store; makes the first ones where it has none. Servers that do so at once agree on one's.
    pub async fn open(
        documents: &Arc<dyn Documents>,
        clock: Arc<dyn Clock>,
        secret: &SecretBox<[u8; 32]>,
    ) -> Result<Self, StoreError> {
        eddsa::install();
        let records = Records::new(Arc::clone(documents));
        let vault = Vault::new(secret, "signing");
        let kept = match records.get(ID).await? {
            Some(kept) => kept,
            None => begin(&records, &vault, clock.now()).await?,
        };
        let loaded = Loaded::open(kept, &vault)?;
        Ok(Self {
            records,
            vault,
            teller: Teller::new(documents, Arc::clone(&clock)),
            clock,
            loaded: RwLock::new(Arc::new(loaded)),
            is_outdated: AtomicBool::new(false),
            asked: Mutex::new(None),
        })
    }

    /// The keys that sign, verify or will sign, oldest first.
    #[must_use]
    pub fn published(&self) -> Vec<Published> {
        let listed = self.loaded().listed(self.clock.now());
        listed.into_iter().map(|(listed, public)| Published { listed, public }).collect()
    }

    /// Lets the announced key sign as soon as everybody knows it, and announces another one.
    pub async fn rotate(&self) -> Result<Rotated, StoreError> {
        self.change(|_, _| true).await
    }

    /// Does so where the key that signs has signed for thirty days.
    pub async fn rotate_when_due(&self) -> Result<Rotated, StoreError> {
        let is_due = |since: Option<Timestamp>, now: Timestamp| {
            since.is_none_or(|since| now.since(since) >= SIGNS_FOR)
        };
        self.load().await?;
        let now = self.clock.now();
        if !is_due(self.loaded().signs_since(now), now) {
            return Ok(Rotated::NotYet);
        }
        self.change(|set, now| is_due(set.signs_since(now), now)).await
    }

    /// Tells that another server may have changed them; [`SigningKeys::refresh`] reads them then.
    pub(super) fn forget(&self) {
        self.is_outdated.store(true, Ordering::Release);
    }

    /// Reads the keys if they may have changed. After a failure they still may.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        if self.is_outdated.load(Ordering::Acquire) {
            self.load().await?;
            // Whoever hears of changes refreshes too, one after the other: none is told of in between.
            self.is_outdated.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Reads the keys for one that is not known here, unless that was done within the second. Who comes meanwhile waits.
    pub(super) async fn ask(&self) -> Result<(), StoreError> {
        let mut asked = self.asked.lock().await;
        let now = self.clock.now();
        if let Some(last) = asked.filter(|last| (0..ASKED_EVERY).contains(&now.since(last.at))) {
            if last.was_answered {
                return Ok(());
            }
            return Err(StoreError::unavailable("it did not answer a moment ago"));
        }
        // Kept before the answer: who gives up waiting has asked all the same.
        *asked = Some(Asked { at: now, was_answered: false });
        self.load().await?;
        *asked = Some(Asked { at: now, was_answered: true });
        Ok(())
    }

    /// The keys as they are known here.
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        // It is replaced whole, so a poisoned lock is still good.
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn change(
        &self,
        may: impl Fn(&KeySet, Timestamp) -> bool + Send + Sync,
    ) -> Result<Rotated, StoreError> {
        let now = self.clock.now();
        let fresh = fresh(&self.vault, now);
        let mut rotated = Rotated::NotYet;
        let change = self.records.update(ID, |set: &mut KeySet| {
            let is_changed = may(set, now) && set.rotate(fresh.clone(), now);
            rotated = if is_changed { Rotated::Yes } else { Rotated::NotYet };
            Ok::<_, StoreError>(if is_changed { Change::Keep } else { Change::None })
        });
        let kept = self.teller.tell(Subject::SigningKeys, change).await;
        // Also after a failure: the change may have been kept all the same.
        let loaded = self.load().await;
        kept?.ok_or_else(|| StoreError::unavailable("the signing keys are gone"))?;
        loaded?;
        Ok(rotated)
    }

    async fn load(&self) -> Result<(), StoreError> {
        let kept = self.records.get(ID).await?;
        let kept = kept.ok_or_else(|| StoreError::unavailable("the signing keys are gone"))?;
        let loaded = Loaded::open(kept, &self.vault)?;
        let mut known = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        // Of two who read at once the later one to come back may have read the older keys.
        if loaded.revision() > known.revision() {
            *known = Arc::new(loaded);
        }
        Ok(())
    }
}

/// Keeps the first keys, unless another server was first; answers those that are kept.
async fn begin(records: &Records<KeySet>, vault: &Vault, now: Timestamp) -> Result<Kept<KeySet>, StoreError> {
    records.insert(&KeySet::begin(fresh(vault, now), fresh(vault, now))).await?;
    records.get(ID).await?.ok_or_else(|| StoreError::unavailable("the signing keys come and go"))
}

fn fresh(vault: &Vault, now: Timestamp) -> SigningKey {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .expect("the system's randomness, which every secret here is made of, does not fail");
    SigningKey {
        id: id::fresh("sig"),
        sealed: vault.seal(pkcs8.as_ref()),
        announced_at: now,
        signs_from: None,
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("loaded", &self.loaded()).finish_non_exhaustive()
    }
}
