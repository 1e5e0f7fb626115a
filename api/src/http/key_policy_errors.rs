//! The messages for rules of a key policy that a key would break, which all contracts share.

use domain::keys::policy::{BrokenRule, PolicySource, Violation};

use crate::http::{api_error::Fields, rfc3339::Rfc3339};

/// The broken rules as fields: `key_policy.<rule>` for the organization, and `permission_sets.<id>.key_policy.<rule>` for a
/// permission set, both after `prefix`.
#[must_use]
pub fn broken_rules(prefix: &str, broken: &[BrokenRule]) -> Fields {
    let mut fields = Fields::default();
    for BrokenRule { source, violation } in broken {
        let rule = violation.rule().code();
        let name = match source {
            PolicySource::Organization => format!("{prefix}key_policy.{rule}"),
            PolicySource::Set(set) => format!("{prefix}permission_sets.{set}.key_policy.{rule}"),
        };
        fields.add(&name, describe_violation(violation));
    }
    fields
}

/// The broken rules in one sentence, for contracts whose errors have no fields.
#[must_use]
pub fn broken_rules_sentence(broken: &[BrokenRule]) -> String {
    let fields = broken_rules("", broken);
    let rules: Vec<String> = fields.iter().map(|(name, wrong)| format!("{name}: {wrong}")).collect();
    format!("The key would break its key policies. {}", rules.join(". "))
}

/// What is wrong, and what to do about it.
#[must_use]
pub fn describe_violation(violation: &Violation) -> String {
    match violation {
        Violation::Lifetime { days, latest } => {
            let what = match latest {
                Some(latest) => format!("set expires_at to {} or earlier", Rfc3339(*latest).text()),
                None => "this one is older, so create another key".to_owned(),
            };
            format!("a key must expire at most {} after its creation; {what}", count_days(*days))
        }
        Violation::NoExpiry => "a key must expire; set expires_at".to_owned(),
        Violation::NoAddresses(permission) => {
            format!(
                "a key with the permission {permission}, or a part of it, needs an IP allowlist; set allowed_addresses"
            )
        }
        Violation::Prefix(prefix) => {
            format!("the secret must have the prefix {prefix}; leave out the field prefix, or rotate the key")
        }
        Violation::Permission(permission) => {
            format!("a key must not have the permission {permission}; choose from the allowed permissions")
        }
        Violation::CanManage => "a key must not manage this service; set can_manage to false".to_owned(),
        Violation::Rotation { days, .. } => {
            format!("a secret must be at most {} old; rotate the key", count_days(*days))
        }
        Violation::Unused(days) => {
            format!("a key must be used or changed within {}; use it, or disable it", count_days(*days))
        }
    }
}

fn count_days(days: u32) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}
