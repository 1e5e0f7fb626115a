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

use crate::{address::ClientAddress, jwt::is_jwt, refused::Witness, request_id::RequestId};

static API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const API_KEY_COOKIE: &str = "apiKeyCookie";

/// A key of more bytes than this is refused unread.
const MAX_BYTES: usize = 512;

/// The same for a token.
const MAX_JWT_BYTES: usize = 8 * 1024;

/// What was shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Something that cannot be a credential, or two that differ.
    Malformed,
    /// The text of a key in a header.
    Header(String),
    /// The token of an identity provider in a header.
    Token(String),
    /// The text of a key in the cookie, which a browser sends by itself: whose request it is needs a second look.
    Cookie(String),
    /// The token of a session in the cookie.
    Session(String),
}

/// What a request shows, and what tells whether a browser sent it on behalf of another site.
pub struct Credential {
    /// What was shown.
    pub shown: Shown,
    /// The request's name in the log.
    pub request_id: Option<Box<str>>,
    /// Who sent the request.
    pub address: ClientAddress,
    /// Whether the request may change something.
    pub may_change: bool,
    /// The browser's word about where the request was started from.
    pub site: Site,
    /// Is told who it is.
    pub witness: Witness,
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

    /// Whether a request that a browser may have sent by itself was started by `own_origin`. `None`: the client says neither,
    /// so it is no browser.
    #[must_use]
    pub fn is_own(&self, own_origin: &str) -> Option<bool> {
        match (&self.fetch_site, &self.origin) {
            (Some(site), _) => Some(site == "same-origin"),
            (None, Some(origin)) => Some(origin == own_origin),
            (None, None) => None,
        }
    }

    /// Whether a page of another site has started the request.
    #[must_use]
    pub fn is_cross(&self) -> bool {
        self.fetch_site.as_deref() == Some("cross-site")
    }
}

/// A header that is there and cannot be used.
struct Unusable;

/// What the headers of a request show.
#[must_use]
pub fn shown(headers: &HeaderMap) -> Shown {
    match (bearer(headers), single(headers, &API_KEY_HEADER)) {
        (Ok(None), Ok(None)) => cookie(headers),
        (Ok(Some(text)), Ok(None)) if is_jwt(text) => token(text, Shown::Token),
        (Ok(Some(text)), Ok(None)) | (Ok(None), Ok(Some(text))) => key(text, Shown::Header),
        (Ok(Some(bearer)), Ok(Some(text))) if bearer == text => key(text, Shown::Header),
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

fn key(text: &str, shown: fn(String) -> Shown) -> Shown {
    if is_plausible(text) { shown(text.to_owned()) } else { Shown::Malformed }
}

fn token(text: &str, shown: fn(String) -> Shown) -> Shown {
    if text.len() <= MAX_JWT_BYTES { shown(text.to_owned()) } else { Shown::Malformed }
}

fn cookie(headers: &HeaderMap) -> Shown {
    let mut found = Shown::Nothing;
    for line in headers.get_all(COOKIE) {
        // Other cookies of the site may hold anything; ours holds no byte that this would change.
        let line = String::from_utf8_lossy(line.as_bytes());
        for cookie in
            cookie::Cookie::split_parse(line.as_ref()).flatten().filter(|cookie| cookie.name() == API_KEY_COOKIE)
        {
            if found != Shown::Nothing {
                return Shown::Malformed;
            }
            let text = cookie.value();
            found = if is_jwt(text) { token(text, Shown::Session) } else { key(text, Shown::Cookie) };
        }
    }
    found
}

/// Whether it may be a key.
fn is_plausible(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len()) && !is_jwt(text)
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
            MetaSecurityScheme {
                scheme: Some("bearer"),
                ..scheme("http", "An API key, or an access token of an identity provider, as a bearer token.")
            },
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
                ..scheme(
                    "apiKey",
                    "An API key or a session of `POST /session` in a cookie; read only where neither header is sent.",
                )
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
            request_id: request_id(request),
            address: address(request),
            may_change: ![Method::GET, Method::HEAD].contains(request.method()),
            site: Site::of(request.headers()),
            witness: request.data::<Witness>().cloned().unwrap_or_default(),
        })
    }
}

/// Who sends a request to an operation that needs no credential and ignores one.
pub struct Anyone {
    /// The request's name in the log.
    pub request_id: Option<Box<str>>,
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
        Ok(Self { request_id: request_id(request), address: address(request), site: Site::of(request.headers()) })
    }
}

fn request_id(request: &Request) -> Option<Box<str>> {
    request.data::<RequestId>().map(|id| id.0.clone())
}

fn address(request: &Request) -> ClientAddress {
    *request.data().expect("the edge notes the client's address")
}

#[cfg(test)]
mod tests;
