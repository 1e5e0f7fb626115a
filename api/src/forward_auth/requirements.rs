//! What a gateway requires of the requests of visitors: form-urlencoded pairs, in its query or its header `Claviger-Gateway`.

use std::{borrow::Cow, collections::HashMap};

use domain::{
    keys::quota,
    permissions::{Permission, Permissions},
};
use poem::http::{HeaderName, StatusCode, header::AUTHORIZATION};
use url::{Url, form_urlencoded};

use crate::{
    auth::credentials::{API_KEY_COOKIE, HOST_COOKIE},
    forward_auth::{
        gateway::SECRET,
        mistakes::{self, Misconfigured},
    },
    verify_fast_path::DEFAULT_COST,
};

/// The maximum number of parameters `permission` and `any` together.
const MAX_PERMISSIONS: usize = 64;

/// The maximum number of context extensions: that of the names which have a meaning there.
const MAX_EXTENSIONS: usize = 11;

/// The maximum length of `resource_metadata`, in bytes.
const MAX_URL_BYTES: usize = 1_024;

/// What a gateway requires.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requirements {
    /// The permissions that the key must have, all of them.
    pub(super) permissions: Permissions,
    /// The permissions of which the key must have at least one. Empty: this is not required.
    pub(super) any_permission: Vec<Permission>,
    /// The number of uses that the request takes.
    pub(super) cost: u64,
    /// The status if a limit is reached.
    pub(super) limit_status: StatusCode,
    /// Whether requests with the method `OPTIONS` need no key.
    pub(super) allow_anonymous_options: bool,
    /// The header in which the gateway sets the method of the visitor. `None`: it is that of the gateway's request.
    pub(super) method_header: Option<HeaderName>,
    /// Where the key is.
    pub(super) place: KeyPlace,
    /// Which part of HTTP Basic is accepted as the key, too. `None`: no part.
    pub(super) basic: Option<BasicPart>,
    /// Whether the answer has the metadata of the key.
    pub(super) metadata: bool,
    /// The URL of the metadata of the protected resource (RFC 9728), for the challenge.
    pub(super) resource_metadata: Option<String>,
}

/// Where a visitor's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyPlace {
    /// `Authorization: Bearer` or `x-api-key`.
    Standard,
    /// This header.
    Header(HeaderName),
    /// The cookie with this name.
    Cookie(String),
}

/// The part of HTTP Basic (RFC 7617) that is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BasicPart {
    /// The user.
    User,
    /// The password.
    Password,
    /// Whichever is a key.
    Either,
}

impl Default for Requirements {
    /// A valid key.
    fn default() -> Self {
        Self {
            permissions: Permissions::default(),
            any_permission: Vec::new(),
            cost: DEFAULT_COST,
            limit_status: StatusCode::TOO_MANY_REQUESTS,
            allow_anonymous_options: false,
            method_header: None,
            place: KeyPlace::Standard,
            basic: None,
            metadata: false,
            resource_metadata: None,
        }
    }
}

impl Requirements {
    /// Parses a query.
    pub(super) fn parse(query: &str) -> Result<Self, Misconfigured> {
        Self::parse_pairs(form_urlencoded::parse(query.as_bytes()))
    }

    /// Parses the context extensions of Envoy without `own`, which is for another purpose. A name can be there once, so `permission`
    /// and `any` may have several values, separated by spaces.
    pub(super) fn parse_extensions(extensions: &HashMap<String, String>, own: &str) -> Result<Self, Misconfigured> {
        // Sorted, so that the same configuration always has the same mistake. More of them than there are names have an unknown
        // one.
        if extensions.len() > MAX_EXTENSIONS {
            return Err(mistakes::UNKNOWN_EXTENSION);
        }
        let mut pairs: Vec<_> = extensions.iter().filter(|(name, _)| *name != own).collect();
        pairs.sort_unstable();
        let mut given = Parameters::default();
        for (name, value) in pairs {
            match name.as_str() {
                SECRET => return Err(mistakes::SECRET_IN_EXTENSIONS),
                "method_header" => return Err(mistakes::METHOD_HEADER_IN_EXTENSIONS),
                "permission" | "any" if !value.trim_ascii().is_empty() => {
                    value.split_ascii_whitespace().try_for_each(|one| given.add(name, one))?;
                }
                _ => given.add(name, value).map_err(|mistake| {
                    if mistake == mistakes::UNKNOWN_PARAMETER { mistakes::UNKNOWN_EXTENSION } else { mistake }
                })?,
            }
        }
        given.finish()
    }

