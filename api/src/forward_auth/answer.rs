//! The answers of forward-auth. Everything but the status is for the API behind the gateway, or for its callers, so it does not
//! mention this service.

use std::{borrow::Cow, fmt::Write};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{
    deny_reason::DenyReason,
    id::{KeyId, OrganizationId},
    keys::quota::{Quota, RateLimit},
    permissions::{Permission, Permissions},
    verify::{cached_key::CachedKey, result::Valid},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use poem::http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    forward_auth::{
        mistakes::Misconfigured,
        requirements::{KeyPlace, Requirements},
    },
    http::{
        api_error::{ApiError, too_many_attempts},
        json_writer::JsonText,
    },
};

/// Declares constants with the names of headers.
macro_rules! headers {
    ($($constant:ident = $name:literal;)+) => {$( pub(super) static $constant: HeaderName = HeaderName::from_static($name); )+};
}

headers! {
    KEY_ID = "claviger-key-id";
    KEY_NAME = "claviger-key-name";
    ORG_ID = "claviger-org-id";
    ORG_EXTERNAL_ID = "claviger-org-external-id";
    USER_ID = "claviger-user-id";
    EXTERNAL_ID = "claviger-external-id";
    PERMISSIONS = "claviger-permissions";
    PERMISSIONS_TRUNCATED = "claviger-permissions-truncated";
    METADATA = "claviger-metadata";
    METADATA_TRUNCATED = "claviger-metadata-truncated";
    DENY_REASON = "claviger-deny-reason";
    MISCONFIGURED = "claviger-misconfigured";
    RATE_LIMIT = "ratelimit";
    RATE_LIMIT_POLICY = "ratelimit-policy";
    LIMIT = "x-ratelimit-limit";
    REMAINING = "x-ratelimit-remaining";
    RESET = "x-ratelimit-reset";
}

/// The headers that say who the visitor is. Every answer that allows a request has all of them, so that a gateway which copies
/// them replaces what the visitor sent.
pub(super) static IDENTITY: [&HeaderName; 8] =
    [&KEY_ID, &KEY_NAME, &ORG_ID, &ORG_EXTERNAL_ID, &USER_ID, &EXTERNAL_ID, &PERMISSIONS, &METADATA];

/// The maximum length of the permissions, and of the encoded metadata, in bytes: gateways limit the size of headers.
const MAX_VALUE_BYTES: usize = 4 * 1_024;

/// What is not a visible ASCII character, and the percent sign itself.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Why a request of a visitor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    MissingCredential,
    InvalidKey,
    Expired,
    Disabled,
    InsufficientPermissions,
    AddressNotAllowed,
    RateLimited,
    UsageExceeded,
    TooManyFailures,
    Misconfigured,
    Unavailable,
}

impl Reason {
    const fn code(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::InvalidKey => "invalid_key",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::InsufficientPermissions => "insufficient_permissions",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::RateLimited => "rate_limited",
            Self::UsageExceeded => "usage_exceeded",
            Self::TooManyFailures => "too_many_failures",
            Self::Misconfigured => "misconfigured",
            Self::Unavailable => "unavailable",
        }
    }
}

/// An answer to a gateway.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those that all responses have.
    pub headers: HeaderMap,
    /// The body. Empty if the request is allowed.
    pub body: Vec<u8>,
    /// Why the request is refused, for the log. `None`: it is allowed.
    pub cause: Option<&'static str>,
    /// The key that is refused, with its organization, for the log. `None`: it is allowed, or not known.
    pub key: Option<(KeyId, OrganizationId)>,
}

/// The request is allowed for this key.
pub(super) fn allowed(valid: &Valid, requirements: &Requirements) -> Answer {
    let key = &valid.key;
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(&KEY_ID, value(&key.id().to_string()));
    headers.insert(&KEY_NAME, text(key.name()));
    headers.insert(&ORG_ID, value(&key.organization().to_string()));
    headers.insert(&ORG_EXTERNAL_ID, text(key.organization_external_id()));
    headers.insert(&USER_ID, key.user().map_or_else(empty, |user| value(&user.to_string())));
    headers.insert(&EXTERNAL_ID, text(key.external_id()));
    add_permissions(&mut headers, key);
    add_metadata(&mut headers, key.metadata().filter(|_| requirements.metadata));
    add_limits(&mut headers, &valid.quota, valid.window_ends_in);
    Answer { status: StatusCode::OK, headers, body: Vec::new(), cause: None, key: None }
}

