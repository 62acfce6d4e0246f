//! An invitation as it is kept.

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;
use crate::store::records::Record;
use crate::time::Timestamp;

/// Somebody is asked to join a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// `ivt_…`.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Who is invited.
    pub address: Address,
    /// As what: the name of a role.
    pub role: String,
    /// The person who invites; empty: it was no person.
    pub by: String,
    /// What became of it.
    pub state: InvitationState,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first moment at which it is not good any more.
    pub expires_at: Timestamp,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// It waits.
    Open,
    /// Who was invited has joined.
    Accepted,
    /// It was taken back, or another one for the same address took its place.
    Revoked,
}

/// The unique index of open invitations by tenant and address.
pub const OPEN: &str = "open";
/// The index of invitations by tenant, then by age.
pub const TENANT: &str = "tenant";
/// The index of open invitations by tenant, then by age.
pub const WAITING: &str = "waiting";
/// The index of invitations by who is invited.
pub const ADDRESS: &str = "address";
/// The index of invitations by their end.
pub const EXPIRY: &str = "expiry";

impl Invitation {
    /// What the values of a tenant's invitations in the indexes start with.
    #[must_use]
    pub fn prefix(tenant: &str) -> String {
        format!("{tenant}/")
    }

    /// The value of the open invitation of an address in [`OPEN`].
    #[must_use]
    pub fn open(tenant: &str, address: &Address) -> String {
        format!("{tenant}/{}", address.key())
    }

    /// Whether it can be accepted.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.state == InvitationState::Open && now < self.expires_at
    }
}

impl Record for Invitation {
    const KIND: &'static str = "invitation";

    fn id(&self) -> &str {
        &self.id
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        match self.state {
            InvitationState::Open => vec![(OPEN, Self::open(&self.tenant, &self.address))],
            InvitationState::Accepted | InvitationState::Revoked => Vec::new(),
        }
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let of_tenant = format!("{}{:020}", Self::prefix(&self.tenant), self.created_at.micros().max(0));
        let mut ranges =
            vec![(EXPIRY, format!("{:020}", self.expires_at.micros().max(0))), (ADDRESS, self.address.key())];
        if self.state == InvitationState::Open {
            ranges.push((WAITING, of_tenant.clone()));
        }
        ranges.push((TENANT, of_tenant));
        ranges
    }
}
