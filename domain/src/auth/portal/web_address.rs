//! Origins and URLs of the web pages of an organization: where its portal may be embedded, and where it leads back to.
//!
//! They are parsed here and not by a library, because only plain ones are accepted: what is stored is put into headers and
//! links as it is.

use crate::validated_string::{ValidationError, text};

text!(
    /// The origin of pages that may embed the portal: `https://shop.example.com`, or with `http` and a loopback address.
    EmbeddingOrigin,
    "Parses an origin: scheme, host and perhaps a port, in any case, without anything behind it.",
    |text| {
        let (origin, rest) = split_origin(text).ok_or(ValidationError::WebOrigin)?;
        if rest.is_empty() { Ok(origin) } else { Err(ValidationError::WebOrigin) }
    }
);

text!(
    /// The URL of the page that the portal leads back to: `https`, or `http` with a loopback address.
    ReturnUrl,
    "Parses a URL of at most 2,048 visible ASCII characters, without a user.",
    |text| {
        let (origin, rest) = split_origin(text).filter(|_| text.len() <= 2_048).ok_or(ValidationError::WebUrl)?;
        if rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(format!("{origin}{rest}"))
        } else {
            Err(ValidationError::WebUrl)
        }
    }
);

/// The origin at the beginning of a URL, in lower case and without a default port, and the rest, which is empty or begins
/// with a path, query or fragment. `None`: it is not one that browsers reach over HTTPS or on this machine.
fn split_origin(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = match authority.rfind(':').filter(|at| !authority[*at..].contains(']')) {
        Some(at) => (&authority[..at], Some(authority[at + 1..].parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    if !(is_loopback || is_https && is_host(&host)) {
        return None;
    }
    let default = if is_https { 443 } else { 80 };
    let port = port.filter(|port| *port != default).map(|port| format!(":{port}")).unwrap_or_default();
    Some((format!("{}://{host}{port}", scheme.to_ascii_lowercase()), rest))
}

/// Whether a text is a name of a host, or an IPv4 address: labels of letters, digits and hyphens (RFC 1123 §2.1).
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_normalized() {
        for (text, expected) in [
            ("https://shop.example.com", Some("https://shop.example.com")),
            ("HTTPS://Shop.Example.com:443", Some("https://shop.example.com")),
            ("https://shop.example.com:8443", Some("https://shop.example.com:8443")),
            ("https://192.0.2.1", Some("https://192.0.2.1")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://127.0.0.1", Some("http://127.0.0.1")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("https://shop.example.com/", None),
            ("https://shop.example.com?a", None),
            ("http://shop.example.com", None),
            ("http://localhost.example.com", None),
            ("https://*.example.com", None),
            ("https://*", None),
            ("https://", None),
            ("https://a b", None),
            ("https://a; script-src *", None),
            ("https://user@shop.example.com", None),
            ("https://shop.example.com:0", None),
            ("https://shop.example.com:99999", None),
            ("https://-a.example", None),
            ("https://a..example", None),
            ("https://[::1", None),
            ("https://münchen.example", None),
            ("null", None),
            ("*", None),
        ] {
            let parsed = EmbeddingOrigin::parse(text).ok();
            assert_eq!(parsed.as_ref().map(EmbeddingOrigin::as_str), expected, "{text}");
        }
    }

    #[test]
    fn a_return_url_is_one_that_a_browser_opens_safely() {
        for (text, expected) in [
            ("https://Shop.example.com/Account?tab=keys#top", Some("https://shop.example.com/Account?tab=keys#top")),
            ("https://shop.example.com", Some("https://shop.example.com")),
            ("http://localhost:3000/account", Some("http://localhost:3000/account")),
            ("javascript://shop.example.com/%0Aalert(1)", None),
            ("data://text/html,x", None),
            ("http://shop.example.com/account", None),
            ("https://user:password@shop.example.com/", None),
            ("https://shop.example.com/a b", None),
            ("https://shop.example.com/\u{fc}", None),
            ("/account", None),
        ] {
            assert_eq!(ReturnUrl::parse(text).ok().as_ref().map(ReturnUrl::as_str), expected, "{text}");
        }
        let long = format!("https://a.example/{}", "x".repeat(2_030));
        assert_eq!((ReturnUrl::parse(&long).is_ok(), ReturnUrl::parse(&format!("{long}x")).is_ok()), (true, false));
    }
}
