//! A network: the addresses that begin alike.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const IPV4_BITS: u8 = 32;
const IPV6_BITS: u8 = 128;

/// The addresses that begin with the same bits, as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// A text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is something else.
    #[error("`{0}` is no network as `10.0.0.0/8`, `2001:db8::/32`, or an address")]
    Malformed(String),
    /// Somebody meant another one.
    #[error("`{network}` has bits beyond its prefix: did you mean `{meant}`?")]
    BitsBeyond {
        /// What was said.
        network: String,
        /// The network that it is in.
        meant: Network,
    },
}

impl Network {
    /// Whether the address is in it. An IPv4 address that was written as an IPv6 one is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// Whether all of it is in the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.first)
    }

    fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let first = match address {
            IpAddr::V4(address) => {
                let gone = u32::from(IPV4_BITS.checked_sub(prefix)?);
                let mask = u32::MAX.checked_shl(gone).unwrap_or_default();
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let gone = u32::from(IPV6_BITS.checked_sub(prefix)?);
                let mask = u128::MAX.checked_shl(gone).unwrap_or_default();
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        Some(Self { first, prefix })
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(left, right)| (left, Some(right)));
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let prefix = match prefix {
            // No sign and no zeros before: one network is written one way.
            Some(digits) => digits.parse::<u8>().ok().filter(|prefix| prefix.to_string() == digits),
            None => Some(if address.is_ipv4() { IPV4_BITS } else { IPV6_BITS }),
        };
        let network = prefix.and_then(|prefix| Self::of(address, prefix)).ok_or_else(malformed)?;
        if network.first != address {
            return Err(NetworkError::BitsBeyond { network: text.to_owned(), meant: network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written_the_same_way() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), written);
            assert_eq!(written.parse(), Ok(network));
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/",
            "a/8",
            "10.0.0.1/8",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "`{wrong}`");
        }
        let beyond = "10.0.0.1/8".parse::<Network>().unwrap_err().to_string();
        assert!(beyond.contains("`10.0.0.0/8`"), "{beyond}");
    }

    #[test]
    fn first_and_last_address_are_in_it_and_their_neighbours_are_not() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{address} in {network}");
        };
        check("10.4.0.0/14", "10.4.0.0", true);
        check("10.4.0.0/14", "10.7.255.255", true);
        check("10.4.0.0/14", "10.8.0.0", false);
        check("10.4.0.0/14", "10.3.255.255", false);
        check("0.0.0.0/0", "255.255.255.255", true);
        check("0.0.0.0/0", "::1", false);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.6", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("2001:db8::/33", "2001:db8:7fff:ffff::1", true);
        check("2001:db8::/33", "2001:db8:8000::", false);
    }
}
