//! The answer to a verify: domain → JSON.

use domain::{clock::Timestamp, quota::Quota, refusal::Refusal, verdict::Verdict};
use poem_openapi::Object;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    json::stored_object,
    time::Moment,
    wire::{JsonObject, Nullable},
};

/// Whether a key is good. What a refusal does not tell is null.
#[derive(Object, Serialize)]
#[oai(rename = "Verdict")]
pub(super) struct VerdictView {
    /// Whether it is.
    valid: bool,
    /// `VALID`, or why it is not: `INVALID_API_KEY`, `KEY_DISABLED`, `KEY_EXPIRED`, `INSUFFICIENT_PERMISSIONS`,
    /// `USAGE_EXCEEDED`, `RATE_LIMITED`; the first that holds, in this order.
    code: String,
    /// The key, where the caller sees it.
    key_id: Nullable<Uuid>,
    /// The organization that owns it.
    org_id: Nullable<Uuid>,
    /// Its name.
    name: Nullable<String>,
    /// What it was given. For a user's key the user's own permissions count too: ask for what is needed.
    permissions: Nullable<Vec<String>>,
    /// What its maker keeps with it.
    metadata: Nullable<JsonObject>,
    /// Uses that are left after this one; null: any number.
    remaining: Nullable<u64>,
    /// From this moment on it is refused; null: never.
    expires_at: Nullable<Moment>,
    rate_limit: Nullable<RateLimitView>,
}

/// The window of a rate-limited key, as the header fields `RateLimit` and `Retry-After` tell it.
#[derive(Object, Serialize)]
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
#[derive(Object, Serialize)]
#[oai(rename = "Verdicts")]
pub(super) struct VerdictsView {
    /// One for each question.
    pub(super) results: Vec<VerdictView>,
}

impl VerdictView {
    pub(super) fn new(verdict: &Verdict, now: Timestamp) -> Self {
        match verdict {
            Verdict::Valid(valid) => {
                let key = &valid.key;
                Self {
                    valid: true,
                    code: "VALID".to_owned(),
                    key_id: Nullable(Some(key.id().uuid())),
                    org_id: Nullable(Some(key.organization().uuid())),
                    name: Nullable(key.name().map(ToOwned::to_owned)),
                    permissions: Nullable(Some(key.permissions().flat())),
                    metadata: Nullable(key.metadata().map(|text| JsonObject(stored_object(text)))),
                    remaining: Nullable(valid.quota.remaining),
                    expires_at: Nullable(key.expires_at().map(Moment)),
                    rate_limit: Nullable(window(&valid.quota, now)),
                }
            }
            Verdict::Refused { refusal, key } => {
                let limit = key.as_ref().and_then(|key| key.quota().rate_limit);
                let rate_limit = match (refusal, limit) {
                    (Refusal::RateLimited { try_again_in }, Some(limit)) => {
                        Some(RateLimitView { limit: limit.max, remaining: 0, reset: try_again_in.div_ceil(1_000) })
                    }
                    _ => None,
                };
                Self {
                    valid: false,
                    code: refusal.code().to_owned(),
                    key_id: Nullable(key.as_ref().map(|key| key.id().uuid())),
                    org_id: Nullable(key.as_ref().map(|key| key.organization().uuid())),
                    name: Nullable(None),
                    permissions: Nullable(None),
                    metadata: Nullable(None),
                    remaining: Nullable((*refusal == Refusal::UsageExceeded).then_some(0)),
                    expires_at: Nullable(None),
                    rate_limit: Nullable(rate_limit),
                }
            }
        }
    }
}

fn window(quota: &Quota, now: Timestamp) -> Option<RateLimitView> {
    let limit = quota.rate_limit?;
    let gone = quota.window_start.map_or(0, |start| now.millis_since(start));
    Some(RateLimitView {
        limit: limit.max,
        remaining: limit.max.saturating_sub(quota.window_count),
        reset: limit.window.saturating_sub(gone).div_ceil(1_000),
    })
}
