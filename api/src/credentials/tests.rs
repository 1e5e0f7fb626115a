//! One precedence for three schemes, and whose request it is.

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
        Shown::Token(text) if text == "a.b.c" => "token",
        Shown::Session(text) if text == "a.b.c" => "session",
        _ => "another",
    }
}

#[test]
fn one_precedence() {
    let long = "x".repeat(513);
    let bearer_long = format!("Bearer {long}");
    let bearer_token = format!("Bearer a.{}.c", "b".repeat(8 * 1024 - 4));
    let bearer_long_token = format!("Bearer a.{}.c", "b".repeat(8 * 1024 - 3));
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
        // What has dots is a token: of a provider in a header, of a session in the cookie.
        (&[("authorization", "Bearer a.b.c")], "token"),
        (&[("cookie", "apiKeyCookie=a.b.c")], "session"),
        (&[("authorization", &bearer_token)], "another"),
        (&[("authorization", &bearer_long_token)], "malformed"),
        (&[("x-api-key", "a.b.c")], "malformed"),
        (&[("authorization", "Bearer a.b.c"), ("x-api-key", "a.b.c")], "malformed"),
        (&[("authorization", "Bearer a.b.c"), ("cookie", "apiKeyCookie=K")], "token"),
        (&[("cookie", "apiKeyCookie=a.b.c; apiKeyCookie=K")], "malformed"),
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
    assert_eq!(is_own(None, None), None);
    assert_eq!(is_own(Some("same-origin"), Some("https://anything")), Some(true));
    assert_eq!(is_own(None, Some("https://keys.example")), Some(true));
    for site in ["cross-site", "same-site", "none", ""] {
        assert_eq!(is_own(Some(site), Some("https://keys.example")), Some(false), "{site}");
    }
    for origin in ["null", "http://keys.example", "https://keys.example:8443", "https://evil.example"] {
        assert_eq!(is_own(None, Some(origin)), Some(false), "{origin}");
    }
}
