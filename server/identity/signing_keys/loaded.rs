//! The signing keys as a server remembers them: opened, and ready to sign and to verify.

use std::fmt;

use jsonwebtoken::{DecodingKey, EncodingKey};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::ExposeSecret as _;

use crate::identity::signing_keys::key_set::{Duty, KeySet, Listed, SigningKey};
use crate::secrets::vault::Vault;
use crate::store::StoreError;
use crate::store::records::Kept;
use crate::time::Timestamp;

/// The signing keys at a revision of their document.
pub(in crate::identity) struct Loaded {
    revision: u64,
    set: KeySet,
    /// In the order of the set.
    halves: Vec<Halves>,
}

/// Both halves of a key.
struct Halves {
    private: EncodingKey,
    public: DecodingKey,
    public_bytes: Vec<u8>,
}

/// What is known of a key's id.
pub(in crate::identity) enum Known<'a> {
    /// It verifies.
    Good(&'a DecodingKey),
    /// Its tokens have ended.
    Ended,
    /// It is none of ours, or newer than what is known here.
    No,
}

impl Loaded {
    /// Opens what the store has.
    pub(super) fn open(kept: Kept<KeySet>, vault: &Vault) -> Result<Self, StoreError> {
        let halves = kept.record.keys.iter().map(|key| halves(key, vault)).collect::<Result<_, _>>()?;
        Ok(Self { revision: kept.revision, set: kept.record, halves })
    }

    /// The revision of the document.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    /// The key that signs at a moment, and its id. The first one also before its turn: the clock of who made it may be ahead.
    pub(in crate::identity) fn signer(&self, now: Timestamp) -> Option<(&str, &EncodingKey)> {
        let listed = self.set.listed(now);
        let place = listed.iter().position(|listed| listed.duty == Duty::Signing).unwrap_or_default();
        let (key, halves) = (self.set.keys.get(place)?, self.halves.get(place)?);
        Some((&key.id, &halves.private))
    }

    /// Whether the key of that id verifies at a moment.
    pub(in crate::identity) fn verifier(&self, id: &str, now: Timestamp) -> Known<'_> {
        let Some(place) = self.set.keys.iter().position(|key| key.id == id) else { return Known::No };
        match (self.set.duty(place, now), self.halves.get(place)) {
            (Duty::Ended, _) => Known::Ended,
            (_, Some(halves)) => Known::Good(&halves.public),
            (_, None) => Known::No,
        }
    }

    /// All keys that have not ended, oldest first, with their public halves.
    pub(super) fn listed(&self, now: Timestamp) -> Vec<(Listed, Vec<u8>)> {
        let public = self.halves.iter().map(|halves| halves.public_bytes.clone());
        let listed = self.set.listed(now).into_iter().zip(public);
        listed.filter(|(listed, _)| listed.duty != Duty::Ended).collect()
    }

    /// Since when the key signs that signs at a moment.
    pub(super) fn signs_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.set.signs_since(now)
    }
}

fn halves(key: &SigningKey, vault: &Vault) -> Result<Halves, StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(format!("signing key `{}`", key.id), why.to_owned());
    let opened = vault.open(&key.sealed).ok_or_else(|| corrupt("it was not sealed with this secret"))?;
    let pkcs8 = opened.expose_secret();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|error| corrupt(&error.to_string()))?;
    let public_bytes = pair.public_key().as_ref().to_vec();
    let (private, public) = (EncodingKey::from_ed_der(pkcs8), DecodingKey::from_ed_der(&public_bytes));
    Ok(Halves { private, public, public_bytes })
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("revision", &self.revision).finish_non_exhaustive()
    }
}
