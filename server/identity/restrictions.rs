//! Where a key is good: which services calls with it may be about, and which networks it may be sent from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Reason, Violation};
use crate::gate::decision::DenialReason;
use crate::identity::network::Network;

/// Entries of each list, at most: they are looked through at each call.
const ENTRIES_MAX: usize = 32;
const SERVICE_BYTES_MAX: usize = 128;

/// Where a key is good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restrictions {
    /// The services that calls with it may be about; empty: all.
    #[serde(default)]
    pub services: Vec<String>,
    /// The networks that it may be sent from; empty: all.
    #[serde(default)]
    pub networks: Vec<Network>,
}

/// A key is not allowed that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRestricted {
    /// It was sent from another network.
    #[error("the API key is not allowed this network")]
    Network,
    /// The call is about another service.
    #[error("the API key is not allowed this service")]
    Service,
}

impl KeyRestricted {
    /// The same where a decision was asked for.
    #[must_use]
    pub const fn denial(self) -> DenialReason {
        match self {
            Self::Network => DenialReason::ApiKeyNetwork,
            Self::Service => DenialReason::ApiKeyService,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Service => "service",
        }
    }
}

impl Fault for KeyRestricted {
    fn reason(&self) -> Reason {
        Reason::ApiKeyRestricted
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("restriction", self.name().to_owned())]
    }
}

impl Restrictions {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.services.is_empty() && self.networks.is_empty()
    }

    /// Whether a call may be about that service.
    #[must_use]
    pub fn allows_service(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|allowed| allowed == service)
    }

    /// Whether the key may be sent from that address; one that nobody knows is in no network.
    #[must_use]
    pub fn allows_peer(&self, peer: Option<IpAddr>) -> bool {
        let inside = |peer| self.networks.iter().any(|network| network.contains(peer));
        self.networks.is_empty() || peer.is_some_and(inside)
    }

    /// Whether whatever this allows is allowed by that too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let services = other.services.is_empty()
            || !self.services.is_empty() && self.services.iter().all(|service| other.allows_service(service));
        let covered = |network: &Network| other.networks.iter().any(|outer| network.is_within(outer));
        let networks =
            other.networks.is_empty() || !self.networks.is_empty() && self.networks.iter().all(covered);
        services && networks
    }
}

/// The services of a request; what is wrong with them is added to `found`.
#[must_use]
pub fn services(names: &[String], found: &mut Vec<Violation>) -> Vec<String> {
    few("allowed_services", names.len(), found);
    let mut services: Vec<String> = Vec::new();
    for (place, name) in names.iter().take(ENTRIES_MAX).enumerate() {
        if name.is_empty() || name.len() > SERVICE_BYTES_MAX {
            let description = format!("must have 1 to {SERVICE_BYTES_MAX} bytes");
            found.push(Violation { field: format!("allowed_services[{place}]"), description });
        } else if !services.contains(name) {
            services.push(name.clone());
        }
    }
    services
}

/// The networks of a request; what is wrong with them is added to `found`.
#[must_use]
pub fn networks(texts: &[String], found: &mut Vec<Violation>) -> Vec<Network> {
    few("allowed_networks", texts.len(), found);
    let mut networks = Vec::new();
    for (place, text) in texts.iter().take(ENTRIES_MAX).enumerate() {
        match text.parse::<Network>() {
            Ok(network) if networks.contains(&network) => {}
            Ok(network) => networks.push(network),
            Err(error) => found.push(Violation {
                field: format!("allowed_networks[{place}]"),
                description: error.to_string(),
            }),
        }
    }
    networks
}

fn few(field: &str, entries: usize, found: &mut Vec<Violation>) {
    if entries > ENTRIES_MAX {
        let description = format!("has {entries} entries; at most {ENTRIES_MAX} are allowed");
        found.push(Violation { field: field.to_owned(), description });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restrictions(services: &[&str], networks: &[&str]) -> Restrictions {
        Restrictions {
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_is_not_named_is_not_allowed() {
        let all = restrictions(&[], &[]);
        assert!(all.is_empty() && all.allows_service("x") && all.allows_peer(None));
        let some = restrictions(&["search", "mail"], &["10.0.0.0/8", "2001:db8::/32"]);
        for (service, expected) in [("search", true), ("mail", true), ("searc", false), ("Search", false)] {
            assert_eq!(some.allows_service(service), expected, "{service}");
        }
        for (peer, expected) in
            [("10.255.0.1", true), ("11.0.0.1", false), ("2001:db8::7", true), ("::1", false)]
        {
            assert_eq!(some.allows_peer(Some(peer.parse().unwrap())), expected, "{peer}");
        }
        assert!(!some.allows_peer(None), "an address that nobody knows");
    }

    #[test]
    fn nothing_wider_is_within() {
        let check = |inner: (&[&str], &[&str]), outer: (&[&str], &[&str]), expected: bool| {
            let is_within = restrictions(inner.0, inner.1).is_within(&restrictions(outer.0, outer.1));
            assert_eq!(is_within, expected, "{inner:?} in {outer:?}");
        };
        check((&[], &[]), (&[], &[]), true);
        check((&["a"], &["10.1.0.0/16"]), (&[], &[]), true);
        check((&["a"], &[]), (&["a", "b"], &[]), true);
        check((&["a", "c"], &[]), (&["a", "b"], &[]), false);
        check((&[], &[]), (&["a"], &[]), false);
        check((&[], &["10.1.0.0/16"]), (&[], &["10.0.0.0/8"]), true);
        check((&[], &["10.0.0.0/8"]), (&[], &["10.1.0.0/16"]), false);
        check((&[], &["::/0"]), (&[], &["0.0.0.0/0"]), false);
        check((&[], &[]), (&[], &["10.0.0.0/8"]), false);
    }

    #[test]
    fn entries_are_bounded_and_said_by_their_place() {
        let mut found = Vec::new();
        let many: Vec<_> = (0..33).map(|number| format!("s{number}")).collect();
        assert_eq!(services(&many, &mut found).len(), 32);
        assert_eq!(networks(&[String::from("10.0.0.1/8"), String::from("::1")], &mut found).len(), 1);
        let twice = services(&[String::from("a"), String::from("a"), String::new()], &mut found);
        assert_eq!(twice, ["a"]);
        let fields: Vec<_> = found.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, ["allowed_services", "allowed_networks[0]", "allowed_services[2]"]);
    }
}
