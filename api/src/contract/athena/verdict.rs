//! The answer to a verify, in this contract's words.

use domain::{refusal::Refusal, verdict::Verdict};
use poem_openapi::Object;
use serde::Serialize;

use super::dto::KeyView;
use crate::wire::Nullable;

/// Whether a key is good.
#[derive(Object, Serialize)]
#[oai(rename = "AthenaVerdict")]
pub(super) struct VerdictView {
    /// Whether it is.
    valid: bool,
    error: Nullable<RefusalView>,
    key: Nullable<KeyView>,
}

/// Why a key is not good.
#[derive(Object, Serialize)]
#[oai(rename = "AthenaRefusal")]
struct RefusalView {
    /// A sentence for people.
    message: String,
    /// A word for programs.
    code: String,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<RefusalDetails>,
}

/// When a rate-limited key is worth another try.
#[derive(Object, Serialize)]
#[oai(rename = "AthenaRefusalDetails", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct RefusalDetails {
    /// Milliseconds until the window ends.
    try_again_in: u64,
}

impl From<&Verdict> for VerdictView {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Valid(valid) => {
                Self { valid: true, error: Nullable(None), key: Nullable(Some(KeyView::from(valid))) }
            }
            Verdict::Refused { refusal, .. } => {
                Self { valid: false, error: Nullable(Some(RefusalView::from(*refusal))), key: Nullable(None) }
            }
        }
    }
}

impl From<Refusal> for RefusalView {
    fn from(refusal: Refusal) -> Self {
        let (message, try_again_in) = match refusal {
            Refusal::InvalidApiKey => ("Invalid API key.", None),
            Refusal::KeyDisabled => ("API Key is disabled", None),
            Refusal::KeyExpired => ("API Key has expired", None),
            Refusal::InsufficientPermissions => ("API Key lacks a permission that was asked for", None),
            Refusal::UsageExceeded => ("API Key has reached its usage limit", None),
            Refusal::RateLimited { try_again_in } => ("Rate limit exceeded.", Some(try_again_in)),
        };
        Self {
            message: message.to_owned(),
            code: refusal.code().to_owned(),
            details: try_again_in.map(|try_again_in| RefusalDetails { try_again_in }),
        }
    }
}
