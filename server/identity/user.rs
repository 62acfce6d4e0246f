//! A person who can log in, as it is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;
use crate::store::records::Record;
use crate::time::Timestamp;

/// A person who can log in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `usr_…`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Where mail goes, and what the person logs in with.
    pub address: Address,
    /// When the address was confirmed; `None`: it was not, and there is no login.
    pub confirmed_at: Option<Timestamp>,
    /// The password's hash, in PHC form; empty: none was chosen yet, and there is no login.
    pub password: String,
    /// When the password was chosen.
    pub password_at: Timestamp,
    /// The second factor; `None`: a password is enough.
    pub second_factor: Option<SecondFactor>,
    /// Whether an operator suspended it.
    pub is_suspended: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// What made it: the same origin makes one user.
    pub origin: String,
    /// Its end; `None`: it was not deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// The end of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was deleted: from then on there is no login.
    pub at: Timestamp,
    /// When what is held on it ends.
    pub ends_at: Timestamp,
    /// Whether that has begun: the person does not come back.
    pub has_begun: bool,
    /// The tenant that the person is leaving meanwhile: what was begun there may not be finished. Empty: none, or the staff.
    pub leaving: String,
}

/// A second factor: codes that change with time (RFC 6238), and some that are good once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// The shared secret, sealed under the installation's own.
    pub sealed: String,
    /// When the person showed a first code of it; `None`: it was not shown yet, and a password is enough.
    pub confirmed_at: Option<Timestamp>,
    /// The last step whose code was used: none is good twice.
    pub used_step: u64,
    /// Digests of the recovery codes that are left.
    pub recovery: Vec<String>,
}

/// A log has no hash of a password, and no name.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("User");
        shown.field("id", &self.id).field("address", &self.address);
        shown.field("confirmed_at", &self.confirmed_at).field("is_suspended", &self.is_suspended);
        shown.finish_non_exhaustive()
    }
}

/// The unique index of users by address.
pub const ADDRESS: &str = "address";
/// The index of users by age.
pub const AGE: &str = "age";
/// The index of deleted users by the moment at which what is held on them ends.
pub const END: &str = "end";

impl Record for User {
    const KIND: &'static str = "user";

    fn id(&self) -> &str {
        &self.id
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        vec![(ADDRESS, self.address.key())]
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let moment = |at: Timestamp| format!("{:020}", at.micros().max(0));
        let mut ranges = vec![(AGE, moment(self.created_at))];
        ranges.extend(self.deletion.as_ref().map(|deletion| (END, moment(deletion.ends_at))));
        ranges
    }
}

impl std::fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactor").field("confirmed_at", &self.confirmed_at).finish_non_exhaustive()
    }
}
