//! What a request shows to prove who calls: three documented schemes, read with one precedence. No decision is made here.
//!
//! A header that is present is final, whatever is wrong with it; the cookie counts only where neither header is there.
//! `SecurityScheme` of poem-openapi tries its variants in turn and so would let a bad header fall through to a good
//! cookie; that is why the three schemes are only described to the document and read by hand.

use poem::{
    Request, RequestBody, Result,
    http::{
        HeaderMap, HeaderName, Method,
        header::{AUTHORIZATION, COOKIE, ORIGIN},
    },
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::address::ClientAddress;

static API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY_COOKIE: &str = "apiKeyCookie";

/// A credential of more bytes than this is refused unread.
const MAX_BYTES: usize = 512;

/// What was shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Something that cannot be a credential, or two that differ.
    Malformed,
    /// A text in a header.
    Header(String),
    /// A text in the cookie, which a browser sends by itself: whose request it is needs a second look.
    Cookie(String),
}

/// What a request shows, and what tells whether a browser sent it on behalf of another site.
pub struct Credential {
    /// What was shown.
    pub shown: Shown,
    /// Who sent the request.
    pub address: ClientAddress,
    /// Whether the request may change something.
    pub may_change: bool,
    /// The browser's word about where the request was started from.
    pub site: Site,
}

/// The fetch metadata and origin of a request.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
}

impl Site {
    /// Reads the headers; one that is not text is no known site.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable").to_owned());
        Self { fetch_site: text("sec-fetch-site"), origin: text(ORIGIN.as_str()) }
    }

    /// Whether a request that a browser may have sent by itself was started by `own_origin`. A client that says neither is
    /// no browser.
    #[must_use]
    pub fn is_own(&self, own_origin: &str) -> bool {
        match (&self.fetch_site, &self.origin) {
            (Some(site), _) => site == "same-origin",
            (None, Some(origin)) => origin == own_origin,
            (None, None) => true,
        }
    }
}

/// A header that is there and cannot be used.
struct Unusable;

/// What the headers of a request show.
#[must_use]
pub fn shown(headers: &HeaderMap) -> Shown {
    match (bearer(headers), single(headers, &API_KEY_HEADER)) {
        (Ok(None), Ok(None)) => cookie(headers),
        (Ok(Some(text)), Ok(None)) | (Ok(None), Ok(Some(text))) => header(text),
        (Ok(Some(bearer)), Ok(Some(key))) if bearer == key => header(key),
        _ => Shown::Malformed,
    }
}

/// The text of a credential in one header, which is how services call. `None`: it is shown otherwise, or wrongly.
#[must_use]
pub fn in_one_header(headers: &HeaderMap) -> Option<&str> {
    match (bearer(headers), single(headers, &API_KEY_HEADER)) {
        (Ok(Some(text)), Ok(None)) | (Ok(None), Ok(Some(text))) => Some(text).filter(|text| is_plausible(text)),
        _ => None,
    }
}

fn header(text: &str) -> Shown {
    if is_plausible(text) { Shown::Header(text.to_owned()) } else { Shown::Malformed }
}

fn cookie(headers: &HeaderMap) -> Shown {
    let mut found = Shown::Nothing;
    for line in headers.get_all(COOKIE) {
        // Other cookies of the site may hold anything; ours holds no byte that this would change.
        let line = String::from_utf8_lossy(line.as_bytes());
        for cookie in
            cookie::Cookie::split_parse(line.as_ref()).flatten().filter(|cookie| cookie.name() == API_KEY_COOKIE)
        {
            if found != Shown::Nothing || !is_plausible(cookie.value()) {
                return Shown::Malformed;
            }
            found = Shown::Cookie(cookie.value().to_owned());
        }
    }
    found
}

fn is_plausible(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
}

/// The text of a header that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unusable> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unusable),
        (Some(_), Some(_)) => Err(Unusable),
    }
}

/// The token of `Bearer <token>` (RFC 6750 §2.1), the scheme in any case, one or more spaces.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Unusable> {
    let Some(value) = single(headers, &AUTHORIZATION)? else { return Ok(None) };
    let (scheme, rest) = value.trim().split_once(' ').ok_or(Unusable)?;
    let token = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") && !token.contains(' ') { Ok(Some(token)) } else { Err(Unusable) }
}

