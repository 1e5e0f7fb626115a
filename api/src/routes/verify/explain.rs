//! The explanation of a verdict, check by check: domain → JSON.

use domain::{
    deny_reason::{DenyCode, DenyReason},
    verify::{
        Check, CheckKind, Explanation, MalformedSecret,
        result::{Valid, Verdict},
    },
};
use poem_openapi::{Enum, Object, types::ToJSON};
use serde_json::{Map, Value, json};

use crate::http::{
    openapi_codes::Code,
    openapi_types::{JsonObject, Nullable},
    rfc3339::Rfc3339,
};

/// A check that verification makes.
#[derive(Object)]
#[oai(rename = "VerifyCheck")]
pub(crate) struct CheckView {
    check: CheckName,
    /// Whether the key passes.
    passed: bool,
    /// The code of the verdict, if this is the first check that fails.
    code: Nullable<Code<DenyCode>>,
    /// The values that are checked.
    inputs: JsonObject,
}

/// What is checked.
#[derive(Enum)]
#[oai(rename = "VerifyCheckName", rename_all = "snake_case")]
enum CheckName {
    /// Whether the key is known and the caller has access to it.
    Key,
    /// Whether its organization is not suspended.
    Organization,
    /// Whether it is enabled and its user is a member.
    Enabled,
    /// Whether its validity has started.
    NotBefore,
    /// Whether it has not expired.
    ExpiresAt,
    /// Whether its IP allowlist has the address.
    Address,
    /// Whether it holds the requested permissions.
    Permissions,
    /// Whether enough uses are left.
    Remaining,
    /// Whether its rate limit is not reached.
    RateLimit,
}

impl CheckView {
    fn new(check: &Check, explanation: &Explanation) -> Self {
        let time = |at| Value::from(Rfc3339(at).text());
        let (name, inputs) = match &check.kind {
            CheckKind::Key { malformed } => {
                let inputs = match (&explanation.key, malformed) {
                    (Some(key), _) => json!({"can_manage": key.can_manage()}),
                    (None, Some(malformed)) => json!({"problem": problem(*malformed)}),
                    (None, None) => json!({}),
                };
                (CheckName::Key, inputs)
            }
            CheckKind::Organization => (CheckName::Organization, json!({"suspended": check.deny_reason.is_some()})),
            CheckKind::Enabled { enabled } => {
                let is_orphan = explanation.key.as_ref().is_some_and(|key| key.is_orphan());
                (CheckName::Enabled, json!({"enabled": enabled, "user_is_member": !is_orphan}))
            }
            CheckKind::Expiry { expires_at } => {
                (CheckName::ExpiresAt, json!({"expires_at": expires_at.map(time), "now": time(explanation.now)}))
            }
            CheckKind::NotBefore { not_before } => {
                (CheckName::NotBefore, json!({"not_before": not_before.map(time), "now": time(explanation.now)}))
            }
            CheckKind::Address { allowed, from } => {
                let allowed = allowed.as_ref().map(|list| list.to_strings().collect::<Vec<_>>());
                (CheckName::Address, json!({"allowed_addresses": allowed, "ip": from.map(|from| from.to_string())}))
            }
            CheckKind::Permissions { needed, missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                (CheckName::Permissions, json!({"needed": needed.flat(), "missing": missing}))
            }
            CheckKind::Remaining { cost, left } => (CheckName::Remaining, json!({"remaining": left, "cost": cost})),
            CheckKind::RateLimit { max, used } => {
                let reset = match check.deny_reason {
                    Some(DenyReason::RateLimited { try_again_in }) => Some(try_again_in.div_ceil(1_000)),
                    _ => None,
                };
                (CheckName::RateLimit, json!({"limit": max, "used": used, "reset": reset}))
            }
        };
        let inputs = if let Value::Object(inputs) = inputs { inputs } else { Map::new() };
        Self {
            check: name,
            passed: check.deny_reason.is_none(),
            code: Nullable(check.deny_reason.map(|deny_reason| Code::new(deny_reason.code()))),
            inputs: JsonObject(inputs),
        }
    }
}

/// What is wrong with the text that was sent as a secret, and what to do.
fn problem(malformed: MalformedSecret) -> &'static str {
    match malformed {
        MalformedSecret::BearerPrefix => "It begins with \"Bearer \": send only the secret after it",
        MalformedSecret::Quoted => "It has quotation marks: send only the secret between them",
        MalformedSecret::Whitespace => "It contains whitespace: a secret has none",
    }
}

/// The verdict that an explanation is about. No use is counted, so the counters are those before the use.
pub(crate) fn verdict(explanation: &Explanation) -> Verdict {
    match (explanation.deny_reason(), &explanation.key) {
        (None, Some(key)) => Verdict::Valid(Valid {
            key: key.clone(),
            quota: explanation.quota,
            window_ends_in: explanation.quota.window_ends_in(explanation.now),
            request_count: key.uses().count(),
            last_request_at: Some(explanation.now),
        }),
        (deny_reason, key) => {
            Verdict::Denied { deny_reason: deny_reason.unwrap_or(DenyReason::InvalidApiKey), key: key.clone() }
        }
    }
}

/// The checks, as a field of the response.
pub(crate) fn checks(explanation: &Explanation) -> Value {
    let checks: Vec<CheckView> = explanation.checks.iter().map(|check| CheckView::new(check, explanation)).collect();
    checks.to_json().unwrap_or_default()
}
