//! Key policies, as text in a column: a line for each rule that is set, its name and then its values, separated by spaces, which
//! neither a permission nor a prefix contains. A line that this version does not know is an error: the policy would be applied in part.

use std::sync::Arc;

use domain::{
    keys::{
        policy::{Catalogue, CatalogueEntry, Days, KeyPolicy, PermissionDescription, RotationRule},
        secret::KeyPrefix,
    },
    permissions::{Permission, Permissions},
};
use sea_orm::prelude::Uuid;

use super::BrokenRow;

const MAX_LIFETIME: &str = "max_lifetime_days";
const EXPIRY_REQUIRED: &str = "expiry_required";
const ADDRESSES_REQUIRED_FOR: &str = "addresses_required_for";
const PREFIX: &str = "prefix";
/// A line for each permission, which its description follows.
const ALLOW: &str = "allow";
const CANNOT_MANAGE: &str = "cannot_manage";
const ROTATION: &str = "rotation";
const ENFORCED_ROTATION: &str = "enforced_rotation";
const DISABLE_UNUSED_AFTER: &str = "disable_unused_after_days";

/// The policy as it is stored: only the rules that are set.
pub(crate) fn key_policy_text(policy: &KeyPolicy) -> String {
    let rules = policy.rules();
    let mut lines = Vec::new();
    let days = |name: &str, days: Days| format!("{name} {}", days.get());
    lines.extend(rules.max_lifetime.map(|max| days(MAX_LIFETIME, max)));
    lines.extend(rules.expiry_required.then(|| EXPIRY_REQUIRED.to_owned()));
    let guarded = rules.addresses_required_for.flat();
    lines.extend((!guarded.is_empty()).then(|| format!("{ADDRESSES_REQUIRED_FOR} {}", guarded.join(" "))));
    lines.extend(rules.prefix.map(|prefix| format!("{PREFIX} {}", prefix.as_str())));
    lines.extend((!rules.can_manage).then(|| CANNOT_MANAGE.to_owned()));
    lines.extend(
        rules.rotation.map(|rotation| days(if rotation.enforce { ENFORCED_ROTATION } else { ROTATION }, rotation.days)),
    );
    lines.extend(rules.disable_unused_after.map(|after| days(DISABLE_UNUSED_AFTER, after)));
    for entry in rules.allowed_permissions.iter().flat_map(Catalogue::entries) {
        let description = entry.description.as_ref().map(|description| format!(" {}", description.as_str()));
        lines.push(format!("{ALLOW} {}{}", entry.permission.flat(), description.unwrap_or_default()));
    }
    lines.join("\n")
}

/// The policy in a column of this table.
pub(crate) fn key_policy(
    stored: Option<&str>,
    table: &'static str,
    row: Uuid,
) -> Result<Option<Arc<KeyPolicy>>, BrokenRow> {
    let broken = BrokenRow { table, column: "key_policy", row };
    stored.map(|text| parse(text).map(Arc::new).ok_or(broken)).transpose()
}

/// `None`: it is not a policy of this version.
fn parse(text: &str) -> Option<KeyPolicy> {
    let mut rules = KeyPolicy::default().rules();
    let mut entries = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            MAX_LIFETIME => rules.max_lifetime = Some(days(value)?),
            EXPIRY_REQUIRED => rules.expiry_required = true,
            ADDRESSES_REQUIRED_FOR => {
                rules.addresses_required_for = Permissions::from_flat(value.split_ascii_whitespace()).ok()?;
            }
            PREFIX => rules.prefix = Some(KeyPrefix::parse(value).ok()?),
            CANNOT_MANAGE => rules.can_manage = false,
            ROTATION => rules.rotation = Some(RotationRule { days: days(value)?, enforce: false }),
            ENFORCED_ROTATION => rules.rotation = Some(RotationRule { days: days(value)?, enforce: true }),
            DISABLE_UNUSED_AFTER => rules.disable_unused_after = Some(days(value)?),
            ALLOW => entries.push(entry(value)?),
            _ => return None,
        }
    }
    if !entries.is_empty() {
        rules.allowed_permissions = Some(Catalogue::new(entries).ok()?);
    }
    KeyPolicy::new(rules).ok()
}

fn days(value: &str) -> Option<Days> {
    Days::new(value.parse().ok()?).ok()
}

fn entry(value: &str) -> Option<CatalogueEntry> {
    let (permission, description) = match value.split_once(' ') {
        None => (value, None),
        Some((permission, description)) => (permission, Some(PermissionDescription::stored(description).ok()?)),
    };
    Some(CatalogueEntry { permission: Permission::parse(permission).ok()?, description })
}

#[cfg(test)]
mod tests {
    use domain::keys::policy::KeyPolicyRules;

    use super::*;

    #[test]
    fn a_policy_is_read_as_it_was_stored() {
        let full = KeyPolicy::new(KeyPolicyRules {
            max_lifetime: Days::new(90).ok(),
            expiry_required: true,
            addresses_required_for: Permissions::from_flat(["files:write", "*"]).expect("permissions"),
            prefix: KeyPrefix::parse("acme_").ok(),
            allowed_permissions: Catalogue::new(vec![
                CatalogueEntry {
                    permission: Permission::parse("files:*").expect("a permission"),
                    description: PermissionDescription::parse("Read and write \"files\"").ok(),
                },
                CatalogueEntry { permission: Permission::parse("read").expect("a permission"), description: None },
            ])
            .ok(),
            can_manage: false,
            rotation: Some(RotationRule { days: Days::new(30).expect("days"), enforce: true }),
            disable_unused_after: Days::new(60).ok(),
        });
        for policy in [full.expect("valid"), KeyPolicy::default()] {
            assert_eq!(parse(&key_policy_text(&policy)), Some(policy));
        }
        assert_eq!(key_policy_text(&KeyPolicy::default()), "");
    }

    #[test]
    fn a_text_that_breaks_a_rule_is_no_policy() {
        for text in [
            "max_lifetime_days 0",
            "max_lifetime_days 3651",
            "max_lifetime_days",
            "addresses_required_for a:b:c",
            "prefix ",
            "allow a:b:c",
            "allow read\nallow *:read again",
            "rotation x",
            "rule_of_a_newer_version 1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