    /// Parses pairs. The first mistake ends it, so that it takes no longer than a correct request.
    pub(super) fn parse_pairs<'a>(
        pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<Self, Misconfigured> {
        let mut given = Parameters::default();
        for (name, value) in pairs {
            given.add(&name, &value)?;
        }
        given.finish()
    }
}

/// The parameters that were read so far.
#[derive(Default)]
struct Parameters {
    all: Vec<Permission>,
    any: Vec<Permission>,
    cost: Option<u64>,
    limit_status: Option<StatusCode>,
    allow_anonymous_options: Option<bool>,
    method_header: Option<HeaderName>,
    credential_header: Option<HeaderName>,
    credential_cookie: Option<String>,
    basic: Option<BasicPart>,
    metadata: Option<bool>,
    resource_metadata: Option<String>,
}

impl Parameters {
    fn add(&mut self, name: &str, value: &str) -> Result<(), Misconfigured> {
        match name {
            "permission" => self.add_permission(value, |parameters| &mut parameters.all),
            "any" => self.add_permission(value, |parameters| &mut parameters.any),
            "cost" => set(&mut self.cost, cost(value)),
            "on_limit" => set(&mut self.limit_status, limit_status(value)),
            "allow_anonymous_options" => set(&mut self.allow_anonymous_options, switch(value)),
            "method_header" => set(&mut self.method_header, method_header(value)),
            "credential_header" => set(&mut self.credential_header, credential_header(value)),
            "credential_cookie" => set(&mut self.credential_cookie, credential_cookie(value)),
            "basic" => set(&mut self.basic, basic(value)),
            "metadata" => set(&mut self.metadata, switch(value)),
            "resource_metadata" => set(&mut self.resource_metadata, resource_metadata(value)),
            SECRET => Err(mistakes::SECRET_IN_QUERY),
            _ => Err(mistakes::UNKNOWN_PARAMETER),
        }
    }

    fn add_permission(
        &mut self,
        value: &str,
        list: fn(&mut Self) -> &mut Vec<Permission>,
    ) -> Result<(), Misconfigured> {
        if self.all.len() + self.any.len() == MAX_PERMISSIONS {
            return Err(mistakes::TOO_MANY_PERMISSIONS);
        }
        list(self).push(Permission::parse(value).map_err(|_| mistakes::PERMISSION)?);
        Ok(())
    }

    fn finish(self) -> Result<Requirements, Misconfigured> {
        let place = match (self.credential_header, self.credential_cookie) {
            (None, None) => KeyPlace::Standard,
            (Some(header), None) => KeyPlace::Header(header),
            (None, Some(cookie)) => KeyPlace::Cookie(cookie),
            (Some(_), Some(_)) => return Err(mistakes::TWO_PLACES),
        };
        let default = Requirements::default();
        Ok(Requirements {
            permissions: Permissions::new(self.all).map_err(|_| mistakes::TOO_MANY_PERMISSIONS)?,
            any_permission: self.any,
            cost: self.cost.unwrap_or(default.cost),
            limit_status: self.limit_status.unwrap_or(default.limit_status),
            allow_anonymous_options: self.allow_anonymous_options.unwrap_or(default.allow_anonymous_options),
            method_header: self.method_header,
            place,
            basic: self.basic,
            metadata: self.metadata.unwrap_or(default.metadata),
            resource_metadata: self.resource_metadata,
        })
    }
}

/// Sets a parameter that must not be repeated.
fn set<T>(slot: &mut Option<T>, value: Result<T, Misconfigured>) -> Result<(), Misconfigured> {
    if slot.replace(value?).is_some() { Err(mistakes::REPEATED_PARAMETER) } else { Ok(()) }
}

fn cost(value: &str) -> Result<u64, Misconfigured> {
    // The standard library would accept a sign.
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let cost = value.parse().ok().filter(|_| is_number);
    cost.and_then(|cost| quota::integer(cost, 0).ok()).ok_or(mistakes::COST)
}

fn limit_status(value: &str) -> Result<StatusCode, Misconfigured> {
    match value {
        "429" => Ok(StatusCode::TOO_MANY_REQUESTS),
        "403" => Ok(StatusCode::FORBIDDEN),
        _ => Err(mistakes::ON_LIMIT),
    }
}

fn switch(value: &str) -> Result<bool, Misconfigured> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(mistakes::SWITCH),
    }
}

fn method_header(value: &str) -> Result<HeaderName, Misconfigured> {
    let name = HeaderName::from_bytes(value.as_bytes()).ok();
    name.filter(|name| name.as_str() == "x-forwarded-method" || !has_purpose(name)).ok_or(mistakes::METHOD_HEADER)
}

