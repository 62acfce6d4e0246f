//! Something to be done for an address, as it is kept.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::mail::address::Address;
use crate::store::records::Record;
use crate::time::{DAY, HOUR, Timestamp};

/// Something to be done for an address.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Errand {
    /// What makes it one errand.
    pub(super) id: String,
    /// What all that it makes is made of.
    pub(super) seed: Uuid,
    /// What kind it is of, also when it is done.
    pub(super) kind: Kind,
    /// What is to be done; `None`: it is done, and nothing is known of the person any more.
    pub(super) wish: Option<Wish>,
    /// What stands for the address.
    pub(super) whom: String,
    /// What stands for what was asked for, so that a retry is told from another request.
    pub(super) content: String,
    /// When it was asked for.
    pub(super) created_at: Timestamp,
}

/// What kind an errand is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    SignUp,
    Confirm,
    Reset,
    ChangeAddress,
}

/// What is to be done.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wish {
    /// Make an account and its tenant; or tell the one who has the address.
    SignUp {
        address: Address,
        name: String,
        /// The password's hash.
        password: String,
        tenant_name: String,
        /// The plan that waits for a payment; empty: none.
        pending_plan: String,
    },
    /// Send the code that confirms an address once more.
    Confirm { address: Address },
    /// Send the code that allows a new password.
    Reset { address: Address },
    /// Send the code that confirms another address.
    ChangeAddress { user: String, stamp: String, address: Address },
}

/// The index of errands that are not done, by age.
pub(super) const OPEN: &str = "open";
/// The index of errands by kind and address, then by age.
pub(super) const WHOM: &str = "whom";
/// The index of errands by age.
pub(super) const AGE: &str = "age";

impl Kind {
    /// In which time an address is sent so many letters of a kind and no more. A code is good for as long, so that its owner
    /// has a good one even where somebody else had them all sent.
    pub(super) const fn window(self) -> i64 {
        match self {
            Self::SignUp | Self::Confirm => DAY,
            Self::Reset | Self::ChangeAddress => HOUR,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up",
            Self::Confirm => "confirm",
            Self::Reset => "reset",
            Self::ChangeAddress => "change_address",
        }
    }
}

impl Wish {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::SignUp { .. } => Kind::SignUp,
            Self::Confirm { .. } => Kind::Confirm,
            Self::Reset { .. } => Kind::Reset,
            Self::ChangeAddress { .. } => Kind::ChangeAddress,
        }
    }
}

impl Errand {
    /// What the values of an address' errands of a kind start with.
    pub(super) fn prefix(&self) -> String {
        format!("{}/{}/", self.kind.name(), self.whom)
    }

    /// The id of the letter that comes of it.
    pub(super) fn letter(&self) -> String {
        format!("{}/{}", self.kind.name(), self.seed.simple())
    }
}

impl Record for Errand {
    const KIND: &'static str = "errand";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let age = age(self.created_at);
        let mut ranges = vec![(WHOM, format!("{}{age}", self.prefix()))];
        if self.wish.is_some() {
            ranges.push((OPEN, age.clone()));
        }
        ranges.push((AGE, age));
        ranges
    }
}

/// A moment as the indexes have it.
pub(super) fn age(created_at: Timestamp) -> String {
    format!("{:020}", created_at.micros().max(0))
}

/// A log has no names and no hashes.
impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errand").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}
