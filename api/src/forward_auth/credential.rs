//! The key that a visitor has sent, where the gateway says that it is. Sessions, access tokens and the cookies of the dashboard are
//! not read: they are for this service, and not for the API behind the gateway.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::keys::secret::SecretHash;
use poem::http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use crate::{
    auth::credentials::{API_KEY_HEADER, InvalidHeader, bearer, is_key_length, single_cookie, single_header},
    forward_auth::requirements::{BasicPart, KeyPlace, Requirements, is_authorization},
};

/// What a visitor has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// Nothing.
    Missing,
    /// A value that cannot be a key.
    Malformed,
    /// Several values, of which it is not known which one is meant.
    Several,
    /// A text that may be a key.
    Key(Cow<'a, str>),
}

type Found<'a> = Result<Option<Cow<'a, str>>, InvalidHeader>;

/// Reads the credential of a visitor.
pub(super) fn read<'a>(headers: &'a HeaderMap, requirements: &Requirements) -> Credential<'a> {
    let borrowed = |found: Result<Option<&'a str>, InvalidHeader>| found.map(|found| found.map(Cow::Borrowed));
    let basic = requirements.basic.map_or(Ok(None), |part| basic(headers, part));
    let found: [Found<'a>; 3] = match &requirements.place {
        KeyPlace::Standard => [borrowed(bearer(headers)), borrowed(single_header(headers, &API_KEY_HEADER)), basic],
        // Then `Authorization` is for Basic, and must not have another value.
        KeyPlace::Header(name) if is_authorization(name) && matches!(basic, Ok(Some(_)) | Err(_)) => {
            [single_header(headers, name).map(|_| None), Ok(None), basic]
        }
        KeyPlace::Header(name) => [borrowed(in_header(headers, name)), Ok(None), basic],
        KeyPlace::Cookie(name) => [single_cookie(headers, name).map(|found| found.map(Cow::Owned)), Ok(None), basic],
    };
    let mut only: Option<Cow<'a, str>> = None;
    for one in found {
        match (one, &only) {
            (Ok(None), _) => {}
            (Ok(Some(text)), None) => only = Some(text),
            (Ok(Some(text)), Some(other)) if text == *other => {}
            (Ok(Some(_)), Some(_)) => return Credential::Several,
            (Err(InvalidHeader), _) if is_repeated(headers, &requirements.place) => return Credential::Several,
            (Err(InvalidHeader), _) => return Credential::Malformed,
        }
    }
    match only {
        None => Credential::Missing,
        Some(text) if is_key_length(&text) => Credential::Key(text),
        Some(_) => Credential::Malformed,
    }
}

/// Whether the header for the key was sent more than once.
fn is_repeated(headers: &HeaderMap, place: &KeyPlace) -> bool {
    let name = match place {
        KeyPlace::Standard => &API_KEY_HEADER,
        KeyPlace::Header(name) => name,
        KeyPlace::Cookie(_) => return false,
    };
    headers.get_all(name).iter().nth(1).is_some()
}

/// The key in a header that the gateway names, with or without `Bearer`.
fn in_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, InvalidHeader> {
    let text = single_header(headers, name)?;
    Ok(text.map(|text| match text.split_at_checked("bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim_ascii_start(),
        _ => text,
    }))
}

/// The key in HTTP Basic (RFC 7617).
fn basic<'a>(headers: &HeaderMap, part: BasicPart) -> Found<'a> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        if let Some(encoded) = basic_token(value)
            && found.replace(encoded).is_some()
        {
            return Err(InvalidHeader);
        }
    }
    let Some(encoded) = found else { return Ok(None) };
    let text = BASE64_STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(InvalidHeader)?;
    let (user, password) = text.split_once(':').ok_or(InvalidHeader)?;
    let key = match part {
        BasicPart::User => user,
        BasicPart::Password => password,
        BasicPart::Either => either(user, password).ok_or(InvalidHeader)?,
    };
    Ok(Some(Cow::Owned(key.to_owned())))
}

/// The base64 of a value of `Authorization`. `None`: it is for another scheme.
fn basic_token(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().trim_ascii().split_at_checked("basic ".len())?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| token.trim_ascii())
}

