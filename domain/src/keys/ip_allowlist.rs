//! IP allowlists: the networks that a key may be used from, in CIDR notation (RFC 4632, RFC 4291 §2.3).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::validated_string::ValidationError;

/// The networks that a key may be used from: 1 to 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpAllowlist(Box<[IpNet]>);

/// The prefix length of `::ffff:0:0/96`, which contains the IPv4-mapped addresses.
const MAPPED: u8 = 96;

impl IpAllowlist {
    /// The maximum number of networks in a list.
    pub const MAX: usize = 64;

    /// Parses 1 to 64 networks or single addresses. An IPv4-mapped IPv6 network (`::ffff:…`) is an IPv4 network. A
    /// network with bits set after its prefix is rejected, because it is ambiguous.
    pub fn parse<'a>(strings: impl IntoIterator<Item = &'a str>) -> Result<Self, ValidationError> {
        let networks = strings.into_iter().map(network).collect::<Result<Box<[_]>, _>>()?;
        if (1..=Self::MAX).contains(&networks.len()) { Ok(Self(networks)) } else { Err(ValidationError::Networks) }
    }

    /// Whether one of the networks contains an address. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether the networks contain every address of `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // Two adjacent networks together may contain a network that neither contains alone.
        let whole = IpNet::aggregate(&self.0.to_vec());
        other.0.iter().all(|network| whole.iter().any(|own| own.contains(network)))
    }

    /// Whether the networks contain all IPv4 or all IPv6 addresses.
    #[must_use]
    pub fn has_all_addresses(&self) -> bool {
        IpNet::aggregate(&self.0.to_vec()).iter().any(|network| network.prefix_len() == 0)
    }

    /// The networks as `address/prefix`.
    pub fn to_strings(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(ToString::to_string)
    }

    /// The number of networks.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Parses a network or a single address, as in an [`IpAllowlist`].
///
/// # Errors
/// [`ValidationError::NetworkBits`]; [`ValidationError::Networks`] if it is something else.
pub fn network(text: &str) -> Result<IpNet, ValidationError> {
    let written = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let written = written.ok_or(ValidationError::Networks)?;
    let mapped = match written {
        IpNet::V6(network) if network.prefix_len() >= MAPPED => mapped(network.addr(), network.prefix_len()),
        _ => None,
    };
    let given = mapped.unwrap_or(written);
    let network = given.trunc();
    if network == given { Ok(network) } else { Err(ValidationError::NetworkBits { network, given }) }
}

fn mapped(address: Ipv6Addr, prefix: u8) -> Option<IpNet> {
    Ipv4Net::new(address.to_ipv4_mapped()?, prefix - MAPPED).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(strings: &[&str]) -> IpAllowlist {
        IpAllowlist::parse(strings.iter().copied()).unwrap_or_else(|invalid| panic!("{strings:?}: {invalid:?}"))
    }

    fn contains(strings: &[&str], address: &str) -> bool {
        list(strings).contains(address.parse().expect("an address"))
    }

    #[test]
    fn an_allowlist_contains_the_addresses_of_its_networks() {
        assert!(contains(&["203.0.113.7"], "203.0.113.7"));
        assert!(!contains(&["203.0.113.7"], "203.0.113.8"));
        assert!(contains(&["10.0.0.0/8", "2001:db8::/32"], "10.255.0.1"));
        assert!(contains(&["10.0.0.0/8", "2001:db8::/32"], "2001:db8:1::1"));
        assert!(!contains(&["10.0.0.0/8", "2001:db8::/32"], "2001:db9::1"));
        assert!(contains(&["0.0.0.0/0"], "8.8.8.8") && !contains(&["0.0.0.0/0"], "::1"));
        assert!(!contains(&["::/0"], "8.8.8.8"), "IPv6 networks do not contain IPv4 addresses");
    }

    #[test]
    fn ipv4_mapped_networks_and_addresses_are_ipv4() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(contains(&["::ffff:10.0.0.1"], "10.0.0.1"));
        assert!(!contains(&["::ffff:10.0.0.1"], "10.0.0.2"));
        assert_eq!(list(&["::ffff:10.0.0.0/104"]).to_strings().collect::<Vec<_>>(), ["10.0.0.0/8"]);
    }

    #[test]
    fn an_allowlist_has_1_to_64_valid_networks() {
        for strings in [&[][..], &[""], &["10.0.0.0/33"], &["example.com"], &["10.0.0.0/8", "x"]] {
            assert_eq!(IpAllowlist::parse(strings.iter().copied()), Err(ValidationError::Networks), "{strings:?}");
        }
        assert_eq!(IpAllowlist::parse(["10.0.0.1"; 65]), Err(ValidationError::Networks));
        assert_eq!(list(&["10.0.0.1"; 64]).len(), 64);
    }

    #[test]
    fn a_network_with_bits_after_its_prefix_is_rejected_with_the_network_that_contains_it() {
        for (text, expected) in [
            ("10.0.0.1/8", "must contain networks without bits after the prefix: 10.0.0.0/8, not 10.0.0.1/8"),
            (
                "2001:db8::1/32",
                "must contain networks without bits after the prefix: 2001:db8::/32, not 2001:db8::1/32",
            ),
            ("::ffff:10.0.0.1/104", "must contain networks without bits after the prefix: 10.0.0.0/8, not 10.0.0.1/8"),
        ] {
            let invalid = IpAllowlist::parse(["192.0.2.0/24", text]).expect_err("bits");
            assert_eq!(invalid.to_string(), expected);
        }
    }

    #[test]
    fn an_allowlist_covers_another_within_its_networks() {
        let covers = |one: &[&str], other: &[&str]| list(one).covers(&list(other));
        assert!(covers(&["10.0.0.0/8"], &["10.1.0.0/16", "10.0.0.1"]));
        assert!(!covers(&["10.1.0.0/16"], &["10.0.0.0/8"]));
        assert!(!covers(&["10.0.0.0/8"], &["10.1.0.0/16", "11.0.0.1"]));
        assert!(covers(&["10.0.0.0/25", "10.0.0.128/25"], &["10.0.0.0/24"]), "adjacent networks are combined");
        assert!(!covers(&["0.0.0.0/0"], &["::1"]));
    }
}
