//! The response of a verification: domain → JSON.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::{
    deny_reason::DenyReason,
    verify::{
        cached_key::CachedKey,
        result::{Valid, Verdict},
    },
};
use poem_openapi::Object;
use uuid::Uuid;

use super::explain::CheckView;
use crate::http::{
    json_writer::JsonText,
    openapi_codes::{Code, VerdictCode},
    openapi_types::{JsonObject, Nullable},
    rfc3339::Rfc3339,
};

/// The result of a verification. Fields that do not apply are null.
#[derive(Object)]
#[oai(rename = "Verdict")]
pub(crate) struct VerdictView {
    /// Whether the key is valid.
    valid: bool,
    code: Code<VerdictCode>,
    /// Id of the key, if the caller may see it.
    key_id: Nullable<Uuid>,
    /// Id of the organization that owns the key.
    org_id: Nullable<Uuid>,
    /// Identifier of that organization in your own system.
    org_external_id: Nullable<String>,
    /// Identifier of the key, or of its user, in your own system.
    external_id: Nullable<String>,
    /// Name.
    name: Nullable<String>,
    /// Permissions of the key, including its permission sets. The permissions of its user also limit a user's key:
    /// request the permissions that are needed.
    permissions: Nullable<Vec<String>>,
    /// Metadata of the key.
    metadata: Nullable<JsonObject>,
    /// Uses left after this one; null: unlimited. With `USAGE_EXCEEDED`, fewer than the cost.
    remaining: Nullable<u64>,
    /// Expiry time: the key is invalid from then on; null: never expires.
    expires_at: Nullable<Rfc3339>,
    rate_limit: Nullable<RateLimitView>,
    /// All checks, in the order in which they are made; with `explain=true` only.
    #[oai(skip_serializing_if_is_none)]
    checks: Option<Vec<CheckView>>,
}

/// The window of a rate limit, in the terms of the headers `RateLimit` and `Retry-After`.
#[derive(Object)]
#[oai(rename = "RateLimitWindow")]
struct RateLimitView {
    /// Maximum number of uses per window.
    limit: u64,
    /// Uses left in the window.
    remaining: u64,
    /// Seconds until the window ends, rounded up.
    reset: u64,
}

/// The results, in the order of the request.
#[derive(Object)]
#[oai(rename = "VerdictList")]
pub(crate) struct VerdictsView {
    /// One result for each key.
    pub(crate) results: Vec<VerdictView>,
}

/// Writes the JSON of a [`VerdictView`].
pub(crate) fn write(verdict: &Verdict) -> JsonText {
    let mut text = JsonText::default();
    write_to(&mut text, verdict);
    text
}

/// Writes the JSON of a [`VerdictsView`].
pub(crate) fn write_all(verdicts: &[Verdict]) -> JsonText {
    let mut text = JsonText::default();
    text.raw(r#"{"results":["#).list(verdicts, write_to).raw("]}");
    text
}

fn write_to(text: &mut JsonText, verdict: &Verdict) {
    match verdict {
        Verdict::Valid(valid) => {
            let key = &valid.key;
            text.raw(r#"{"valid":true,"code":"VALID","key_id":"#).id(key.id().uuid());
            text.raw(r#","org_id":"#).id(key.organization().uuid());
            write_external_ids(text, Some(key));
            text.raw(r#","name":"#).nullable(key.name(), |text, name| {
                text.string(name);
            });
            text.raw(r#","permissions":["#).list(key.permissions().iter(), |text, permission| {
                text.string(&permission.flat());
            });
            text.raw(r#"],"metadata":"#).nullable(key.metadata(), |text, object| {
                text.raw(object);
            });
            text.raw(r#","remaining":"#).nullable(valid.quota.remaining, |text, remaining| {
                text.number(remaining);
            });
            text.raw(r#","expires_at":"#).nullable(key.expires_at(), |text, at| {
                text.string(&Rfc3339(at).text());
            });
            write_window(text, window(valid));
        }
        Verdict::Denied { deny_reason, key } => {
            text.raw(r#"{"valid":false,"code":""#).raw(deny_reason.code());
            text.raw(r#"","key_id":"#).nullable(key.as_ref(), |text, key| {
                text.id(key.id().uuid());
            });
            text.raw(r#","org_id":"#).nullable(key.as_ref(), |text, key| {
                text.id(key.organization().uuid());
            });
            write_external_ids(text, key.as_ref());
            text.raw(r#","name":null,"permissions":null,"metadata":null,"remaining":"#);
            let remaining =
                if let DenyReason::UsageExceeded { remaining } = deny_reason { Some(*remaining) } else { None };
            text.nullable(remaining, |text, remaining| {
                text.number(remaining);
            });
            text.raw(r#","expires_at":null"#);
            let limit = key.as_ref().and_then(|key| key.quota().rate_limit);
            write_window(
                text,
                match (deny_reason, limit) {
                    (DenyReason::RateLimited { try_again_in }, Some(limit)) => {
                        Some(RateLimitView { limit: limit.max, remaining: 0, reset: try_again_in.div_ceil(1_000) })
                    }
                    _ => None,
                },
            );
        }
    }
}

/// Writes the external ids of the key and its organization.
fn write_external_ids(text: &mut JsonText, key: Option<&Arc<CachedKey>>) {
    text.raw(r#","org_external_id":"#).nullable(key.and_then(|key| key.organization_external_id()), |text, id| {
        text.string(id);
    });
    text.raw(r#","external_id":"#).nullable(key.and_then(|key| key.external_id()), |text, id| {
        text.string(id);
    });
}

/// Writes the last field, and the end of the object.
fn write_window(text: &mut JsonText, window: Option<RateLimitView>) {
    text.raw(r#","rate_limit":"#).nullable(window, |text, window| {
        text.raw(r#"{"limit":"#).number(window.limit);
        text.raw(r#","remaining":"#).number(window.remaining);
        text.raw(r#","reset":"#).number(window.reset).raw("}");
    });
    text.raw("}");
}

fn window(valid: &Valid) -> Option<RateLimitView> {
    let quota = &valid.quota;
    let (limit, ends_in) = quota.rate_limit.zip(valid.window_ends_in)?;
    Some(RateLimitView {
        limit: limit.max,
        remaining: limit.max.saturating_sub(quota.window_count),
        reset: ends_in.div_ceil(1_000),
    })
}
