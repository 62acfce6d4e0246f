//! Hashes passwords, a few at a time: each takes megabytes and milliseconds, and a flood of logins must starve nobody else.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::fault::{Fault, Reason};
use crate::identity::hasher::workers::Workers;
use crate::identity::password::Password;

mod workers;

/// How many may wait for their turn. With a turn of 20 ms, the last of them waits for about a second on one core.
const WAITING_MAX: usize = 32;
/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a hash costs: argon2id (RFC 9106). A hash that was made at another cost is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory, 8 or more for each lane.
    pub memory_kib: NonZeroU32,
    /// Passes over the memory.
    pub passes: NonZeroU32,
    /// Lanes, worked on one after the other.
    pub lanes: NonZeroU32,
}

/// Hashes passwords.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    /// A hash of no password, for those whom nobody knows.
    nobody: Arc<str>,
    workers: Workers,
    /// Who has a turn or waits for one.
    places: Arc<Semaphore>,
}

/// Whether a password is the one of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is another one.
    No,
    /// It is.
    Yes,
    /// It is, and the hash was made at another cost: it is to be made anew.
    Outdated,
}

/// Why nothing was hashed.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// Too many wait for their turn.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The cost cannot be had.
    #[error("passwords cannot be hashed at this cost: {0}")]
    Cost(String),
    /// A hash in the store is none.
    #[error("a password's hash cannot be read: {0}")]
    Unreadable(String),
    /// There are no threads for it.
    #[error("no threads for hashing passwords can be started")]
    Threads(#[source] std::io::Error),
    /// A thread ended in the middle of it.
    #[error("a password's hash was not finished")]
    CutOff,
}

impl Fault for HasherError {
    fn reason(&self) -> Reason {
        match self {
            Self::Busy => Reason::HashingBusy,
            Self::Cost(_) | Self::Threads(_) | Self::Unreadable(_) | Self::CutOff => Reason::Internal,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Busy).then_some(RETRY_AFTER)
    }
}

impl Hasher {
    /// A hasher at that cost, that works on at most so many passwords at once.
    pub fn new(cost: Cost, at_once: usize) -> Result<Self, HasherError> {
        let wrong = |error: argon2::Error| HasherError::Cost(error.to_string());
        let params = Params::new(cost.memory_kib.get(), cost.passes.get(), cost.lanes.get(), None);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(wrong)?);
        let nobody = hash(&argon2, &rand::random::<[u8; 32]>())?;
        let places = at_once.saturating_add(WAITING_MAX);
        Ok(Self {
            argon2,
            nobody: nobody.into(),
            workers: Workers::start("hasher", at_once).map_err(HasherError::Threads)?,
            places: Arc::new(Semaphore::new(places)),
        })
    }

    /// The hash of a password, in PHC form, with a salt of its own.
    pub async fn hash(&self, password: Password) -> Result<String, HasherError> {
        let argon2 = self.argon2.clone();
        self.in_turn(move || hash(&argon2, password.bytes())).await
    }

    /// Whether a password is the one of a hash.
    pub async fn verify(&self, password: Password, phc: &str) -> Result<Verified, HasherError> {
        let (argon2, phc) = (self.argon2.clone(), phc.to_owned());
        self.in_turn(move || verify(&argon2, &password, &phc)).await
    }

    /// The same work for somebody who has no hash, so that time does not tell.
    pub async fn verify_nobody(&self, password: Password) -> Result<(), HasherError> {
        let nobody = Arc::clone(&self.nobody);
        self.verify(password, &nobody).await.map(|_| ())
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HasherError> + Send + 'static,
    ) -> Result<T, HasherError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| HasherError::Busy)?;
        // Whoever waits may go away; the work goes on, and its place is not another's before it ends.
        let done = self.workers.run(move || {
            let _place = place;
            work()
        });
        done.await.ok_or(HasherError::CutOff)?
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> Result<String, HasherError> {
    let hash = argon2.hash_password(password).map_err(|error| HasherError::Cost(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify(argon2: &Argon2<'_>, password: &Password, phc: &str) -> Result<Verified, HasherError> {
    let unreadable = |error: HashError| HasherError::Unreadable(error.to_string());
    let kept = PasswordHash::new(phc).map_err(|error| HasherError::Unreadable(error.to_string()))?;
    match argon2.verify_password(password.bytes(), &kept) {
        Ok(()) => {}
        Err(HashError::PasswordInvalid) => return Ok(Verified::No),
        Err(error) => return Err(unreadable(error)),
    }
    let (params, wanted) = (Params::try_from(&kept).map_err(unreadable)?, argon2.params());
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let is_current = cost(&params) == cost(wanted) && kept.algorithm.as_str() == "argon2id";
    Ok(if is_current { Verified::Yes } else { Verified::Outdated })
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("places", &self.places).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn number(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    fn hasher(memory_kib: u32) -> Hasher {
        let cost = Cost { memory_kib: number(memory_kib), passes: number(1), lanes: number(1) };
        Hasher::new(cost, 1).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::given(&SecretString::from(text)).unwrap()
    }

    #[tokio::test]
    async fn only_its_own_password_is_that_of_a_hash() {
        let hasher = hasher(64);
        let phc = hasher.hash(password("correct horse")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$") && !phc.contains("horse"), "{phc}");
        assert_ne!(phc, hasher.hash(password("correct horse")).await.unwrap(), "each has a salt of its own");
        assert_eq!(hasher.verify(password("correct horse"), &phc).await.unwrap(), Verified::Yes);
        assert_eq!(hasher.verify(password("correct house"), &phc).await.unwrap(), Verified::No);
        hasher.verify_nobody(password("correct horse")).await.unwrap();
        let broken = hasher.verify(password("correct horse"), "$argon2id$").await;
        assert!(matches!(broken, Err(HasherError::Unreadable(_))));
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_good_and_outdated() {
        let phc = hasher(64).hash(password("correct horse")).await.unwrap();
        let dearer = hasher(128);
        assert_eq!(dearer.verify(password("correct horse"), &phc).await.unwrap(), Verified::Outdated);
        assert_eq!(dearer.verify(password("correct house"), &phc).await.unwrap(), Verified::No);
    }

    #[tokio::test]
    async fn more_than_can_wait_are_turned_away() {
        let hasher = hasher(64);
        let (go, started) = std::sync::mpsc::channel::<()>();
        let mut turn = Box::pin(hasher.in_turn(move || Ok(started.recv())));
        assert!(futures_util::poll!(&mut turn).is_pending());
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| hasher.hash(password("correct horse"))).collect();
        let waiting = futures_util::future::join_all(waiting);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let busy = hasher.hash(password("correct horse")).await.unwrap_err();
        assert!(matches!(busy, HasherError::Busy) && busy.retry_after().is_some());
        go.send(()).unwrap();
        assert!(turn.await.is_ok());
        assert!(waiting.await.iter().all(Result::is_ok), "those who wait have their turn");
    }

    #[test]
    fn cost_that_cannot_be_had_is_said() {
        let cost = Cost { memory_kib: number(1), passes: number(1), lanes: number(1) };
        assert!(matches!(Hasher::new(cost, 1), Err(HasherError::Cost(_))));
    }
}
