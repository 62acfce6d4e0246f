//! Rotating a key: another one that may do the same takes its place, and both are good for a while.

use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::fault::{Invalid, Violation};
use crate::id;
use crate::identity::api_key::ApiKey;
use crate::identity::caller::Caller;
use crate::identity::credential;
use crate::identity::keys::{Keys, KeysError, check};
use crate::secrets::seal::to_hex;
use crate::time::{DAY, Timestamp};

/// The longest time that both keys are good, in microseconds.
pub const OVERLAP_MAX: i64 = 30 * DAY;

/// How a key is to be rotated.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// The new key's id is made of it: the same seed makes one key.
    pub seed: Uuid,
    /// How long the old key is good beside the new one, in microseconds.
    pub overlap: i64,
    /// The first moment at which the new key is not good any more; `None`: as the old one.
    pub expires_at: Option<Timestamp>,
}

impl Keys {
    /// Rotates a key that is the caller's. Answers the new key, its secret this once, and the old one.
    ///
    /// The old key names the one that takes its place: of two rotations at once one wins, and the other's key is revoked
    /// before anybody was told its secret.
    pub async fn rotate(
        &self,
        caller: &Caller,
        id: &str,
        rotation: Rotation,
    ) -> Result<(ApiKey, Option<SecretString>, ApiKey), KeysError> {
        let now = self.clock.now();
        check(rotation, now)?;
        let found = self.get(caller, id).await?;
        check::is_covered(&found, caller)?;
        let successor = id::from_seed("key", rotation.seed);
        may_rotate(&found, &successor, now)?;
        let secret = credential::fresh(found.kind, rotation.seed);
        let key = ApiKey {
            id: successor.clone(),
            created_at: now,
            expires_at: rotation.expires_at.or(found.expires_at),
            used_at: None,
            rotated_to: None,
            digest: to_hex(&self.keyring.digest(secret.expose_secret())),
            ..found.clone()
        };
        let (key, secret) = self.keep(key, secret).await?;
        let rotated = self.replace(&found, |old| {
            may_rotate(old, &successor, now)?;
            if old.rotated_to.is_none() {
                let end = now.plus(rotation.overlap);
                old.expires_at = Some(old.expires_at.map_or(end, |expires_at| expires_at.min(end)));
                old.rotated_to = Some(successor.clone());
            }
            Ok(())
        });
        match rotated.await {
            Ok(rotated) => Ok((key, secret, rotated)),
            Err(error @ KeysError::Ended(_)) => {
                self.replace(&key, |key| {
                    key.revoked_at.get_or_insert(now);
                    Ok(())
                })
                .await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a key can be rotated to that one, or was: then a retry is answered, also when the overlap is over.
fn may_rotate(key: &ApiKey, successor: &str, now: Timestamp) -> Result<(), KeysError> {
    let is_over = key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= now);
    match &key.rotated_to {
        Some(other) if other == successor => Ok(()),
        None if !is_over => Ok(()),
        _ => Err(KeysError::Ended(key.id.clone())),
    }
}

fn check(rotation: Rotation, now: Timestamp) -> Result<(), Invalid> {
    let mut found = Vec::new();
    check::check_end(rotation.expires_at, now, &mut found);
    if !(0..=OVERLAP_MAX).contains(&rotation.overlap) {
        let description = format!("must be 0 to {} days", OVERLAP_MAX / DAY);
        found.push(Violation { field: String::from("overlap"), description });
    }
    if found.is_empty() { Ok(()) } else { Err(Invalid(found)) }
}
