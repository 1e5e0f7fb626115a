//! The answer to a verify, in this contract's words.

use domain::{refusal::Refusal, verdict::Verdict};
use poem_openapi::Object;

use super::dto::KeyView;
use crate::wire::Nullable;

/// Whether a key is good.
#[derive(Object)]
#[oai(rename = "AthenaVerdict")]
pub(super) struct VerdictView {
    /// Whether it is.
    valid: bool,
    error: Nullable<RefusalView>,
    key: Nullable<KeyView>,
}

/// Why a key is not good.
#[derive(Object)]
#[oai(rename = "AthenaRefusal")]
struct RefusalView {
    /// A sentence for people.
    message: String,
    /// A word for programs.
    code: String,
    #[oai(skip_serializing_if_is_none)]
    details: Option<RefusalDetails>,
}

/// When a rate-limited key is worth another try.
#[derive(Object)]
#[oai(rename = "AthenaRefusalDetails", rename_all = "camelCase")]
struct RefusalDetails {
    /// Milliseconds until the window ends.
    try_again_in: u64,
}

impl From<&Verdict> for VerdictView {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Valid(key) => {
                Self { valid: true, error: Nullable(None), key: Nullable(Some(KeyView::from(&**key))) }
            }
            Verdict::Refused(refusal) => {
                Self { valid: false, error: Nullable(Some(RefusalView::from(*refusal))), key: Nullable(None) }
            }
        }
    }
}

impl From<Refusal> for RefusalView {
    fn from(refusal: Refusal) -> Self {
        let (code, message, try_again_in) = match refusal {
            Refusal::InvalidApiKey => ("INVALID_API_KEY", "Invalid API key.", None),
            Refusal::KeyDisabled => ("KEY_DISABLED", "API Key is disabled", None),
            Refusal::KeyExpired => ("KEY_EXPIRED", "API Key has expired", None),
            Refusal::InsufficientPermissions => {
                ("INSUFFICIENT_PERMISSIONS", "API Key lacks a permission that was asked for", None)
            }
            Refusal::UsageExceeded => ("USAGE_EXCEEDED", "API Key has reached its usage limit", None),
            Refusal::RateLimited { try_again_in } => ("RATE_LIMITED", "Rate limit exceeded.", Some(try_again_in)),
        };
        Self {
            message: message.to_owned(),
            code: code.to_owned(),
            details: try_again_in.map(|try_again_in| RefusalDetails { try_again_in }),
        }
    }
}
