//! What may be another one each time that it is needed.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::{ExposeSecret as _, SecretString};

/// A value that may be replaced while the program runs. Whoever uses it asks for it each time; clones share it.
pub struct Current<T>(Arc<RwLock<T>>);

impl<T: Clone> Current<T> {
    /// The first value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> T {
        // It is replaced as a whole, so a panic elsewhere cannot have left half of one.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another value, for whoever asks from now on.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// It may be a secret of any type.
impl<T> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

/// By what a server knows us.
#[derive(Clone, Debug)]
pub struct Login {
    /// Our name there.
    pub username: String,
    /// Our password there.
    pub password: SecretString,
}

/// Whether two secrets are the same, for those who have both: the time that it takes tells where they differ.
#[must_use]
pub fn same(left: &SecretString, right: &SecretString) -> bool {
    left.expose_secret() == right.expose_secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_sees_the_next_value_and_nobody_prints_it() {
        let current = Current::new(String::from("first s3cret"));
        let shared = current.clone();
        current.set(String::from("second s3cret"));
        assert_eq!("second s3cret", shared.get());
        assert!(!format!("{current:?}").contains("s3cret"));
    }
}
