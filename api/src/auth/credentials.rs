//! The credential of a request: three documented schemes, read with one precedence. It is not validated here.
//!
//! A header has precedence even if it is malformed; the cookie is used only if neither header was sent. `Authorization` with another
//! scheme than `Bearer` counts as not sent: it is for a proxy in front of the service. `SecurityScheme` of
//! poem-openapi tries its variants in turn, and so would use the cookie after a malformed header. Therefore the three schemes are
//! only documented with poem-openapi, and read by this file.

use std::sync::Arc;

use domain::audit::context::RequestContext;
use poem::{
    Request, RequestBody, Result,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{AUTHORIZATION, COOKIE, ORIGIN, USER_AGENT},
    },
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::{
    auth::jwt::is_jwt,
    http::{
        client_ip::RequestSource,
        origin::{PublicUrl, PublicUrls},
        request_caller::RequestCaller,
        request_id::RequestId,
    },
};

pub(crate) static API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// The documented cookie: a secret, or a session where [`session_cookie_name`] is this name.
pub(crate) const API_KEY_COOKIE: &str = "apiKeyCookie";

/// The cookie of a session over HTTPS and at the root. Browsers accept this name only from this host itself, over HTTPS and with
/// `Path=/` (RFC 6265bis §4.1.3.2): neither another subdomain nor a page over HTTP can replace the session.
pub(crate) const HOST_COOKIE: &str = "__Host-apiKeyCookie";

/// The name of the cookie that has the session of a browser which uses the service at this URL.
#[must_use]
pub fn session_cookie_name(url: Option<&PublicUrl>) -> &'static str {
    if url.is_some_and(|url| url.is_https() && url.base_path().is_empty()) { HOST_COOKIE } else { API_KEY_COOKIE }
}

/// Maximum length of a secret in a header or cookie, in bytes; a longer one is malformed.
const MAX_BYTES: usize = 512;

/// Maximum length of a JWT in a header or cookie, in bytes.
const MAX_JWT_BYTES: usize = 8 * 1024;

/// The credential of a request, by kind.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialValue {
    /// No credential.
    Missing,
    /// A value that cannot be a credential, or two different ones.
    Malformed,
    /// The secret of a key in a header.
    HeaderKey(String),
    /// An access token of an identity provider in a header.
    HeaderToken(String),
    /// The secret of a key in the cookie. Browsers send cookies with requests of other sites, too, so the origin is checked.
    CookieKey(String),
    /// A session in the cookie, as a JWT.
    CookieSession(String),
}

/// The credential of a request, and what is needed to check that no browser sent it for another site.
pub struct Credential {
    /// The value, by kind.
    pub value: CredentialValue,
    /// The id of the request, for the audit log.
    pub request_id: Option<Box<str>>,
    /// Where the request comes from.
    pub source: RequestSource,
    /// Whether the request may make changes: its method is neither GET nor HEAD.
    pub may_change: bool,
    /// The origin of the request as the browser reports it.
    pub site: Site,
    /// Where the caller is recorded once they are authenticated.
    pub request_caller: RequestCaller,
}

/// What a browser sends with each request, and the URL of this service.
#[derive(Clone, Default)]
pub struct Site {
    /// The value of `Sec-Fetch-Site`. `None`: it was not sent.
    pub fetch_site: Option<String>,
    /// The value of `Origin`. `None`: it was not sent.
    pub origin: Option<String>,
    /// The value of `User-Agent`. `None`: it was not sent.
    pub user_agent: Option<String>,
    /// The value of the session cookie, which is not verified. `None`: it was not sent.
    pub session: Option<String>,
    /// The URL at which the client reaches this service. `None`: it is unknown.
    pub service: Option<Arc<PublicUrl>>,
}

impl Site {
    /// Reads the headers. One that is not ASCII never matches.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable").to_owned());
        let urls = request.data::<Arc<PublicUrls>>().expect("every operation has the public URLs as data");
        let service = urls.of(request);
        let session = match cookie(headers, session_cookie_name(service.as_deref())) {
            CredentialValue::CookieSession(session) => Some(session),
            _ => None,
        };
        Self {
            fetch_site: text("sec-fetch-site"),
            origin: text(ORIGIN.as_str()),
            user_agent: headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            session,
            service,
        }
    }

    /// Whether the request was started by a page of this service. `None`: neither header was sent, so the client is not a
    /// browser.
    #[must_use]
    pub fn is_same_origin(&self) -> Option<bool> {
        match (&self.fetch_site, &self.origin) {
            (Some(site), _) => Some(site == "same-origin"),
            (None, Some(origin)) => Some(self.service.as_ref().is_some_and(|service| service.origin() == origin)),
            (None, None) => None,
        }
    }

    /// Whether a page of another site started the request. `false` if the client does not send `Sec-Fetch-Site`.
    #[must_use]
    pub fn is_cross_site(&self) -> bool {
        self.fetch_site.as_deref() == Some("cross-site")
    }
}

