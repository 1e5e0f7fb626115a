//! Tests the precedence of credentials, and the check for the origin of a request.

use poem::http::HeaderValue;

use super::*;

fn describe(lines: &[(&str, &str)], session_cookie: &str) -> &'static str {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    match credential_value(&headers, session_cookie) {
        CredentialValue::Missing => "nothing",
        CredentialValue::Malformed => "malformed",
        CredentialValue::HeaderKey(text) if text == "K" => "header K",
        CredentialValue::CookieKey(text) if text == "K" => "cookie K",
        CredentialValue::HeaderToken(text) if text == "a.b.c" => "token",
        CredentialValue::CookieSession(text) if text == "a.b.c" => "session",
        _ => "another",
    }
}

#[test]
fn a_key_in_one_header_is_found_beside_another_scheme() {
    let key = |lines: &[(&'static str, &'static str)]| {
        let lines = lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        key_in_one_header(&lines.collect()).map(str::to_owned)
    };
    assert_eq!(key(&[("authorization", "Basic J"), ("x-api-key", " K ")]), Some("K".to_owned()));
    assert_eq!(key(&[("authorization", "Basic J")]), None);
    assert_eq!(key(&[("authorization", "Bearer J"), ("x-api-key", "K")]), None);
}

#[test]
fn credentials_have_one_order_of_precedence() {
    let long = "x".repeat(513);
    let bearer_long = format!("Bearer {long}");
    let bearer_token = format!("Bearer a.{}.c", "b".repeat(8 * 1024 - 4));
    let bearer_long_token = format!("Bearer a.{}.c", "b".repeat(8 * 1024 - 3));
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "nothing"),
        (&[("cookie", "other=K")], "nothing"),
        // For a browser, this is another name.
        (&[("cookie", "\u{2000}apiKeyCookie=K")], "nothing"),
        (&[("cookie", "\u{A0}apiKeyCookie=K")], "nothing"),
        (&[("cookie", "ü=ö; apiKeyCookie=K")], "cookie K"),
        (&[("authorization", "Bearer K")], "header K"),
        (&[("authorization", "bEaReR    K")], "header K"),
        (&[("x-api-key", "K")], "header K"),
        (&[("cookie", "a=b; apiKeyCookie=K")], "cookie K"),
        (&[("authorization", "Bearer K"), ("x-api-key", "K")], "header K"),
        (&[("authorization", "Bearer K"), ("cookie", "apiKeyCookie=J")], "header K"),
        (&[("x-api-key", "K"), ("cookie", "apiKeyCookie=J")], "header K"),
        // A value with dots is a JWT: an access token in a header, a session in the cookie.
        (&[("authorization", "Bearer a.b.c")], "token"),
        (&[("cookie", "apiKeyCookie=a.b.c")], "session"),
        (&[("authorization", &bearer_token)], "another"),
        (&[("authorization", &bearer_long_token)], "malformed"),
        (&[("x-api-key", "a.b.c")], "malformed"),
        (&[("authorization", "Bearer a.b.c"), ("x-api-key", "a.b.c")], "malformed"),
        (&[("authorization", "Bearer a.b.c"), ("cookie", "apiKeyCookie=K")], "token"),
        (&[("cookie", "apiKeyCookie=a.b.c; apiKeyCookie=K")], "malformed"),
        // A malformed header has precedence over other credentials.
        (&[("authorization", "Bearer")], "malformed"),
        (&[("authorization", "Bearer ")], "malformed"),
        (&[("authorization", "Bearer K K")], "malformed"),
        (&[("authorization", "K")], "malformed"),
        (&[("authorization", "Bearer J"), ("x-api-key", "K")], "malformed"),
        (&[("authorization", "Bearer"), ("cookie", "apiKeyCookie=K")], "malformed"),
        (&[("x-api-key", ""), ("cookie", "apiKeyCookie=K")], "malformed"),
        (&[("x-api-key", "ü")], "malformed"),
        (&[("x-api-key", &long)], "malformed"),
        (&[("authorization", &bearer_long)], "malformed"),
        // Another scheme is not for this service.
        (&[("authorization", "Basic K")], "nothing"),
        (&[("authorization", "Digest username=\"ü\", realm=\"x\"")], "nothing"),
        (&[("authorization", "Basic K"), ("x-api-key", "K")], "header K"),
        (&[("authorization", "Basic K"), ("cookie", "apiKeyCookie=a.b.c")], "session"),
        (&[("authorization", "Basic J"), ("authorization", "Bearer K")], "header K"),
        (&[("authorization", "Basic K"), ("x-api-key", "")], "malformed"),
        (&[("authorization", "Bearer ü")], "malformed"),
        // Whitespace around a value.
        (&[("x-api-key", " \tK ")], "header K"),
        (&[("authorization", " Bearer   K\t")], "header K"),
        (&[("authorization", "Bearer K"), ("x-api-key", " K ")], "header K"),
        (&[("cookie", "apiKeyCookie= K ; a=b")], "cookie K"),
        (&[("cookie", "apiKeyCookie=\" K \"")], "cookie K"),
        (&[("x-api-key", "K K")], "another"),
        // Repeated credentials.
        (&[("authorization", "Bearer K"), ("authorization", "Bearer K")], "malformed"),
        (&[("x-api-key", "K"), ("x-api-key", "K")], "malformed"),
        (&[("cookie", "apiKeyCookie=K; apiKeyCookie=K")], "malformed"),
        (&[("cookie", "apiKeyCookie=K"), ("cookie", "apiKeyCookie=K")], "malformed"),
        (&[("cookie", "apiKeyCookie=")], "malformed"),
    ];
    for (lines, expected) in cases {
        assert_eq!(describe(lines, API_KEY_COOKIE), *expected, "{lines:?}");
    }
}

