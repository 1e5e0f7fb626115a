//! The response of a verification: domain → JSON.

#[cfg(test)]
mod tests;

use domain::{
    clock::Timestamp,
    deny_reason::{DenyCode, DenyReason},
    id::UserId,
    verify::result::{Valid, Verdict},
};
use poem_openapi::Object;

use super::dto::{DEFAULT_CONFIG, KeyView};
use crate::http::{json_writer::JsonText, openapi_codes::Code, openapi_types::Nullable};

/// The result of a verification.
#[derive(Object)]
#[oai(rename = "AthenaVerdict")]
pub(super) struct VerdictView {
    /// Whether the key is valid.
    valid: bool,
    error: Nullable<RefusalView>,
    key: Nullable<KeyView>,
}

/// Why a key is invalid.
#[derive(Object)]
#[oai(rename = "AthenaVerdictError")]
struct RefusalView {
    /// Message for humans.
    message: String,
    code: Code<DenyCode>,
    #[oai(skip_serializing_if_is_none)]
    details: Option<RefusalDetails>,
}

/// When a rate-limited key can be used again.
#[derive(Object)]
#[oai(rename = "AthenaVerdictErrorDetails", rename_all = "camelCase")]
struct RefusalDetails {
    /// Milliseconds until the window ends.
    try_again_in: u64,
}

/// Writes the JSON of a [`VerdictView`].
pub(super) fn write(verdict: &Verdict) -> JsonText {
    let mut text = JsonText::default();
    match verdict {
        Verdict::Valid(valid) => {
            text.raw(r#"{"valid":true,"error":null,"key":"#);
            write_key(&mut text, valid);
            text.raw("}");
        }
        Verdict::Denied { deny_reason, .. } => {
            let (message, try_again_in) = describe(*deny_reason);
            text.raw(r#"{"valid":false,"error":{"message":""#).raw(message);
            text.raw(r#"","code":""#).raw(deny_reason.code()).raw("\"");
            if let Some(millis) = try_again_in {
                text.raw(r#","details":{"tryAgainIn":"#).number(millis).raw("}");
            }
            text.raw(r#"},"key":null}"#);
        }
    }
    text
}

/// Writes the JSON of a [`KeyView`].
fn write_key(text: &mut JsonText, Valid { key, quota, request_count, last_request_at, .. }: &Valid) {
    let owner = key.user().map_or(key.organization().uuid(), UserId::uuid);
    let refill = quota.refill;
    let limit = quota.rate_limit;
    let number = |text: &mut JsonText, number: u64| {
        text.number(number);
    };
    let millis = |text: &mut JsonText, at: Timestamp| {
        text.millis(at);
    };
    text.raw(r#"{"id":"#).id(key.id().uuid());
    text.raw(r#","name":"#).nullable(key.name(), |text, name| {
        text.string(name);
    });
    text.raw(r#","start":"#).string(key.start());
    text.raw(r#","prefix":"#).nullable(Some(key.prefix()).filter(|prefix| !prefix.is_empty()), |text, prefix| {
        text.string(prefix);
    });
    text.raw(r#","userId":"#).id(owner);
    text.raw(r#","refillInterval":"#).nullable(refill.map(|refill| refill.interval), number);
    text.raw(r#","refillAmount":"#).nullable(refill.map(|refill| refill.amount), number);
    text.raw(r#","lastRefillAt":"#).nullable(quota.last_refill_at, millis);
    text.raw(r#","enabled":"#).boolean(key.is_enabled());
    text.raw(r#","rateLimitEnabled":"#).boolean(limit.is_some());
    text.raw(r#","rateLimitTimeWindow":"#).nullable(limit.map(|limit| limit.window), number);
    text.raw(r#","rateLimitMax":"#).nullable(limit.map(|limit| limit.max), number);
    text.raw(r#","requestCount":"#).number(*request_count);
    text.raw(r#","remaining":"#).nullable(quota.remaining, number);
    text.raw(r#","lastRequest":"#).nullable(*last_request_at, millis);
    text.raw(r#","expiresAt":"#).nullable(key.expires_at(), millis);
    text.raw(r#","createdAt":"#).millis(key.created_at());
    text.raw(r#","updatedAt":"#).millis(key.updated_at());
    text.raw(r#","metadata":"#).nullable(key.metadata(), |text, object| {
        text.raw(object);
    });
    text.raw(r#","permissions":"#);
    text.nullable(Some(key.permissions().map()).filter(|map| !map.is_empty()), |text, map| {
        text.raw("{").list(map, |text, (resource, actions)| {
            text.string(resource)
                .raw(":[")
                .list(actions, |text, action| {
                    text.string(action);
                })
                .raw("]");
        });
        text.raw("}");
    });
    text.raw(r#","referenceId":"#).id(owner);
    text.raw(r#","configId":"#).string(DEFAULT_CONFIG);
    text.raw(r#","org_id":"#).id(key.organization().uuid());
    text.raw(r#","canManage":"#).boolean(key.can_manage()).raw("}");
}

/// The message for humans, and the milliseconds until the key can be used again, if it is rate limited.
fn describe(deny_reason: DenyReason) -> (&'static str, Option<u64>) {
    match deny_reason {
        DenyReason::InvalidApiKey => ("Invalid API key.", None),
        DenyReason::OrganizationSuspended => ("The organization is suspended", None),
        DenyReason::KeyDisabled => ("API Key is disabled", None),
        DenyReason::KeyNotYetValid => ("API Key is not valid yet", None),
        DenyReason::KeyExpired => ("API Key has expired", None),
        DenyReason::AddressNotAllowed => ("API Key cannot be used from this IP address", None),
        DenyReason::InsufficientPermissions => ("API Key lacks a requested permission", None),
        DenyReason::UsageExceeded { .. } => ("API Key has reached its usage limit", None),
        DenyReason::RateLimited { try_again_in } => ("Rate limit exceeded.", Some(try_again_in)),
    }
}