/// The one of two texts that is a key: the other one is empty, or only this one has the check digits of a key. `None`: it cannot be
/// told.
fn either<'a>(user: &'a str, password: &'a str) -> Option<&'a str> {
    match (user, password) {
        (user, "") => Some(user),
        ("", password) => Some(password),
        (user, password) if user == password => Some(user),
        (user, password) => match (SecretHash::of(user), SecretHash::of(password)) {
            (Some(_), None) => Some(user),
            (None, Some(_)) => Some(password),
            (Some(_), Some(_)) | (None, None) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(query: &str, headers: &[(&str, &str)]) -> String {
        let requirements = Requirements::parse(query).expect("requirements");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        match read(&map, &requirements) {
            Credential::Missing => "missing".to_owned(),
            Credential::Malformed => "malformed".to_owned(),
            Credential::Several => "several".to_owned(),
            Credential::Key(key) => format!("key {key}"),
        }
    }

    fn basic_value(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn the_standard_places_are_bearer_and_api_key() {
        for (headers, expected) in [
            (&[][..], "missing"),
            (&[("authorization", "Bearer k")], "key k"),
            (&[("authorization", "bearer  k ")], "key k"),
            (&[("x-api-key", "k")], "key k"),
            (&[("authorization", "Bearer k"), ("x-api-key", "k")], "key k"),
            (&[("authorization", "Bearer k"), ("x-api-key", "other")], "several"),
            (&[("x-api-key", "k"), ("x-api-key", "k")], "several"),
            (&[("x-api-key", "")], "malformed"),
            (&[("authorization", "Bearer eyJhbGciOiJFZERTQSJ9.e30.c2ln")], "malformed"),
            (&[("authorization", "k")], "malformed"),
            (&[("authorization", "Digest k")], "missing"),
            (&[("authorization", "Basic aw==")], "missing"),
            (&[("cookie", "apiKeyCookie=k")], "missing"),
            (&[("x-api-key", "é")], "malformed"),
        ] {
            assert_eq!(sent("", headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_named_header_or_cookie_replaces_the_standard_places() {
        let both = &[("x-api-key", "standard"), ("x-token", "k"), ("cookie", "a=b; token=\"c\"")];
        assert_eq!(sent("credential_header=X-Token", both), "key k");
        assert_eq!(sent("credential_cookie=token", both), "key c");
        assert_eq!(sent("credential_cookie=other", both), "missing");
        assert_eq!(sent("credential_header=X-Other", both), "missing");
        assert_eq!(sent("credential_header=Authorization", &[("authorization", "k")]), "key k");
        assert_eq!(sent("credential_header=Authorization", &[("authorization", "Bearer  k")]), "key k");
        assert_eq!(sent("credential_header=X-Token", &[("x-token", "k"), ("x-token", "k")]), "several");
        assert_eq!(sent("credential_cookie=t", &[("cookie", "t=k; t=k")]), "malformed");
    }

    #[test]
    fn basic_is_accepted_where_it_is_asked_for() {
        let with = |query: &str, text: &str| sent(query, &[("authorization", &basic_value(text))]);
        assert_eq!(with("basic=user", "k:x"), "key k");
        assert_eq!(with("basic=password", "x:k"), "key k");
        assert_eq!(with("basic=password", "x:k:y"), "key k:y");
        assert_eq!(with("basic=either", "k:"), "key k");
        assert_eq!(with("basic=either", ":k"), "key k");
        assert_eq!(with("basic=either", "x:y"), "malformed");
        assert_eq!(with("basic=user", ":k"), "malformed");
        assert_eq!(with("basic=user", "k"), "malformed");
        assert_eq!(sent("basic=user", &[("authorization", "Basic !")]), "malformed");
        assert_eq!(sent("basic=user", &[("authorization", "Bearer k")]), "key k");
        let value = basic_value("k:");
        assert_eq!(sent("basic=user", &[("authorization", &value), ("x-api-key", "k")]), "key k");
        assert_eq!(sent("basic=user", &[("authorization", &value), ("x-api-key", "other")]), "several");
        assert_eq!(sent("basic=user", &[("authorization", &value), ("authorization", &value)]), "malformed");
        let at_authorization = "basic=user&credential_header=Authorization";
        assert_eq!(sent(at_authorization, &[("authorization", &value)]), "key k");
        for other in ["other", "Bearer other", "Bearer k", &value] {
            for both in [[value.as_str(), other], [other, value.as_str()]] {
                assert_eq!(sent(at_authorization, &both.map(|value| ("authorization", value))), "several", "{both:?}");
            }
        }
        assert_eq!(sent("basic=user&credential_cookie=t", &[("authorization", &value)]), "key k");
    }
}
