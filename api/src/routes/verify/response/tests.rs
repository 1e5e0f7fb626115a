//! Compares the written JSON with the documented types.

use poem_openapi::types::ToJSON;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    http::strict_json::stored_object,
    verifier::samples::{Sample, sample},
};

/// A verdict as its documented type.
fn view(verdict: &Verdict) -> VerdictView {
    let (valid, deny_reason, key) = match verdict {
        Verdict::Valid(valid) => (Some(valid), None, Some(&valid.key)),
        Verdict::Denied { deny_reason, key } => (None, Some(*deny_reason), key.as_ref()),
    };
    let owned = |text: Option<&str>| Nullable(text.map(ToOwned::to_owned));
    let rate_limit = match (valid, deny_reason) {
        (Some(valid), _) => window(valid),
        (None, Some(DenyReason::RateLimited { try_again_in })) => {
            let limit = key.and_then(|key| key.quota().rate_limit);
            limit.map(|limit| RateLimitView { limit: limit.max, remaining: 0, reset: try_again_in.div_ceil(1_000) })
        }
        _ => None,
    };
    let remaining = match deny_reason {
        Some(DenyReason::UsageExceeded { remaining }) => Some(remaining),
        _ => valid.and_then(|valid| valid.quota.remaining),
    };
    // The settings of the key are shown for a valid key only.
    let shown = valid.map(|valid| &valid.key);
    VerdictView {
        valid: valid.is_some(),
        code: Code::new(deny_reason.map_or("VALID", DenyReason::code)),
        key_id: Nullable(key.map(|key| key.id().uuid())),
        org_id: Nullable(key.map(|key| key.organization().uuid())),
        org_external_id: owned(key.and_then(|key| key.organization_external_id())),
        external_id: owned(key.and_then(|key| key.external_id())),
        name: owned(shown.and_then(|key| key.name())),
        permissions: Nullable(shown.map(|key| key.permissions().flat())),
        metadata: Nullable(shown.and_then(|key| key.metadata()).map(|text| JsonObject(stored_object(text)))),
        remaining: Nullable(remaining),
        expires_at: Nullable(shown.and_then(|key| key.expires_at()).map(Rfc3339)),
        rate_limit: Nullable(rate_limit),
        checks: None,
    }
}

fn text(written: JsonText) -> String {
    String::from_utf8(written.into_bytes()).expect("UTF-8")
}

proptest! {
    #[test]
    fn a_verdict_is_written_as_its_documented_type(Sample { verdict, .. } in sample()) {
        prop_assert_eq!(text(write(&verdict)), view(&verdict).to_json_string());
    }

    #[test]
    fn a_batch_is_written_as_its_documented_type(samples in vec(sample(), 0..4)) {
        let verdicts: Vec<Verdict> = samples.into_iter().map(|sample| sample.verdict).collect();
        let view = VerdictsView { results: verdicts.iter().map(view).collect() };
        prop_assert_eq!(text(write_all(&verdicts)), view.to_json_string());
    }
}