/// The request is allowed without a key.
pub(super) fn anonymous() -> Answer {
    let headers = IDENTITY.iter().map(|name| ((*name).clone(), empty())).collect();
    Answer { status: StatusCode::OK, headers, body: Vec::new(), cause: None, key: None }
}

/// No key was sent.
pub(super) fn missing_credential(requirements: &Requirements, request_id: &str) -> Answer {
    let message: Cow<'_, str> = match &requirements.place {
        KeyPlace::Standard => {
            "An API key is required; send it in the header Authorization: Bearer <key> or X-Api-Key: <key>".into()
        }
        KeyPlace::Header(name) => {
            format!("An API key is required; send it in the header {}", capitalized(name.as_str())).into()
        }
        KeyPlace::Cookie(name) => format!("An API key is required; send it in the cookie {name}").into(),
    };
    let mut answer = refused(StatusCode::UNAUTHORIZED, Reason::MissingCredential, &message, request_id);
    add_challenges(&mut answer.headers, requirements, false);
    answer
}

/// Several keys were sent.
pub(super) fn several_credentials(requirements: &Requirements, request_id: &str) -> Answer {
    let message = "More than one API key was sent; send one, in one header";
    let mut answer = refused(StatusCode::UNAUTHORIZED, Reason::InvalidKey, message, request_id);
    add_challenges(&mut answer.headers, requirements, true);
    answer
}

/// The key is not valid for the request. `key`: if it is known.
pub(super) fn denied(
    deny_reason: DenyReason,
    key: Option<&CachedKey>,
    requirements: &Requirements,
    request_id: &str,
) -> Answer {
    let (unauthorized, forbidden) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
    let (status, reason, message): (_, _, Cow<'_, str>) = match deny_reason {
        DenyReason::InvalidApiKey => (unauthorized, Reason::InvalidKey, "The API key is invalid".into()),
        DenyReason::KeyExpired => (unauthorized, Reason::Expired, "The API key has expired; use a new one".into()),
        DenyReason::KeyNotYetValid => (unauthorized, Reason::Disabled, "The API key is not valid yet".into()),
        DenyReason::KeyDisabled | DenyReason::OrganizationSuspended => {
            (unauthorized, Reason::Disabled, "The API key is disabled".into())
        }
        DenyReason::AddressNotAllowed => {
            (forbidden, Reason::AddressNotAllowed, "The API key cannot be used from this IP address".into())
        }
        DenyReason::InsufficientPermissions => (
            forbidden,
            Reason::InsufficientPermissions,
            "The API key does not have the permissions that this request needs".into(),
        ),
        DenyReason::UsageExceeded { .. } => (
            requirements.limit_status,
            Reason::UsageExceeded,
            "The API key does not have enough uses left for this request".into(),
        ),
        DenyReason::RateLimited { try_again_in } => (
            requirements.limit_status,
            Reason::RateLimited,
            format!("The rate limit of the API key is reached; try again in {} s", seconds(try_again_in)).into(),
        ),
    };
    let mut answer = refused(status, reason, &message, request_id);
    answer.key = key.map(|key| (key.id(), key.organization()));
    let headers = &mut answer.headers;
    match deny_reason {
        DenyReason::RateLimited { try_again_in } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(try_again_in)));
            if let Some(limit) = key.and_then(|key| key.quota().rate_limit) {
                add_limits(headers, &reached(limit), Some(try_again_in));
            }
        }
        DenyReason::UsageExceeded { remaining } => {
            let refill = key.and_then(|key| key.quota().refill);
            add_limits(headers, &Quota { remaining: Some(remaining), refill, ..Quota::default() }, None);
        }
        _ if status == unauthorized => add_challenges(headers, requirements, true),
        _ => {}
    }
    answer
}