#[test]
fn over_https_a_session_is_only_in_the_cookie_of_the_host() {
    for (line, expected, without_https) in [
        ("__Host-apiKeyCookie=a.b.c", "session", "nothing"),
        ("apiKeyCookie=a.b.c", "nothing", "session"),
        ("apiKeyCookie=K", "cookie K", "cookie K"),
        ("apiKeyCookie=K; __Host-apiKeyCookie=a.b.c", "session", "cookie K"),
        ("apiKeyCookie=x.y.z; apiKeyCookie=x.y.z; __Host-apiKeyCookie=a.b.c", "session", "malformed"),
        ("__Host-apiKeyCookie=K", "malformed", "nothing"),
        ("__Host-apiKeyCookie=a.b.c; __Host-apiKeyCookie=a.b.c", "malformed", "nothing"),
    ] {
        assert_eq!(describe(&[("cookie", line)], HOST_COOKIE), expected, "{line}");
        assert_eq!(describe(&[("cookie", line)], API_KEY_COOKIE), without_https, "{line}");
    }
    let name = |url: &str| session_cookie_name(Some(&PublicUrl::parse(url).expect("a URL")));
    assert_eq!(name("https://keys.example"), HOST_COOKIE);
    assert_eq!(name("https://example.com/keys"), API_KEY_COOKIE);
    assert_eq!(name("http://keys.example"), API_KEY_COOKIE);
    assert_eq!(session_cookie_name(None), API_KEY_COOKIE);
}

#[test]
fn a_request_is_from_the_same_site_by_fetch_metadata_or_origin() {
    let is_same_origin = |fetch_site: Option<&str>, origin: Option<&str>| {
        let service = PublicUrl::parse("https://keys.example").ok().map(Arc::new);
        let (fetch_site, origin) = (fetch_site.map(Into::into), origin.map(Into::into));
        Site { fetch_site, origin, service, ..Site::default() }.is_same_origin()
    };
    assert_eq!(is_same_origin(None, None), None);
    assert_eq!(is_same_origin(Some("same-origin"), Some("https://anything")), Some(true));
    assert_eq!(is_same_origin(None, Some("https://keys.example")), Some(true));
    for site in ["cross-site", "same-site", "none", ""] {
        assert_eq!(is_same_origin(Some(site), Some("https://keys.example")), Some(false), "{site}");
    }
    for origin in ["null", "http://keys.example", "https://keys.example:8443", "https://evil.example"] {
        assert_eq!(is_same_origin(None, Some(origin)), Some(false), "{origin}");
    }
    let unknown = Site { origin: Some("https://keys.example".to_owned()), ..Site::default() };
    assert_eq!(unknown.is_same_origin(), Some(false), "the URL of the service is unknown");
}