/// A header is present, but malformed or repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InvalidHeader;

/// Reads the credential from the headers of a request. `session_cookie`: the name of the cookie that has sessions.
#[must_use]
pub fn credential_value(headers: &HeaderMap, session_cookie: &str) -> CredentialValue {
    match (bearer(headers), single_header(headers, &API_KEY_HEADER)) {
        (Ok(None), Ok(None)) => cookie(headers, session_cookie),
        (Ok(Some(text)), Ok(None)) if is_jwt(text) => token(text, CredentialValue::HeaderToken),
        (Ok(Some(text)), Ok(None)) | (Ok(None), Ok(Some(text))) => key(text, CredentialValue::HeaderKey),
        (Ok(Some(bearer)), Ok(Some(text))) if bearer == text => key(text, CredentialValue::HeaderKey),
        _ => CredentialValue::Malformed,
    }
}

/// The secret of an API key that is sent in one header, which is what services do. `None`: there is no credential, it is sent
/// otherwise, or it is malformed.
#[must_use]
pub fn key_in_one_header(headers: &HeaderMap) -> Option<&str> {
    match (bearer(headers), single_header(headers, &API_KEY_HEADER)) {
        (Ok(Some(text)), Ok(None)) | (Ok(None), Ok(Some(text))) => Some(text).filter(|text| is_key_length(text)),
        _ => None,
    }
}

/// A secret that was sent in another way than the documented headers, as if it was sent in one of them.
#[must_use]
pub fn key_value(text: &str) -> CredentialValue {
    key(text, CredentialValue::HeaderKey)
}

fn key(text: &str, kind: fn(String) -> CredentialValue) -> CredentialValue {
    if is_key_length(text) { kind(text.to_owned()) } else { CredentialValue::Malformed }
}

fn token(text: &str, kind: fn(String) -> CredentialValue) -> CredentialValue {
    if text.len() <= MAX_JWT_BYTES { kind(text.to_owned()) } else { CredentialValue::Malformed }
}

fn cookie(headers: &HeaderMap, session_cookie: &str) -> CredentialValue {
    if session_cookie == HOST_COOKIE {
        // First, because other pages of the site cannot set it.
        match single_cookie(headers, HOST_COOKIE) {
            Ok(None) => {}
            Ok(Some(text)) if is_jwt(&text) => return token(&text, CredentialValue::CookieSession),
            Ok(Some(_)) | Err(InvalidHeader) => return CredentialValue::Malformed,
        }
    }
    match single_cookie(headers, API_KEY_COOKIE) {
        Ok(None) => CredentialValue::Missing,
        Ok(Some(text)) if !is_jwt(&text) => key(&text, CredentialValue::CookieKey),
        // Another page of the site may have set it; or it is of an earlier version.
        Ok(Some(_)) if session_cookie == HOST_COOKIE => CredentialValue::Missing,
        Ok(Some(text)) => token(&text, CredentialValue::CookieSession),
        Err(InvalidHeader) => CredentialValue::Malformed,
    }
}

/// The value of a cookie (RFC 6265 §4.2.1), without quotation marks. `None`: it was not sent. It must not be repeated.
///
/// Only spaces and tabs are removed around the name. For a browser, a name that begins with another kind of space does not begin
/// with `__Host-`, so that other hosts of the site can set it; it must not count as this cookie. (The crate `cookie` removes them.)
pub(crate) fn single_cookie(headers: &HeaderMap, name: &str) -> Result<Option<String>, InvalidHeader> {
    const SPACE: [char; 2] = [' ', '\t'];
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        // Other cookies of the site may contain any bytes; those of this service contain only ASCII, which is unchanged.
        let line = String::from_utf8_lossy(line.as_bytes());
        for (cookie, value) in line.split(';').filter_map(|cookie| cookie.split_once('=')) {
            if cookie.trim_matches(SPACE) != name {
                continue;
            }
            let value = value.trim_matches(SPACE);
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            if found.replace(unquoted.unwrap_or(value).trim_matches(SPACE).to_owned()).is_some() {
                return Err(InvalidHeader);
            }
        }
    }
    Ok(found)
}

