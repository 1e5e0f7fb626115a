//! CORS (Fetch Standard): which pages of other origins can read responses. Preflights are answered here, and every response gets
//! the headers, also that of the fast path and of errors outside of operations.
//!
//! `Access-Control-Allow-Credentials` is never sent, so browsers give such pages no response to a request with a cookie. Pages
//! send a key or token in a header.

use poem::{
    Response,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
        },
    },
};

use url::{Host, Url};

use super::PublicUrl;

/// Request headers that pages can send. The wildcard is for headers that the service ignores, such as those of tracing; it does
/// not include `Authorization`.
const ALLOWED_HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, x-api-key, x-request-id, *";

/// Response headers that pages can read, beside those that they always can.
const EXPOSED_HEADERS: &str = "allow, claviger-stale, etag, idempotent-replayed, link, ratelimit, ratelimit-policy, total-count, \
                               retry-after, www-authenticate, x-request-id";

/// How long browsers may use the response to a preflight, in seconds: the longest time that Chromium accepts.
const PREFLIGHT_SECONDS: &str = "7200";

/// The response to a preflight depends on these headers of the request.
const PREFLIGHT_VARY: &str = "access-control-request-method, access-control-request-headers";

/// The origins whose pages can read responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None: CORS is off.
    #[default]
    Off,
    /// All, also those of files (`null`).
    Any,
    /// Those that match one of the patterns.
    Matching(Vec<OriginPattern>),
}

/// An origin, or all subdomains of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// This origin.
    Exactly(String),
    /// Origins whose host has one or more labels before these.
    Subdomains {
        /// `https://`
        scheme: String,
        /// `.example.com`, with the port if it is not the default one.
        host: String,
    },
}

impl OriginPattern {
    /// Parses `https://example.com` or `https://*.example.com`, with or without a port. `None`: it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // An asterisk would be a valid character of a host.
        let is_origin = |url: &PublicUrl| url.base_path().is_empty() && !url.origin().contains('*');
        let origin = |text: &str| PublicUrl::parse(text).ok().filter(is_origin);
        let Some((scheme, parent)) = text.split_once("://*.") else {
            return origin(text).map(|url| Self::Exactly(url.origin().to_owned()));
        };
        let url = origin(&format!("{scheme}://{parent}"))?;
        let (scheme, host) = url.origin().split_once("://")?;
        let is_name = matches!(Url::parse(url.origin()).ok()?.host(), Some(Host::Domain(_)));
        is_name.then(|| Self::Subdomains { scheme: format!("{scheme}://"), host: format!(".{host}") })
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exactly(own) => own == origin,
            Self::Subdomains { scheme, host } => {
                let labels = origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(host.as_str()));
                let is_of_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                labels.is_some_and(|labels| !labels.is_empty() && labels.bytes().all(is_of_label))
            }
        }
    }
}

/// Answers preflights, and adds the headers of CORS to responses.
pub struct Cors(CorsOrigins);

impl Cors {
    /// `None`: CORS is off.
    #[must_use]
    pub fn new(origins: &CorsOrigins) -> Option<Self> {
        (*origins != CorsOrigins::Off).then(|| Self(origins.clone()))
    }

    /// The value of `Access-Control-Allow-Origin` for a request. `None`: pages of its origin cannot read the response.
    #[must_use]
    pub fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        match &self.0 {
            CorsOrigins::Off => None,
            CorsOrigins::Any => Some(const { HeaderValue::from_static("*") }),
            CorsOrigins::Matching(patterns) => {
                let origin = request.get(ORIGIN)?;
                let text = origin.to_str().ok()?;
                patterns.iter().any(|pattern| pattern.matches(text)).then(|| origin.clone())
            }
        }
    }

    /// Whether a request is a preflight.
    #[must_use]
    pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The response to a preflight of an allowed origin. `methods`: those of the path, as in `Allow`.
    #[must_use]
    pub fn answer_preflight(methods: HeaderValue) -> Response {
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARY));
        response
    }

    /// Adds the headers to a response. `allowed`: [`Cors::allowed_origin`].
    pub fn add_headers(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) {
        if self.0 != CorsOrigins::Any {
            // Also without an allowed origin, so that no cache gives this response to a page of one.
            headers.append(VARY, HeaderValue::from(ORIGIN));
        }
        if let Some(origin) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_an_origin_or_its_subdomains() {
        for (pattern, origin, expected) in [
            ("https://App.Example.com:443", "https://app.example.com", true),
            ("https://app.example.com", "http://app.example.com", false),
            ("https://app.example.com", "https://app.example.com:8443", false),
            ("https://app.example.com", "https://app.example.com.evil.example", false),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", true),
            ("https://*.example.com", "https://app.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://evil.test/.example.com", false),
            ("https://*.example.com", "https://evil.test#.example.com", false),
            ("https://*.example.com", "https://user@.example.com", false),
            ("https://*.example.com", "http://app.example.com", false),
            ("https://*.example.com", "https://app.example.com:8443", false),
            ("https://*.example.com:8443", "https://app.example.com:8443", true),
            ("https://*.example.com:8443", "https://app.example.com", false),
            ("https://*.example.com", "null", false),
        ] {
            let parsed = OriginPattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(origin), expected, "{pattern} {origin}");
        }
        let wrong =
            ["*", "", "null", "example.com", "https://*", "https://a.*.com", "https://*.1.2.3.4", "https://a/b"];
        for pattern in wrong {
            assert_eq!(OriginPattern::parse(pattern), None, "{pattern}");
        }
    }
}
