//! The answer to a verify: domain → JSON.

use std::sync::Arc;

use domain::{
    refusal::Refusal,
    snapshot::Snapshot,
    verdict::{Valid, Verdict},
};
use poem_openapi::Object;
use uuid::Uuid;

use super::explain::CheckView;
use crate::{
    json_text::JsonText,
    time::Moment,
    wire::{JsonObject, Nullable},
};

/// Whether a key is good. What a refusal does not tell is null.
#[derive(Object)]
#[oai(rename = "Verdict")]
pub(super) struct VerdictView {
    /// Whether it is.
    valid: bool,
    /// `VALID`, or why it is not: `INVALID_API_KEY`, `ORGANIZATION_SUSPENDED`, `KEY_DISABLED`, `KEY_NOT_YET_VALID`,
    /// `KEY_EXPIRED`, `ADDRESS_NOT_ALLOWED`, `INSUFFICIENT_PERMISSIONS`, `USAGE_EXCEEDED`, `RATE_LIMITED`; the first that holds, in this order.
    code: String,
    /// The key, where the caller sees it.
    key_id: Nullable<Uuid>,
    /// The organization that owns it.
    org_id: Nullable<Uuid>,
    /// What the operator's own system calls that organization.
    org_external_id: Nullable<String>,
    /// What its maker's own system calls it, or whom it is for.
    external_id: Nullable<String>,
    /// Its name.
    name: Nullable<String>,
    /// What it was given, its permission sets counted in. For a user's key the user's own permissions count too: ask for what is needed.
    permissions: Nullable<Vec<String>>,
    /// What its maker keeps with it.
    metadata: Nullable<JsonObject>,
    /// Uses that are left after this one; null: any number. With `USAGE_EXCEEDED`, fewer than this one costs.
    remaining: Nullable<u64>,
    /// From this moment on it is refused; null: never.
    expires_at: Nullable<Moment>,
    rate_limit: Nullable<RateLimitView>,
    /// Each check, in the order in which they are made; with `explain=true` only.
    #[oai(skip_serializing_if_is_none)]
    checks: Option<Vec<CheckView>>,
}

/// The window of a rate-limited key, as the header fields `RateLimit` and `Retry-After` tell it.
#[derive(Object)]
#[oai(rename = "RateLimitWindow")]
struct RateLimitView {
    /// The most uses in a window.
    limit: u64,
    /// Uses that are left in this one.
    remaining: u64,
    /// Seconds until it ends, rounded up.
    reset: u64,
}

/// Verdicts in the order of the questions.
#[derive(Object)]
#[oai(rename = "Verdicts")]
pub(super) struct VerdictsView {
    /// One for each question.
    pub(super) results: Vec<VerdictView>,
}

/// The text of a [`VerdictView`].
pub(super) fn write(verdict: &Verdict) -> JsonText {
    let mut text = JsonText::default();
    write_to(&mut text, verdict);
    text
}

/// The text of a [`VerdictsView`].
pub(super) fn write_all(verdicts: &[Verdict]) -> JsonText {
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
                text.string(&Moment(at).text());
            });
            write_window(text, window(valid));
        }
        Verdict::Refused { refusal, key } => {
            text.raw(r#"{"valid":false,"code":""#).raw(refusal.code());
            text.raw(r#"","key_id":"#).nullable(key.as_ref(), |text, key| {
                text.id(key.id().uuid());
            });
            text.raw(r#","org_id":"#).nullable(key.as_ref(), |text, key| {
                text.id(key.organization().uuid());
            });
            write_external_ids(text, key.as_ref());
            text.raw(r#","name":null,"permissions":null,"metadata":null,"remaining":"#);
            let remaining = if let Refusal::UsageExceeded { remaining } = refusal { Some(*remaining) } else { None };
            text.nullable(remaining, |text, remaining| {
                text.number(remaining);
            });
            text.raw(r#","expires_at":null"#);
            let limit = key.as_ref().and_then(|key| key.quota().rate_limit);
            write_window(
                text,
                match (refusal, limit) {
                    (Refusal::RateLimited { try_again_in }, Some(limit)) => {
                        Some(RateLimitView { limit: limit.max, remaining: 0, reset: try_again_in.div_ceil(1_000) })
                    }
                    _ => None,
                },
            );
        }
    }
}

/// What others call the key and its organization.
fn write_external_ids(text: &mut JsonText, key: Option<&Arc<Snapshot>>) {
    text.raw(r#","org_external_id":"#).nullable(key.and_then(|key| key.organization_external_id()), |text, id| {
        text.string(id);
    });
    text.raw(r#","external_id":"#).nullable(key.and_then(|key| key.external_id()), |text, id| {
        text.string(id);
    });
}

/// The last member, and the end.
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