fn credential_header(value: &str) -> Result<HeaderName, Misconfigured> {
    let name = HeaderName::from_bytes(value.as_bytes()).ok();
    name.filter(|name| !has_purpose(name)).ok_or(mistakes::CREDENTIAL_HEADER)
}

/// Whether a header has another purpose than a key or a method: gateways set it, or this service shows it in answers or the log.
fn has_purpose(name: &HeaderName) -> bool {
    const NAMES: [&str; 6] = ["connection", "cookie", "forwarded", "host", "transfer-encoding", "x-request-id"];
    const PREFIXES: [&str; 3] = ["claviger-", "content-", "x-forwarded-"];
    let name = name.as_str();
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The name of a cookie (RFC 6265 §4.1.1).
fn credential_cookie(value: &str) -> Result<String, Misconfigured> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = !value.is_empty() && value.bytes().all(is_token) && ![API_KEY_COOKIE, HOST_COOKIE].contains(&value);
    if is_name { Ok(value.to_owned()) } else { Err(mistakes::CREDENTIAL_COOKIE) }
}

fn basic(value: &str) -> Result<BasicPart, Misconfigured> {
    match value {
        "user" => Ok(BasicPart::User),
        "password" => Ok(BasicPart::Password),
        "either" => Ok(BasicPart::Either),
        _ => Err(mistakes::BASIC),
    }
}

/// A URL that can be quoted in a header.
fn resource_metadata(value: &str) -> Result<String, Misconfigured> {
    let url = Url::parse(value).ok().filter(|url| ["http", "https"].contains(&url.scheme())).map(String::from);
    let is_short = |url: &String| url.len() <= MAX_URL_BYTES && !url.contains(['"', '\\']);
    url.filter(is_short).ok_or(mistakes::RESOURCE_METADATA)
}