/// The gateway is not configured correctly. `shows_mistake`: whether the answer says how.
pub(super) fn misconfigured(Misconfigured(mistake): Misconfigured, shows_mistake: bool, request_id: &str) -> Answer {
    let message = "The gateway in front of this API is not configured correctly.";
    let mut answer = refused(StatusCode::FORBIDDEN, Reason::Misconfigured, message, request_id);
    if shows_mistake {
        answer.headers.insert(&MISCONFIGURED, value(mistake));
    }
    answer
}

/// The request could not be decided. `requirements`: if they are known.
pub(super) fn failed(failure: &ApiError, requirements: Option<&Requirements>, request_id: &str) -> Answer {
    let (status, reason, message): (_, _, Cow<'_, str>) = match failure {
        ApiError::TooManyAttempts { retry_after } => (
            requirements.map_or(StatusCode::TOO_MANY_REQUESTS, |requirements| requirements.limit_status),
            Reason::TooManyFailures,
            too_many_attempts(*retry_after).into(),
        ),
        ApiError::MalformedRequest(sentence) => (StatusCode::BAD_REQUEST, Reason::Misconfigured, (*sentence).into()),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::Unavailable,
            "The API key cannot be checked at the moment; try again later".into(),
        ),
    };
    let mut answer = refused(status, reason, &message, request_id);
    if reason != Reason::Misconfigured {
        answer.headers.insert(RETRY_AFTER, HeaderValue::from(failure.retry_after().unwrap_or(1)));
    }
    answer
}

