//! The addresses in the headers of proxies: `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//!
//! Only what trusted proxies have appended is used, and that is on the right. So the headers are read from right to left: what a
//! client sent on the left, such as a quotation mark that is never closed, does not change how the rest is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use poem::http::{HeaderMap, HeaderName};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Whether a request has a header of a proxy that names the client.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(&X_FORWARDED_FOR) || headers.contains_key(&FORWARDED)
}

/// The clients that proxies report, the last one first. `None`: it cannot be read. `Forwarded` is read only if there is no
/// `X-Forwarded-For`. Several lines of a header are one list, and empty elements do not count (RFC 9110 §5.3, §5.6.1).
pub(super) fn clients(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let (name, read): (_, fn(&str) -> Option<IpAddr>) =
        if headers.contains_key(&X_FORWARDED_FOR) { (&X_FORWARDED_FOR, node) } else { (&FORWARDED, forwarded_for) };
    let lines = headers.get_all(name).into_iter().rev();
    let elements = lines.flat_map(|line| LastFirst { rest: Some(line.as_bytes()), separator: b',' });
    let elements = elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty());
    elements.map(move |element| std::str::from_utf8(element).ok().and_then(read))
}

/// The parts of a list, the last one first. Separators within quotation marks do not count.
struct LastFirst<'a> {
    /// What is left of the last part. `None`: there are no more parts.
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for LastFirst<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut is_quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            if *byte == b'"' && !(is_quoted && is_escaped(&rest[..at])) {
                is_quoted = !is_quoted;
            } else if *byte == self.separator && !is_quoted {
                self.rest = Some(&rest[..at]);
                return Some(&rest[at + 1..]);
            }
        }
        Some(rest)
    }
}

/// Whether the character after this text is escaped by a backslash, which is not escaped itself.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in the parameter `for` of an element of `Forwarded` (RFC 7239 §4). `None`: it has no such parameter or several, or
/// the client is `unknown` or obfuscated (`_hidden`).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in (LastFirst { rest: Some(element.as_bytes()), separator: b';' }) {
        let pair = std::str::from_utf8(pair).ok()?.trim();
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    node(found?)
}

/// An IPv4 or IPv6 address, with or without a port, brackets and quotation marks (RFC 7239 §6). An IPv4-mapped address is returned as
/// IPv4. `None`: it is something else.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let (address, port): (IpAddr, &str) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        (ipv6(address)?.into(), port)
    } else if let Some(address) = ipv6(text) {
        (address.into(), "")
    } else {
        let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    is_port(port).then(|| address.to_canonical())
}

/// An IPv6 address. Its zone (RFC 4007 §11) is left out: it is the name of a network interface of the proxy.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let is_name = |zone: &str| zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    if zone.is_some_and(|zone| zone.is_empty() || !is_name(zone)) {
        return None;
    }
    address.parse().ok()
}

/// Whether a text is empty, or a colon and a port. The port may be obfuscated (`_…`, RFC 7239 §6.3).
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    let is_obfuscated = |port: &str| port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    port.parse::<u16>().is_ok() || port.strip_prefix('_').is_some_and(|port| !port.is_empty() && is_obfuscated(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients_in(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, poem::http::HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        }
        clients(&headers).map(|client| client.map_or("?".to_owned(), |client| client.to_string())).collect()
    }

    fn x_forwarded_for(line: &str) -> Vec<String> {
        clients_in(&[("x-forwarded-for", line)])
    }

    fn forwarded(line: &str) -> Vec<String> {
        clients_in(&[("forwarded", line)])
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("\"192.0.2.1\"", "192.0.2.1"),
            ("\"192.0.2.1:4711\"", "192.0.2.1"),
            ("192.0.2.1:_port", "192.0.2.1"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("\"[2001:db8::7]:_port\"", "2001:db8::7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25en-0.1]:80", "fe80::1"),
        ] {
            assert_eq!(x_forwarded_for(text), [address], "{text}");
            assert_eq!(forwarded(&format!("for={text}")), [address], "{text}");
        }
        for text in [
            "unknown",
            "_hidden",
            "example.com",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:70000",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "\"192.0.2.1",
            "\"\"",
            "192.0.2.1 192.0.2.2",
            "fe80::1%",
            "fe80::1%eth0 192.0.2.1",
            "192.0.2.1%eth0",
            "ü",
            "unix:",
            "192.0.2.1:_",
        ] {
            assert_eq!(x_forwarded_for(text), ["?"], "{text}");
            assert_eq!(forwarded(&format!("for={text}")), ["?"], "{text}");
        }
    }

    #[test]
    fn lists_are_read_from_the_right_without_empty_elements() {
        assert_eq!(
            x_forwarded_for("192.0.2.1, [2001:db8::7] ,192.0.2.3:80"),
            ["192.0.2.3", "2001:db8::7", "192.0.2.1"]
        );
        assert_eq!(x_forwarded_for(",, 192.0.2.1 , ,"), ["192.0.2.1"]);
        assert_eq!(x_forwarded_for(" "), [""; 0]);
        let lines =
            [("x-forwarded-for", "192.0.2.1, 192.0.2.2"), ("x-forwarded-for", "192.0.2.3"), ("x-forwarded-for", "")];
        assert_eq!(clients_in(&lines), ["192.0.2.3", "192.0.2.2", "192.0.2.1"]);
        let lines = [("forwarded", "for=192.0.2.1"), ("forwarded", "for=192.0.2.2, ")];
        assert_eq!(clients_in(&lines), ["192.0.2.2", "192.0.2.1"]);
    }

    #[test]
    fn forwarded_elements_have_one_parameter_for() {
        assert_eq!(forwarded("for=192.0.2.60;proto=http;by=203.0.113.43"), ["192.0.2.60"]);
        assert_eq!(forwarded("by=\"[2001:db8::1]:80\"; For=\"[2001:db8:cafe::17]:4711\";;"), ["2001:db8:cafe::17"]);
        assert_eq!(
            forwarded("for=192.0.2.43, for=\"[2001:db8:cafe::17]\";host=\"a,b;for=1.1.1.1\""),
            ["2001:db8:cafe::17", "192.0.2.43"]
        );
        for element in ["proto=https", "for=192.0.2.1;for=192.0.2.2", "for", "192.0.2.1", "for=192.0.2.1;broken"] {
            assert_eq!(forwarded(element), ["?"], "{element}");
        }
    }

    #[test]
    fn text_of_the_client_does_not_change_how_the_elements_of_proxies_are_read() {
        for of_client in ["for=6.6.6.6;x=\"", "for=\"", "\"", "\\", "x=\"\\\"", "for=6.6.6.6;x=\"\\", "ü"] {
            for of_proxy in ["for=192.0.2.1", "for=\"[2001:db8::7]:80\"", "for=192.0.2.1;host=\"a\\\",b\\\\\""] {
                let expected = if of_proxy.contains("2001") { "2001:db8::7" } else { "192.0.2.1" };
                let found = forwarded(&format!("{of_client}, {of_proxy}"));
                assert_eq!(found.first().map(String::as_str), Some(expected), "{of_client}, {of_proxy}");
            }
            assert_eq!(x_forwarded_for(&format!("{of_client}, 192.0.2.1"))[0], "192.0.2.1", "{of_client}");
        }
    }

    #[test]
    fn x_forwarded_for_is_read_if_both_headers_are_there() {
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(clients_in(&both), ["192.0.2.1"]);
    }
}
