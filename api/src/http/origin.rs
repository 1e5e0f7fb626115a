//! The URL at which clients reach the service: its origin and its base path, by the settings or by each request.

pub mod base_path;
pub mod cors;

use std::sync::Arc;

use poem::{
    Request,
    http::{HeaderMap, header::HOST, uri::Authority},
};
use url::Url;

use crate::http::client_ip::{TrustedProxies, is_this_machine};

/// The first segments of the service's own paths, which a base path cannot begin with: `/orgs/me` would have two meanings. `api`
/// is not one of them, because only paths below `/api/auth` exist.
const OWN_SEGMENTS: [&str; 20] = [
    ".well-known",
    "api_keys",
    "assets",
    "auth",
    "docs",
    "health",
    "invitations",
    "me",
    "metrics",
    "oauth",
    "openapi.json",
    "orgs",
    "passkey_options",
    "passkeys",
    "portal",
    "service",
    "session",
    "sign_in",
    "tokens",
    "users",
];

/// What [`PublicUrl::parse`] accepts, to end the sentence "… must be …".
const EXPECTED: &str = "a URL like https://keys.example.com or https://example.com/keys, without query and user; its path \
                        has letters, digits and -._~ and does not begin with a path of the API such as /orgs";

/// A URL at which clients reach the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    base_path: String,
}

impl PublicUrl {
    /// Parses a URL of an origin, with or without a path.
    ///
    /// # Errors
    /// What the URL must be, to end the sentence "… must be …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let is_bare = |url: &Url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let url = url.filter(|url| is_bare(url) && url.password().is_none()).ok_or(EXPECTED)?;
        let base_path = match url.path().strip_suffix('/').unwrap_or(url.path()) {
            "" => "",
            path if is_base_path(path) => path,
            _ => return Err(EXPECTED.to_owned()),
        };
        Ok(Self { origin: url.origin().ascii_serialization(), base_path: base_path.to_owned() })
    }

    /// The origin as browsers send it: scheme, host and port, in lower case, without a default port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path below which the service is, such as `/keys`, without a slash at its end. Empty: it is at the root.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Whether browsers reach the service over HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Whether it is a loopback address or `localhost`.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        Url::parse(&self.origin).is_ok_and(|url| is_this_machine(&url))
    }

    /// The issuer (`iss`) of tokens: origin and base path.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}{}", self.origin, self.base_path)
    }
}

/// Whether a path is one or more segments of unreserved characters (RFC 3986 §2.3), of which the first is not one of the
/// service's own.
fn is_base_path(path: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_unreserved);
    let mut segments = path.split('/').skip(1);
    let is_free = segments.clone().next().is_some_and(|first| !OWN_SEGMENTS.contains(&first));
    is_free && segments.all(is_segment)
}

/// The public URL of the settings, or else that of each request.
pub struct PublicUrls {
    configured: Option<Arc<PublicUrl>>,
    proxies: TrustedProxies,
}

impl PublicUrls {
    /// `configured`: the URL of the settings. `proxies`: those whose `X-Forwarded-Proto` and `X-Forwarded-Host` are used without
    /// it.
    #[must_use]
    pub fn new(configured: Option<PublicUrl>, proxies: TrustedProxies) -> Self {
        Self { configured: configured.map(Arc::new), proxies }
    }

    /// The public URL of a request. `None`: the settings have none, and the request names no valid host.
    #[must_use]
    pub fn of(&self, request: &Request) -> Option<Arc<PublicUrl>> {
        self.configured.clone().or_else(|| self.requested(request).map(Arc::new))
    }

    /// The origin that the client has sent the request to: `Host`, or what a trusted proxy reports.
    fn requested(&self, request: &Request) -> Option<PublicUrl> {
        let headers = request.headers();
        let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical());
        let is_proxied = peer.is_some_and(|peer| self.proxies.contains(peer));
        let forwarded = |name| if is_proxied { last_value(headers, name) } else { None };
        let scheme = forwarded("x-forwarded-proto").unwrap_or(request.scheme().as_str());
        // HTTP/2 has the host in `:authority` instead.
        let authority = request.uri().authority().map(Authority::as_str);
        let sent = || authority.or_else(|| headers.get(HOST)?.to_str().ok());
        let host = forwarded("x-forwarded-host").or_else(sent)?;
        PublicUrl::parse(&format!("{scheme}://{host}")).ok().filter(|url| url.base_path.is_empty())
    }
}