/// Whether the text can be the secret of an API key, by its length.
pub(crate) fn is_key_length(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len()) && !is_jwt(text)
}

/// The value of a header, without whitespace around it. `None`: it was not sent. It must not be repeated.
pub(crate) fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, InvalidHeader> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|value| Some(value.trim_ascii())).map_err(|_| InvalidHeader),
        (Some(_), Some(_)) => Err(InvalidHeader),
    }
}

/// The token of the only `Authorization: Bearer <token>`. `None`: there is none.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, InvalidHeader> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        if let Some(token) = bearer_token(value)?
            && found.replace(token).is_some()
        {
            return Err(InvalidHeader);
        }
    }
    Ok(found)
}

/// The token of a value of `Authorization` (RFC 6750 §2.1). The scheme is case-insensitive; several spaces are accepted. `None`: it is
/// for another scheme, such as the `Basic` of a proxy, and not for this service.
fn bearer_token(value: &HeaderValue) -> Result<Option<&str>, InvalidHeader> {
    let bytes = value.as_bytes().trim_ascii();
    let scheme = bytes.iter().position(|byte| *byte == b' ').map(|end| &bytes[..end]).ok_or(InvalidHeader)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let text = value.to_str().map_err(|_| InvalidHeader)?.trim_ascii();
    let token = text[scheme.len()..].trim_start_matches(' ');
    if token.contains(' ') { Err(InvalidHeader) } else { Ok(Some(token)) }
}

impl<'a> ApiExtractor<'a> for Credential {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        SCHEMES.to_vec()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        Ok(Self::of(request))
    }
}

/// The names of the security schemes, in the order of their precedence.
pub(crate) const SCHEMES: [&str; 3] = ["bearerAuth", "apiKeyHeader", "apiKeyCookie"];

impl Credential {
    /// The credential of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let site = Site::of(request);
        Self {
            value: credential_value(request.headers(), session_cookie_name(site.service.as_deref())),
            request_id: request_id(request),
            source: source(request),
            may_change: ![Method::GET, Method::HEAD].contains(request.method()),
            site,
            request_caller: request.data::<RequestCaller>().cloned().unwrap_or_default(),
        }
    }
}

/// The name of the security scheme of the customers' portal.
pub(crate) const PORTAL_SCHEME: &str = "portalSession";

/// Adds the security schemes to the OpenAPI document.
pub(super) fn register(registry: &mut Registry) {
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
        SCHEMES[0],
        MetaSecurityScheme {
            scheme: Some("bearer"),
            ..scheme("http", "API key, or access token of an identity provider, as a bearer token.")
        },
    );
    registry.create_security_scheme(
        SCHEMES[1],
        MetaSecurityScheme {
            name: Some(API_KEY_HEADER.as_str()),
            key_in: Some("header"),
            ..scheme("apiKey", "API key in the header `x-api-key`.")
        },
    );
    registry.create_security_scheme(
        SCHEMES[2],
        MetaSecurityScheme {
            name: Some(API_KEY_COOKIE),
            key_in: Some("cookie"),
            ..scheme(
                "apiKey",
                "API key, or session from `POST /session`, in a cookie. Only used if neither header is sent. Over https \
                 and without a base path, the session is in the cookie `__Host-apiKeyCookie`.",
            )
        },
    );
}

/// A request to an operation that needs no credential and ignores any.
pub struct PublicRequest {
    /// The id of the request, for the audit log.
    pub request_id: Option<Box<str>>,
    /// Where the request comes from.
    pub source: RequestSource,
    /// The origin of the request as the browser reports it.
    pub site: Site,
}

impl<'a> ApiExtractor<'a> for PublicRequest {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    /// Documents explicitly that no credential is needed.
    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        Ok(Self::of(request))
    }
}

impl PublicRequest {
    /// The request, for the audit log.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        let (client, request_id) = (Some(self.source.address.0), self.request_id.clone());
        RequestContext { client, request_id, ..RequestContext::default() }
    }

    /// What is known about the sender of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self { request_id: request_id(request), source: source(request), site: Site::of(request) }
    }
}

fn request_id(request: &Request) -> Option<Box<str>> {
    request.data::<RequestId>().map(|id| id.0.clone())
}

fn source(request: &Request) -> RequestSource {
    *request.data().expect("every request has its source as data")
}

#[cfg(test)]
mod tests;
