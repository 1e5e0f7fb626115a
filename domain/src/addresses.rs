//! From where a key may be used: networks in CIDR notation (RFC 4632, RFC 4291 §2.3).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::text::Invalid;

/// The networks that a key may be used from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList(Box<[IpNet]>);

/// An IPv4 network inside of `::ffff:0:0/96` begins here.
const MAPPED: u8 = 96;

impl AddressList {
    /// The most networks in a list.
    pub const MAX: usize = 64;

    /// 1 to 64 networks or single addresses. An IPv4 network that is written as one of IPv6 (`::ffff:…`) is an IPv4 network. One
    /// with bits beyond its prefix is refused: what was meant is not known.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let networks = texts.into_iter().map(network).collect::<Option<Box<[_]>>>().ok_or(Invalid::Networks)?;
        if (1..=Self::MAX).contains(&networks.len()) { Ok(Self(networks)) } else { Err(Invalid::Networks) }
    }

    /// Whether an address is in one of the networks. One of IPv4 that is written as one of IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether every address of `other` is in one of these networks.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // Two neighbours together cover what neither covers alone.
        let whole = IpNet::aggregate(&self.0.to_vec());
        other.0.iter().all(|network| whole.iter().any(|own| own.contains(network)))
    }

    /// The networks, as `address/prefix`.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(ToString::to_string)
    }

    /// How many networks there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn network(text: &str) -> Option<IpNet> {
    let written = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let network = match written {
        IpNet::V6(network) if network.prefix_len() >= MAPPED => mapped(network.addr(), network.prefix_len()),
        _ => None,
    };
    let network = network.unwrap_or(written);
    (network == network.trunc()).then_some(network)
}

fn mapped(address: Ipv6Addr, prefix: u8) -> Option<IpNet> {
    Ipv4Net::new(address.to_ipv4_mapped()?, prefix - MAPPED).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> AddressList {
        AddressList::parse(texts.iter().copied()).unwrap_or_else(|invalid| panic!("{texts:?}: {invalid:?}"))
    }

    fn contains(texts: &[&str], address: &str) -> bool {
        list(texts).contains(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_is_in_a_network_or_not() {
        assert!(contains(&["203.0.113.7"], "203.0.113.7"));
        assert!(!contains(&["203.0.113.7"], "203.0.113.8"));
        assert!(contains(&["10.0.0.0/8", "2001:db8::/32"], "10.255.0.1"));
        assert!(contains(&["10.0.0.0/8", "2001:db8::/32"], "2001:db8:1::1"));
        assert!(!contains(&["10.0.0.0/8", "2001:db8::/32"], "2001:db9::1"));
        assert!(contains(&["0.0.0.0/0"], "8.8.8.8") && !contains(&["0.0.0.0/0"], "::1"));
        assert!(!contains(&["::/0"], "8.8.8.8"), "the networks of one family say nothing about the other");
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(contains(&["::ffff:10.0.0.1"], "10.0.0.1"));
        assert!(!contains(&["::ffff:10.0.0.1"], "10.0.0.2"));
        assert_eq!(list(&["::ffff:10.0.0.0/104"]).texts().collect::<Vec<_>>(), ["10.0.0.0/8"]);
    }

    #[test]
    fn what_is_no_list_of_networks_is_refused() {
        for texts in [&[][..], &[""], &["10.0.0.1/8"], &["10.0.0.0/33"], &["example.com"], &["10.0.0.0/8", "x"]] {
            assert_eq!(AddressList::parse(texts.iter().copied()), Err(Invalid::Networks), "{texts:?}");
        }
        assert_eq!(AddressList::parse(["10.0.0.1"; 65]), Err(Invalid::Networks));
        assert_eq!(list(&["10.0.0.1"; 64]).len(), 64);
    }

    #[test]
    fn a_list_covers_what_lies_within_it() {
        let covers = |one: &[&str], other: &[&str]| list(one).covers(&list(other));
        assert!(covers(&["10.0.0.0/8"], &["10.1.0.0/16", "10.0.0.1"]));
        assert!(!covers(&["10.1.0.0/16"], &["10.0.0.0/8"]));
        assert!(!covers(&["10.0.0.0/8"], &["10.1.0.0/16", "11.0.0.1"]));
        assert!(covers(&["10.0.0.0/25", "10.0.0.128/25"], &["10.0.0.0/24"]), "two halves are a whole");
        assert!(!covers(&["0.0.0.0/0"], &["::1"]));
    }
}