fn refused(status: StatusCode, reason: Reason, message: &str, request_id: &str) -> Answer {
    let mut body = JsonText::default();
    body.raw(r#"{"message":"#).string(message);
    body.raw(r#","code":"#).number(status.as_u16().into());
    body.raw(r#","reason":""#).raw(reason.code());
    body.raw(r#"","request_id":"#).string(request_id).raw("}");
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    headers.insert(&DENY_REASON, HeaderValue::from_static(reason.code()));
    Answer { status, headers, body: body.into_bytes(), cause: Some(reason.code()), key: None }
}

/// Adds the challenges of a 401 (RFC 6750 §3, RFC 7617 §2, RFC 9728 §5.1).
fn add_challenges(headers: &mut HeaderMap, requirements: &Requirements, has_credential: bool) {
    let mut bearer = r#"Bearer realm="api""#.to_owned();
    if has_credential {
        bearer += r#", error="invalid_token""#;
    }
    if let Some(url) = &requirements.resource_metadata {
        bearer = bearer + r#", resource_metadata=""# + url + "\"";
    }
    headers.append(WWW_AUTHENTICATE, value(&bearer));
    if requirements.basic.is_some() {
        headers.append(WWW_AUTHENTICATE, const { HeaderValue::from_static(r#"Basic realm="api""#) });
    }
}

/// Adds the effective permissions, as many as fit.
fn add_permissions(headers: &mut HeaderMap, key: &CachedKey) {
    let effective;
    let (list, mut is_truncated) = if key.user().is_none() {
        (Some(key.permissions()), false)
    } else {
        effective = key.effective_permissions().permissions();
        // Too many to list.
        (effective.as_ref(), effective.is_none())
    };
    let mut text = String::new();
    for permission in list.into_iter().flat_map(Permissions::iter) {
        if !push_permission(&mut text, permission) {
            is_truncated = true;
            break;
        }
    }
    headers.insert(&PERMISSIONS, value(&text));
    if is_truncated {
        headers.insert(&PERMISSIONS_TRUNCATED, const { HeaderValue::from_static("true") });
    }
}

/// Adds a permission to a list as `resource:action`. `false`: there is no room for it.
fn push_permission(list: &mut String, permission: &Permission) -> bool {
    let (resource, action) = (permission.resource(), permission.action());
    let space = usize::from(!list.is_empty());
    if list.len() + space + resource.len() + 1 + action.len() > MAX_VALUE_BYTES {
        return false;
    }
    if space == 1 {
        list.push(' ');
    }
    list.push_str(resource);
    list.push(':');
    list.push_str(action);
    true
}

/// Adds the metadata, a JSON object, in base64url. `None`: there is none, or the gateway has not asked for it.
fn add_metadata(headers: &mut HeaderMap, metadata: Option<&str>) {
    let encoded = metadata.map(|metadata| BASE64_URL_SAFE_NO_PAD.encode(metadata)).unwrap_or_default();
    if encoded.len() > MAX_VALUE_BYTES {
        headers.insert(&METADATA, empty());
        headers.insert(&METADATA_TRUNCATED, const { HeaderValue::from_static("true") });
    } else {
        headers.insert(&METADATA, value(&encoded));
    }
}

/// Adds the state of the limits (draft-ietf-httpapi-ratelimit-headers): the rate limit as `rate`, the remaining uses as `uses`.
/// `window_ends_in`: milliseconds until the window ends. The headers `X-RateLimit-…` are about the rate limit, if there is one.
fn add_limits(headers: &mut HeaderMap, quota: &Quota, window_ends_in: Option<u64>) {
    if !quota.is_metered() {
        return;
    }
    let (mut policy, mut state) = (String::new(), String::new());
    if let Some((limit, ends_in)) = quota.rate_limit.zip(window_ends_in) {
        let (left, reset) = (limit.max.saturating_sub(quota.window_count), seconds(ends_in));
        add_item(&mut policy, format_args!(r#""rate";q={};w={}"#, limit.max, seconds(limit.window)));
        add_item(&mut state, format_args!(r#""rate";r={left};t={reset}"#));
        headers.insert(&LIMIT, HeaderValue::from(limit.max));
        headers.insert(&REMAINING, HeaderValue::from(left));
        headers.insert(&RESET, HeaderValue::from(reset));
    }
    if let Some(left) = quota.remaining {
        add_item(&mut state, format_args!(r#""uses";r={left}"#));
        if let Some(refill) = quota.refill {
            add_item(&mut policy, format_args!(r#""uses";q={};w={}"#, refill.amount, seconds(refill.interval)));
        }
        if !headers.contains_key(&REMAINING) {
            headers.insert(&REMAINING, HeaderValue::from(left));
            headers.extend(quota.refill.map(|refill| (LIMIT.clone(), HeaderValue::from(refill.amount))));
        }
    }
    headers.insert(&RATE_LIMIT, value(&state));
    if !policy.is_empty() {
        headers.insert(&RATE_LIMIT_POLICY, value(&policy));
    }
}

/// Adds an item to a list (RFC 9651 §3.1).
fn add_item(list: &mut String, item: std::fmt::Arguments<'_>) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    // Writing to a string cannot fail.
    let _ = list.write_fmt(item);
}

/// A rate limit whose window has no uses left.
fn reached(limit: RateLimit) -> Quota {
    Quota { rate_limit: Some(limit), window_count: limit.max, ..Quota::default() }
}

/// Seconds, rounded up.
fn seconds(millis: u64) -> u64 {
    millis.div_ceil(1_000)
}

fn empty() -> HeaderValue {
    const { HeaderValue::from_static("") }
}

/// The name of a header as documentation writes it: `X-Token` for `x-token`.
fn capitalized(name: &str) -> String {
    let mut begins = true;
    let capital = |character: char| {
        let character = if begins { character.to_ascii_uppercase() } else { character };
        begins = character == '-';
        character
    };
    name.chars().map(capital).collect()
}

/// A value that is visible ASCII, with spaces.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("visible ASCII")
}

/// A name or identifier that a customer has chosen, percent-encoded. `None`: empty.
fn text(text: Option<&str>) -> HeaderValue {
    let encoded: Cow<'_, str> = utf8_percent_encode(text.unwrap_or_default(), ENCODED).into();
    value(&encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward_auth::mistakes;

    #[test]
    fn only_the_operator_sees_what_is_configured_wrongly() {
        let shown = |shows_mistake| {
            let answer = misconfigured(mistakes::WRONG_SECRET, shows_mistake, "one");
            let body = String::from_utf8(answer.body).expect("text");
            assert!(!body.contains("secret") && !body.contains("CLAVIGER"), "{body}");
            answer.headers.contains_key(&MISCONFIGURED)
        };
        assert_eq!([shown(true), shown(false)], [true, false]);
    }

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(text(None), "");
        assert_eq!(text(Some("user-1_~!\"%")), "user-1_~!\"%25");
        assert_eq!(text(Some("a b\tü\u{7f}")), "a%20b%09%C3%BC%7F");
    }
}