impl<'a> ApiExtractor<'a> for Credential {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |ty, description| MetaSecurityScheme {
            ty,
            description: Some(description),
            name: None,
            key_in: None,
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(
            "bearerAuth",
            MetaSecurityScheme { scheme: Some("bearer"), ..scheme("http", "An API key as a bearer token.") },
        );
        registry.create_security_scheme(
            "apiKeyHeader",
            MetaSecurityScheme {
                name: Some(API_KEY_HEADER.as_str()),
                key_in: Some("header"),
                ..scheme("apiKey", "An API key in a header of its own.")
            },
        );
        registry.create_security_scheme(
            "apiKeyCookie",
            MetaSecurityScheme {
                name: Some(API_KEY_COOKIE),
                key_in: Some("cookie"),
                ..scheme("apiKey", "An API key in a cookie; read only where neither header is sent.")
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearerAuth", "apiKeyHeader", "apiKeyCookie"]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        Ok(Self {
            shown: shown(request.headers()),
            address: address(request),
            may_change: ![Method::GET, Method::HEAD].contains(request.method()),
            site: Site::of(request.headers()),
        })
    }
}

/// Who sends a request to an operation that needs no credential and ignores one.
pub struct Anyone {
    /// Where from.
    pub address: ClientAddress,
    /// The browser's word about where the request was started from.
    pub site: Site,
}

impl<'a> ApiExtractor<'a> for Anyone {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    /// Documents "no credential" as the only alternative; without it the operation would look forgotten.
    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        Ok(Self { address: address(request), site: Site::of(request.headers()) })
    }
}

fn address(request: &Request) -> ClientAddress {
    *request.data().expect("the edge notes the client's address")
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn shows(lines: &[(&str, &str)]) -> &'static str {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a header name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        match shown(&headers) {
            Shown::Nothing => "nothing",
            Shown::Malformed => "malformed",
            Shown::Header(text) if text == "K" => "header K",
            Shown::Cookie(text) if text == "K" => "cookie K",
            Shown::Header(_) | Shown::Cookie(_) => "another",
        }
    }

    #[test]
    fn one_precedence() {
        let long = "x".repeat(513);
        let bearer_long = format!("Bearer {long}");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "nothing"),
            (&[("cookie", "other=K")], "nothing"),
            (&[("cookie", "ü=ö; apiKeyCookie=K")], "cookie K"),
            (&[("authorization", "Bearer K")], "header K"),
            (&[("authorization", "bEaReR    K")], "header K"),
            (&[("x-api-key", "K")], "header K"),
            (&[("cookie", "a=b; apiKeyCookie=K")], "cookie K"),
            (&[("authorization", "Bearer K"), ("x-api-key", "K")], "header K"),
            (&[("authorization", "Bearer K"), ("cookie", "apiKeyCookie=J")], "header K"),
            (&[("x-api-key", "K"), ("cookie", "apiKeyCookie=J")], "header K"),
            // A header that is present is final.
            (&[("authorization", "Bearer")], "malformed"),
            (&[("authorization", "Bearer ")], "malformed"),
            (&[("authorization", "Bearer K K")], "malformed"),
            (&[("authorization", "K")], "malformed"),
            (&[("authorization", "Basic K"), ("x-api-key", "K")], "malformed"),
            (&[("authorization", "Bearer J"), ("x-api-key", "K")], "malformed"),
            (&[("authorization", "Bearer"), ("cookie", "apiKeyCookie=K")], "malformed"),
            (&[("x-api-key", ""), ("cookie", "apiKeyCookie=K")], "malformed"),
            (&[("x-api-key", "ü")], "malformed"),
            (&[("x-api-key", &long)], "malformed"),
            (&[("authorization", &bearer_long)], "malformed"),
            // Twice the same.
            (&[("authorization", "Bearer K"), ("authorization", "Bearer K")], "malformed"),
            (&[("x-api-key", "K"), ("x-api-key", "K")], "malformed"),
            (&[("cookie", "apiKeyCookie=K; apiKeyCookie=K")], "malformed"),
            (&[("cookie", "apiKeyCookie=K"), ("cookie", "apiKeyCookie=K")], "malformed"),
            (&[("cookie", "apiKeyCookie=")], "malformed"),
        ];
        for (lines, expected) in cases {
            assert_eq!(shows(lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn whose_request_it_is() {
        let is_own = |fetch_site: Option<&str>, origin: Option<&str>| {
            let site = Site { fetch_site: fetch_site.map(Into::into), origin: origin.map(Into::into) };
            site.is_own("https://keys.example")
        };
        assert!(is_own(None, None));
        assert!(is_own(Some("same-origin"), Some("https://anything")));
        assert!(is_own(None, Some("https://keys.example")));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!is_own(Some(site), Some("https://keys.example")), "{site}");
        }
        for origin in ["null", "http://keys.example", "https://keys.example:8443", "https://evil.example"] {
            assert!(!is_own(None, Some(origin)), "{origin}");
        }
    }
}
