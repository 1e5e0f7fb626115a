//! Compares the written JSON with the documented types.

use domain::keys::{api_key::ApiKey, secret::KeyPrefix};
use poem_openapi::types::ToJSON;
use proptest::prelude::*;

use super::*;
use crate::verifier::samples::{Sample, sample, with_quota};

/// A verdict as its documented type.
fn view(Sample { key, verdict }: &Sample) -> VerdictView {
    let (error, key) = match verdict {
        Verdict::Valid(valid) => {
            let key = ApiKey {
                request_count: valid.request_count,
                last_request_at: valid.last_request_at,
                // An imported key whose secret does not begin with the prefix has an empty prefix.
                prefix: KeyPrefix::imported(valid.key.prefix()).expect("a prefix"),
                ..with_quota(key.clone(), valid.quota)
            };
            (None, Some(KeyView::from(&key)))
        }
        Verdict::Denied { deny_reason, .. } => {
            let (message, try_again_in) = describe(*deny_reason);
            let details = try_again_in.map(|try_again_in| RefusalDetails { try_again_in });
            (Some(RefusalView { message: message.to_owned(), code: Code::new(deny_reason.code()), details }), None)
        }
    };
    VerdictView { valid: key.is_some(), error: Nullable(error), key: Nullable(key) }
}

proptest! {
    #[test]
    fn a_verdict_is_written_as_its_documented_type(sample in sample()) {
        let written = String::from_utf8(write(&sample.verdict).into_bytes()).expect("UTF-8");
        prop_assert_eq!(written, view(&sample).to_json_string());
    }
}
