//! The IP address of the client: the address of the connection, or the one that trusted proxies report in `X-Forwarded-For` or
//! `Forwarded`.

mod forwarding;

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;
use poem::http::HeaderMap;
use url::{Host, Url};

/// The IP address of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The network that limits are counted by: an IPv4 address, or an IPv6 /64, which is the smallest network that providers
    /// assign.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

/// A network that limits are counted by, as [`ClientAddress::network`] returns it: it is written as an IPv4 address, or as an IPv6
/// network with its prefix length.
pub struct Network(pub IpAddr);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// How the address of a client was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// It is the address of the connection, which is not from a trusted proxy. No header was read.
    Connection,
    /// A trusted proxy reported it.
    Proxy,
    /// It is the address of a trusted proxy that reported none.
    Unreported,
    /// It is the address of a trusted proxy, because what that proxy reported cannot be read.
    UnreadableHeader,
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: ClientAddress,
    /// How the address was found.
    pub source: AddressSource,
}

impl Client {
    /// Its address. `None`: only that of the trusted proxy is known, which has other clients, too.
    #[must_use]
    pub fn known_address(&self) -> Option<ClientAddress> {
        match self.source {
            AddressSource::Connection | AddressSource::Proxy => Some(self.address),
            AddressSource::Unreported | AddressSource::UnreadableHeader => None,
        }
    }

    /// Whether the request has a header of a proxy that is not trusted, so that all clients of the proxy may have its address.
    #[must_use]
    pub fn is_behind_untrusted_proxy(&self, headers: &HeaderMap) -> bool {
        self.source == AddressSource::Connection && forwarding::is_forwarded(headers)
    }
}

/// Where a request to the full path comes from, for limits on attempts. Every such request has it as data.
#[derive(Clone, Copy, Debug)]
pub struct RequestSource {
    /// The address of the client.
    pub address: ClientAddress,
    /// See [`Client::is_behind_untrusted_proxy`].
    pub is_behind_untrusted_proxy: bool,
}

/// The networks of proxies whose `X-Forwarded-For` or `Forwarded` is used.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether an address is of a trusted proxy.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a connection from `peer`: `peer` itself, or, if it is a trusted proxy, the last address in `X-Forwarded-For`
    /// that is not one, or without that header in `Forwarded`. At an address that cannot be read, the search ends with the trusted
    /// proxy that reported it.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let address = peer.to_canonical();
        if self.contains(address) {
            self.forwarded_client(peer, headers)
        } else {
            Client { address: ClientAddress(address), source: AddressSource::Connection }
        }
    }

    /// As [`TrustedProxies::client`], for a connection from a trusted proxy, whatever its address is.
    #[must_use]
    pub fn forwarded_client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let (mut address, mut source) = (peer.to_canonical(), AddressSource::Unreported);
        let found = |address, source| Client { address: ClientAddress(address), source };
        for client in forwarding::clients(headers) {
            let Some(client) = client else { return found(address, AddressSource::UnreadableHeader) };
            (address, source) = (client, AddressSource::Proxy);
            if !self.contains(address) {
                break;
            }
        }
        found(address, source)
    }

    /// As [`TrustedProxies::client`], for a connection from `reported` to a trusted gateway, which reports this address by other
    /// means than a header.
    #[must_use]
    pub fn reported_client(&self, reported: IpAddr, headers: &HeaderMap) -> Client {
        let address = reported.to_canonical();
        if self.contains(address) {
            self.forwarded_client(address, headers)
        } else {
            Client { address: ClientAddress(address), source: AddressSource::Proxy }
        }
    }
}