/// Whether the key is in `Authorization`, with or without a scheme.
pub(super) fn is_authorization(name: &HeaderName) -> bool {
    *name == AUTHORIZATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_another_purpose_have_no_key_and_no_method() {
        for name in [
            "X-Request-Id",
            "Host",
            "Content-Type",
            "Content-Length",
            "Connection",
            "Cookie",
            "Transfer-Encoding",
            "X-Forwarded-For",
            "Forwarded",
            "Claviger-Gateway",
            "Claviger-Key-Id",
        ] {
            assert_eq!(credential_header(name), Err(mistakes::CREDENTIAL_HEADER), "{name}");
            assert_eq!(method_header(name), Err(mistakes::METHOD_HEADER), "{name}");
        }
        assert!(["X-Token", "Authorization", "X-Api-Key"].into_iter().all(|name| credential_header(name).is_ok()));
        assert!(["X-Forwarded-Method", "X-Original-Method"].into_iter().all(|name| method_header(name).is_ok()));
    }

    #[test]
    fn every_parameter_is_read() {
        let query = "permission=files:read&permission=write&any=a%3Ab&any=c:*&cost=0&on_limit=403\
                     &allow_anonymous_options=true&method_header=X-Forwarded-Method&credential_header=X-Token&basic=either\
                     &metadata=true&resource_metadata=https://api.example/.well-known/oauth-protected-resource%3Fa%3D%22";
        let permission = |text: &str| Permission::parse(text).expect("a permission");
        let expected = Requirements {
            permissions: Permissions::from_flat(["files:read", "write"]).expect("permissions"),
            any_permission: vec![permission("a:b"), permission("c:*")],
            cost: 0,
            limit_status: StatusCode::FORBIDDEN,
            allow_anonymous_options: true,
            method_header: Some(HeaderName::from_static("x-forwarded-method")),
            place: KeyPlace::Header(HeaderName::from_static("x-token")),
            basic: Some(BasicPart::Either),
            metadata: true,
            resource_metadata: Some("https://api.example/.well-known/oauth-protected-resource?a=%22".to_owned()),
        };
        assert_eq!(Requirements::parse(query), Ok(expected));
        assert_eq!(Requirements::parse(""), Ok(Requirements::default()));
        let cookie = Requirements::parse("credential_cookie=token").expect("requirements");
        assert_eq!(cookie.place, KeyPlace::Cookie("token".to_owned()));
    }

    #[test]
    fn context_extensions_have_lists_in_one_value() {
        let parsed = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Requirements::parse_extensions(&pairs.collect(), "org_id")
        };
        let all = [
            ("org_id", "x"),
            ("permission", " files:read  write "),
            ("any", "a:b"),
            ("cost", "0"),
            ("on_limit", "403"),
            ("allow_anonymous_options", "true"),
            ("basic", "either"),
            ("metadata", "true"),
            ("credential_header", "X-Token"),
            ("resource_metadata", "https://api.example/x"),
        ];
        let query = "permission=files:read&permission=write&any=a:b&cost=0&on_limit=403&allow_anonymous_options=true&basic=either\
                     &metadata=true&credential_header=X-Token&resource_metadata=https://api.example/x";
        assert_eq!(parsed(&all), Requirements::parse(query));
        assert_eq!(parsed(&[]), Ok(Requirements::default()));
        let many = (0..=MAX_EXTENSIONS).map(|number| format!("x{number}")).collect::<Vec<_>>();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        let too_many_permissions = "a ".repeat(MAX_PERMISSIONS + 1);
        for (pairs, mistake) in [
            (&[("permissions", "read")][..], mistakes::UNKNOWN_EXTENSION),
            (&[("Permission", "read")], mistakes::UNKNOWN_EXTENSION),
            (&[("", "")], mistakes::UNKNOWN_EXTENSION),
            (&many, mistakes::UNKNOWN_EXTENSION),
            (&[("secret", "x")], mistakes::SECRET_IN_EXTENSIONS),
            (&[("method_header", "X-Forwarded-Method")], mistakes::METHOD_HEADER_IN_EXTENSIONS),
            (&[("permission", "")], mistakes::PERMISSION),
            (&[("any", " ")], mistakes::PERMISSION),
            (&[("permission", "a b:c:d")], mistakes::PERMISSION),
            (&[("permission", "a,b")], mistakes::PERMISSION),
            (&[("any", &too_many_permissions)], mistakes::TOO_MANY_PERMISSIONS),
            (&[("cost", "x"), ("on_limit", "x")], mistakes::COST),
            (&[("credential_header", "a"), ("credential_cookie", "b")], mistakes::TWO_PLACES),
        ] {
            assert_eq!(parsed(pairs), Err(mistake), "{pairs:?}");
        }
    }

    #[test]
    fn every_mistake_is_found() {
        let long = format!("resource_metadata=https://x/{}", "a".repeat(MAX_URL_BYTES));
        for (query, mistake) in [
            ("permission", mistakes::PERMISSION),
            ("permission=", mistakes::PERMISSION),
            ("any=a:b:c", mistakes::PERMISSION),
            ("permission=%ff", mistakes::PERMISSION),
            ("permission=a,b", mistakes::PERMISSION),
            ("cost=-1", mistakes::COST),
            ("cost=+1", mistakes::COST),
            ("cost=%2B1", mistakes::COST),
            ("cost=1.5", mistakes::COST),
            ("cost=", mistakes::COST),
            ("cost=9007199254740992", mistakes::COST),
            ("cost=99999999999999999999", mistakes::COST),
            ("cost=1&cost=1", mistakes::REPEATED_PARAMETER),
            ("metadata=true&metadata=true", mistakes::REPEATED_PARAMETER),
            ("on_limit=500", mistakes::ON_LIMIT),
            ("metadata=1", mistakes::SWITCH),
            ("allow_anonymous_options=", mistakes::SWITCH),
            ("method_header=", mistakes::METHOD_HEADER),
            ("method_header=a+b", mistakes::METHOD_HEADER),
            ("method_header=X-Forwarded-For", mistakes::METHOD_HEADER),
            ("credential_header=X-Forwarded-Method", mistakes::CREDENTIAL_HEADER),
            ("credential_cookie=a;b", mistakes::CREDENTIAL_COOKIE),
            ("credential_cookie=apiKeyCookie", mistakes::CREDENTIAL_COOKIE),
            ("credential_cookie=__Host-apiKeyCookie", mistakes::CREDENTIAL_COOKIE),
            ("credential_header=a&credential_cookie=b", mistakes::TWO_PLACES),
            ("basic=true", mistakes::BASIC),
            ("resource_metadata=/x", mistakes::RESOURCE_METADATA),
            ("resource_metadata=javascript:x", mistakes::RESOURCE_METADATA),
            ("resource_metadata=https://x/?%5C", mistakes::RESOURCE_METADATA),
            (&long, mistakes::RESOURCE_METADATA),
            ("secret=x", mistakes::SECRET_IN_QUERY),
            ("permissions=read", mistakes::UNKNOWN_PARAMETER),
            ("Permission=read", mistakes::UNKNOWN_PARAMETER),
            ("=", mistakes::UNKNOWN_PARAMETER),
        ] {
            assert_eq!(Requirements::parse(query), Err(mistake), "{query}");
        }
        assert_eq!(Requirements::parse(&["any=a"; 64].join("&")).err(), None);
        assert_eq!(
            Requirements::parse(&["any=a&permission=b"; 33].join("&")).err(),
            Some(mistakes::TOO_MANY_PERMISSIONS)
        );
    }
}
