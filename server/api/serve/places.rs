//! How many connections may be open at once: in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::LimitsConfig;

/// Who has an IPv6 address has a whole /64 of them.
const NETWORK: u128 = u128::MAX << 64;

/// The places of a port. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    all_max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: IpAddr,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// All are taken.
    #[error("the port has all connections that it takes")]
    All,
    /// All that one address may have are taken.
    #[error("its address has all connections that it may have")]
    Address,
}

impl Full {
    /// As the metrics name it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::All => "full",
            Self::Address => "address_full",
        }
    }
}

impl Places {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        Self {
            taken: Arc::default(),
            all_max: super::number(limits.connections),
            per_address_max: super::number(limits.connections_per_address),
        }
    }

    /// Takes a place for a connection from that address.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, Full> {
        let address = network(address);
        let mut taken = self.lock();
        if taken.all >= self.all_max {
            return Err(Full::All);
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= self.per_address_max {
            return Err(Full::Address);
        }
        *of_address += 1;
        taken.all += 1;
        Ok(Place { places: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // A panic elsewhere cannot leave a half-written count, so a poisoned lock is still good.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What is counted as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn places(connections: u32, per_address: u32) -> Places {
        let number = |value| NonZeroU32::new(value).unwrap();
        Places::new(&LimitsConfig {
            connections: number(connections),
            connections_per_address: number(per_address),
            ..LimitsConfig::default()
        })
    }

    #[test]
    fn one_address_cannot_have_all() {
        let places = places(3, 2);
        let take = |address: &str| places.take(address.parse().unwrap());
        let first = take("10.0.0.1").unwrap();
        let _second = take("::ffff:10.0.0.1").unwrap();
        assert_eq!(Some(Full::Address), take("10.0.0.1").err());
        let _other = take("10.0.0.2").unwrap();
        assert_eq!(Some(Full::All), take("10.0.0.3").err());
        drop(first);
        assert!(take("10.0.0.1").is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = places(9, 1);
        let take = |address: &str| places.take(address.parse().unwrap());
        let _one = take("2001:db8::1").unwrap();
        assert_eq!(Some(Full::Address), take("2001:db8::ffff:0:0:2").err());
        assert!(take("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn what_was_given_back_is_forgotten() {
        let places = places(9, 9);
        drop(places.take("10.0.0.1".parse().unwrap()).unwrap());
        assert!(places.lock().by_address.is_empty());
    }
}