/// The last value of a list header: the one that the nearest proxy has added.
fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use poem::{
        Addr, RequestParts,
        http::{self, uri::Scheme},
        web::{LocalAddr, RemoteAddr},
    };

    use super::*;

    #[test]
    fn a_public_url_has_an_origin_as_in_browsers_and_a_base_path() {
        for (text, origin, base_path) in [
            ("https://Keys.Example:443/", "https://keys.example", ""),
            ("http://[::1]:8080", "http://[::1]:8080", ""),
            ("https://example.com/keys", "https://example.com", "/keys"),
            ("https://example.com/keys/", "https://example.com", "/keys"),
            ("https://example.com:8443/auth-v1/Keys_2", "https://example.com:8443", "/auth-v1/Keys_2"),
            ("https://example.com/api", "https://example.com", "/api"),
            ("https://example.com/orgs2", "https://example.com", "/orgs2"),
        ] {
            let url = PublicUrl::parse(text).expect(text);
            assert_eq!((url.origin(), url.base_path()), (origin, base_path), "{text}");
            assert_eq!(url.issuer(), format!("{origin}{base_path}"));
        }
        for text in [
            "",
            "null",
            "keys.example",
            "ftp://keys.example",
            "https://me@keys.example",
            "https://:secret@keys.example",
            "https://keys.example?a=b",
            "https://keys.example/#a",
            "https://keys.example//",
            "https://keys.example//keys",
            "https://keys.example/keys//",
            "https://keys.example/a b",
            "https://keys.example/%41",
            "https://keys.example/a;b",
            "https://keys.example/\"",
            "https://keys.example/orgs",
            "https://keys.example/tokens/keys",
            "https://keys.example/.well-known",
        ] {
            assert_eq!(PublicUrl::parse(text), Err(EXPECTED.to_owned()), "{text}");
        }
    }

    fn origin_of(peer: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let request = headers
            .iter()
            .fold(http::Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let peer = Addr::from(SocketAddr::new(peer.parse::<IpAddr>().expect("an address"), 4711));
        let parts = RequestParts::from((parts, LocalAddr::default(), RemoteAddr(peer), Scheme::HTTP));
        let urls = PublicUrls::new(None, TrustedProxies(vec!["10.0.0.0/8".parse().expect("a network")]));
        urls.of(&Request::from_parts(parts, poem::Body::empty())).map(|url| url.origin().to_owned())
    }

    #[test]
    fn without_the_setting_a_request_names_the_origin() {
        let proto = ("x-forwarded-proto", "https");
        let other = ("x-forwarded-host", "keys.example");
        let host = ("host", "10.0.0.9:8080");
        for (peer, headers, expected) in [
            ("203.0.113.9", &[host][..], Some("http://10.0.0.9:8080")),
            ("203.0.113.9", &[host, proto, other], Some("http://10.0.0.9:8080")),
            ("10.0.0.1", &[host, proto, other], Some("https://keys.example")),
            ("::ffff:10.0.0.1", &[host, proto], Some("https://10.0.0.9:8080")),
            ("10.0.0.1", &[host, ("x-forwarded-host", "evil.example, keys.example")], Some("http://keys.example")),
            ("10.0.0.1", &[host, ("x-forwarded-proto", "gopher")], None),
            ("203.0.113.9", &[("host", "Keys.Example:80")], Some("http://keys.example")),
            ("203.0.113.9", &[("host", "keys.example/orgs2")], None),
            ("203.0.113.9", &[], None),
        ] {
            assert_eq!(origin_of(peer, "/me", headers).as_deref(), expected, "{peer} {headers:?}");
        }
        let authority = origin_of("203.0.113.9", "http://keys.example:8080/me", &[]);
        assert_eq!(authority.as_deref(), Some("http://keys.example:8080"));
    }
}
