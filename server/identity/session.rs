//! A session as it is kept: one login of one person, in one tenant or on the staff.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::store::records::Record;
use crate::time::Timestamp;

/// One login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `ses_…`. It is not secret.
    pub id: String,
    /// Who logged in.
    pub user: String,
    /// In which tenant; empty: on the staff of the installation.
    pub tenant: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last used to get tokens.
    pub last_used_at: Timestamp,
    /// The network that it was last used from; empty: nobody knows.
    pub network: String,
    /// The number of the refresh token that is good; every smaller one was used.
    pub turn: u64,
    /// The first moment at which that is not good any more.
    pub expires_at: Timestamp,
    /// When the password was chosen that opened it. With another password it is over, also where a login and the change of
    /// the password met.
    pub password_at: Timestamp,
}

/// The index of sessions by person, then by age.
pub const USER: &str = "user";
/// The index of sessions by tenant, then by age.
pub const TENANT: &str = "tenant";
/// The index of sessions by the moment at which they expire.
pub const EXPIRY: &str = "expiry";

impl Session {
    /// What the values of a person's or a tenant's sessions in [`USER`] and [`TENANT`] start with. No id has a `/`.
    #[must_use]
    pub fn prefix(owner: &str) -> String {
        format!("{owner}/")
    }
}

impl Record for Session {
    const KIND: &'static str = "session";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let age = place(self.created_at);
        vec![
            (USER, format!("{}{age}", Self::prefix(&self.user))),
            (TENANT, format!("{}{age}", Self::prefix(&self.tenant))),
            (EXPIRY, place(self.expires_at)),
        ]
    }
}

/// The place of a moment in an index.
pub(super) fn place(at: Timestamp) -> String {
    format!("{:020}", at.micros().max(0))
}

/// The network of an address, as people call the place that somebody is at: the address itself, or the first 64 bits of an
/// IPv6 address, which are those of one house.
#[must_use]
pub fn network_of(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_the_address_or_the_first_half_of_a_long_one() {
        let check = |peer: &str, expected: &str| assert_eq!(network_of(peer.parse().unwrap()), expected);
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("::1", "::/64");
    }
}