/// Whether the host of a URL is a loopback address or `localhost`. Names are not resolved.
#[must_use]
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        found_by(TrustedProxies::client, peer, forwarded)
    }

    fn found_by(find: fn(&TrustedProxies, IpAddr, &HeaderMap) -> Client, peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().expect("a header"));
        }
        let client = find(&TrustedProxies(trusted.to_vec()), peer.parse().expect("an address"), &headers);
        match client.source {
            AddressSource::Connection => client.address.0.to_string(),
            AddressSource::Proxy => format!("{} by proxy", client.address.0),
            AddressSource::Unreported => format!("{} unreported", client.address.0),
            AddressSource::UnreadableHeader => format!("{} unreadable", client.address.0),
        }
    }

    #[test]
    fn forwarded_addresses_are_used_only_from_trusted_proxies() {
        assert_eq!(client("203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1 unreported");
        assert_eq!(client("10.0.0.1", &[", "]), "10.0.0.1 unreported");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.1.1.1"]), "1.1.1.1 by proxy");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.2.2.2"]), "1.1.1.1 by proxy");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.2.2.2"]), "1.1.1.1 by proxy");
        assert_eq!(client("10.0.0.1", &["10.3.3.3, 10.2.2.2"]), "10.3.3.3 by proxy");
        assert_eq!(client("10.0.0.1", &["nonsense, 1.1.1.1,"]), "1.1.1.1 by proxy");
        assert_eq!(client("fd00::1", &["[2001:db8::7]"]), "2001:db8::7 by proxy");
    }

    #[test]
    fn headers_count_only_behind_a_further_proxy_if_the_gateway_reports_the_address() {
        let reported = |from: &str, forwarded: &[&str]| found_by(TrustedProxies::reported_client, from, forwarded);
        assert_eq!(reported("203.0.113.9", &["1.1.1.1"]), "203.0.113.9 by proxy");
        assert_eq!(reported("::ffff:203.0.113.9", &[]), "203.0.113.9 by proxy");
        assert_eq!(reported("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.1"]), "1.1.1.1 by proxy");
        assert_eq!(reported("10.0.0.1", &[]), "10.0.0.1 unreported");
        assert_eq!(reported("10.0.0.1", &["nonsense"]), "10.0.0.1 unreadable");
    }

    #[test]
    fn an_unreadable_address_counts_as_the_trusted_proxy_that_reported_it() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, nonsense"]), "10.0.0.1 unreadable");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, unknown, 10.2.2.2"]), "10.2.2.2 unreadable");
    }

    #[test]
    fn an_address_is_known_unless_the_proxy_did_not_report_it() {
        for (source, is_known) in [
            (AddressSource::Connection, true),
            (AddressSource::Proxy, true),
            (AddressSource::Unreported, false),
            (AddressSource::UnreadableHeader, false),
        ] {
            let client = Client { address: ClientAddress(Ipv6Addr::LOCALHOST.into()), source };
            assert_eq!(client.known_address().is_some(), is_known, "{source:?}");
        }
    }

    #[test]
    fn a_forwarding_header_of_an_untrusted_peer_is_noticed() {
        let trusted = TrustedProxies(vec!["10.0.0.0/8".parse().expect("a network")]);
        let is_noticed = |peer: &str, header: &'static str| {
            let headers: HeaderMap =
                [(header.parse().expect("a name"), "1.1.1.1".parse().expect("a value"))].into_iter().collect();
            trusted.client(peer.parse().expect("an address"), &headers).is_behind_untrusted_proxy(&headers)
        };
        assert!(is_noticed("192.0.2.1", "x-forwarded-for") && is_noticed("192.0.2.1", "forwarded"));
        assert!(!is_noticed("192.0.2.1", "x-other") && !is_noticed("10.0.0.1", "x-forwarded-for"));
    }

    #[test]
    fn an_ipv4_mapped_client_address_is_ipv4() {
        assert_eq!(client("::ffff:203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:1.1.1.1"]), "1.1.1.1 by proxy");
    }

    #[test]
    fn an_ipv6_network_is_a_64_and_an_ipv4_network_one_address() {
        let network = |text: &str| ClientAddress(text.parse().expect("an address")).network();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("203.0.113.8"), network("203.0.113.9"));
    }

    #[test]
    fn networks_are_written_as_the_log_shows_them() {
        let text = |address: &str| Network(ClientAddress(address.parse().expect("an address")).network()).to_string();
        assert_eq!([text("203.0.113.8"), text("2001:db8::1")], ["203.0.113.8", "2001:db8::/64"]);
    }
}
