//! Making, finding and changing people: each address, whatever its case, is one person's.

use std::sync::Arc;

use uuid::Uuid;

use crate::id;
use crate::identity::user::{ADDRESS, User};
use crate::mail::address::Address;
use crate::store::records::{Change, Records};
use crate::store::{Documents, Inserted, StoreError};
use crate::time::{Clock, Timestamp};

/// How often a change of an address is tried against what others change.
const ATTEMPTS_MAX: usize = 32;

/// All people.
#[derive(Debug)]
pub struct Users {
    users: Records<User>,
    clock: Arc<dyn Clock>,
}

/// Somebody to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What makes it: the same seed makes one person.
    pub seed: Uuid,
    /// The address; nobody else has it.
    pub address: Address,
    /// The name for people.
    pub name: String,
    /// The password's hash, in PHC form; empty: none was chosen.
    pub password: String,
    /// When the address was confirmed; `None`: it was not.
    pub confirmed_at: Option<Timestamp>,
}

/// How making somebody went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Making {
    /// The person was made now.
    Made(User),
    /// The same seed made the person before.
    MadeBefore(User),
    /// Somebody else has the address.
    AddressTaken,
}

/// How giving somebody another address went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moving {
    /// The person has it; how the person was before.
    Moved {
        /// Before.
        from: Box<User>,
    },
    /// Somebody else has it.
    AddressTaken,
    /// The person is gone, or is not any more as it was looked at.
    Otherwise,
}

impl Users {
    /// The people in a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self { users: Records::new(Arc::clone(documents)), clock }
    }

    /// Makes a person.
    pub async fn create(&self, new: NewUser) -> Result<Making, StoreError> {
        let now = self.clock.now();
        let user = User {
            id: id::from_seed("usr", new.seed),
            name: new.name,
            address: new.address,
            confirmed_at: new.confirmed_at,
            password: new.password,
            password_at: now,
            second_factor: None,
            is_suspended: false,
            created_at: now,
            origin: new.seed.simple().to_string(),
            deletion: None,
        };
        if self.users.insert(&user).await? == Inserted::Yes {
            return Ok(Making::Made(user));
        }
        let before = self.get(&user.id).await?.filter(|before| before.origin == user.origin);
        Ok(before.map_or(Making::AddressTaken, Making::MadeBefore))
    }

    /// The person with that id.
    pub async fn get(&self, id: &str) -> Result<Option<User>, StoreError> {
        Ok(self.users.get(id).await?.map(|kept| kept.record))
    }

    /// The person with that address, whatever its case.
    pub async fn with_address(&self, address: &Address) -> Result<Option<User>, StoreError> {
        Ok(self.users.get_by(ADDRESS, &address.key()).await?.map(|kept| kept.record))
    }

    /// The person with that address, whatever its case, unless it was deleted: then nobody is to be found there.
    pub async fn reachable(&self, address: &Address) -> Result<Option<User>, StoreError> {
        Ok(self.with_address(address).await?.filter(|user| user.deletion.is_none()))
    }

    /// Changes a person, but not the address; answers the person as it then stands, `None`: there is none.
    pub async fn update<E: From<StoreError>>(
        &self,
        id: &str,
        change: impl FnMut(&mut User) -> Result<Change, E> + Send,
    ) -> Result<Option<User>, E> {
        self.users.update(id, change).await
    }

    /// Gives a person another address, which was confirmed just now, if `still` holds of the person.
    pub async fn move_to(
        &self,
        id: &str,
        address: &Address,
        still: impl Fn(&User) -> bool + Send,
    ) -> Result<Moving, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(mut kept) = self.users.get(id).await?.filter(|kept| still(&kept.record)) else {
                return Ok(Moving::Otherwise);
            };
            let from = Box::new(kept.record.clone());
            kept.record.address = address.clone();
            kept.record.confirmed_at = Some(self.clock.now());
            if self.users.replace(&kept).await? {
                return Ok(Moving::Moved { from });
            }
            if self.with_address(address).await?.is_some_and(|other| other.id != id) {
                return Ok(Moving::AddressTaken);
            }
        }
        Err(StoreError::unavailable(format!("user `{id}` is changed by others all the time")))
    }
}
