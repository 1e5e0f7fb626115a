//! What verify looks at, check by check: domain → JSON.

use domain::{
    keys::{Check, Explanation, Subject},
    refusal::Refusal,
    verdict::{Valid, Verdict},
};
use poem_openapi::{Object, types::ToJSON};
use serde_json::{Map, Value, json};

use crate::{
    time::Moment,
    wire::{JsonObject, Nullable},
};

/// A check that verify makes.
#[derive(Object)]
#[oai(rename = "VerifyCheck")]
pub(super) struct CheckView {
    /// What is looked at: `key`, `organization`, `enabled`, `not_before`, `expires_at`, `address`, `permissions`, `remaining`, `rate_limit`.
    check: String,
    /// Whether the key passes.
    passed: bool,
    /// The verdict where it does not, and no check before it has failed.
    code: Nullable<String>,
    /// What it looks at.
    inputs: JsonObject,
}

impl CheckView {
    fn new(check: &Check, explanation: &Explanation) -> Self {
        let moment = |at| Value::from(Moment(at).text());
        let (name, inputs) = match &check.subject {
            Subject::Key => ("key", json!({})),
            Subject::Organization => ("organization", json!({"suspended": check.refusal.is_some()})),
            Subject::Enabled { enabled } => {
                let is_orphan = explanation.key.as_ref().is_some_and(|key| key.is_orphan());
                ("enabled", json!({"enabled": enabled, "user_is_member": !is_orphan}))
            }
            Subject::Expiry { expires_at } => {
                ("expires_at", json!({"expires_at": expires_at.map(moment), "now": moment(explanation.now)}))
            }
            Subject::Beginning { not_before } => {
                ("not_before", json!({"not_before": not_before.map(moment), "now": moment(explanation.now)}))
            }
            Subject::Address { allowed, from } => {
                let allowed = allowed.as_ref().map(|list| list.texts().collect::<Vec<_>>());
                ("address", json!({"allowed_addresses": allowed, "ip": from.map(|from| from.to_string())}))
            }
            Subject::Permissions { needed, missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                ("permissions", json!({"needed": needed.flat(), "missing": missing}))
            }
            Subject::Remaining { cost, left } => ("remaining", json!({"remaining": left, "cost": cost})),
            Subject::RateLimit { max, used } => {
                let reset = match check.refusal {
                    Some(Refusal::RateLimited { try_again_in }) => Some(try_again_in.div_ceil(1_000)),
                    _ => None,
                };
                ("rate_limit", json!({"limit": max, "used": used, "reset": reset}))
            }
        };
        let inputs = if let Value::Object(inputs) = inputs { inputs } else { Map::new() };
        Self {
            check: name.to_owned(),
            passed: check.refusal.is_none(),
            code: Nullable(check.refusal.map(|refusal| refusal.code().to_owned())),
            inputs: JsonObject(inputs),
        }
    }
}

/// What verify would say, as if the use that it is about had not been counted, which it was not.
pub(super) fn verdict(explanation: &Explanation) -> Verdict {
    match (explanation.refusal(), &explanation.key) {
        (None, Some(key)) => Verdict::Valid(Valid {
            key: key.clone(),
            quota: explanation.quota,
            window_ends_in: explanation.quota.window_ends_in(explanation.now),
            request_count: key.uses().count(),
            last_request_at: Some(explanation.now),
        }),
        (refusal, key) => Verdict::Refused { refusal: refusal.unwrap_or(Refusal::InvalidApiKey), key: key.clone() },
    }
}

/// The checks, as a member of the answer to verify.
pub(super) fn checks(explanation: &Explanation) -> Value {
    let checks: Vec<CheckView> = explanation.checks.iter().map(|check| CheckView::new(check, explanation)).collect();
    checks.to_json().unwrap_or_default()
}
