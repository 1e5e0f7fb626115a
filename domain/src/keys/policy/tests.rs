//! The rules of policies, and which keys break them.

use proptest::prelude::*;

use super::*;
use crate::{
    id::{KeyId, OrganizationId},
    keys::{api_key::Creator, ip_allowlist::IpAllowlist, settings::KeySettings},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn day(days: i64) -> Timestamp {
    Timestamp::from_millis(days * DAY_MS)
}

fn days(days: u64) -> Days {
    Days::new(days).expect("a number of days")
}

fn permissions(list: &[&str]) -> Permissions {
    Permissions::from_flat(list.iter().copied()).expect("permissions")
}

fn prefix(text: &str) -> KeyPrefix {
    KeyPrefix::parse(text).expect("a prefix")
}

fn catalogue(list: &[&str]) -> Catalogue {
    let entry = |text: &&str| CatalogueEntry {
        permission: Permission::parse(text).expect("a permission"),
        description: PermissionDescription::parse("what it is for").ok(),
    };
    Catalogue::new(list.iter().map(entry).collect()).expect("a catalogue")
}

fn policy(change: impl FnOnce(&mut KeyPolicyRules)) -> KeyPolicy {
    let mut rules = KeyPolicy::default().rules();
    change(&mut rules);
    KeyPolicy::new(rules).expect("a policy")
}

/// A key that was created on day 0.
fn key(settings: KeySettings) -> ApiKey {
    let (id, organization) = (KeyId::from_uuid(uuid::Uuid::nil()), OrganizationId::from_uuid(uuid::Uuid::nil()));
    let begin = (prefix("cvg_"), "cvg_abc".to_owned());
    ApiKey { settings, ..ApiKey::beginning_with(id, organization, begin, Creator::Operator, day(0)) }
}

fn broken(policy: &KeyPolicy, settings: KeySettings) -> Vec<Violation> {
    let key = key(settings);
    policy.broken_settings(&key, &[&key.settings.permissions], day(1))
}

#[test]
fn a_policy_without_rules_is_broken_by_no_key() {
    let settings = KeySettings { permissions: Permissions::all(), ..KeySettings::default() };
    assert_eq!(broken(&KeyPolicy::default(), settings.clone()), []);
    let old = ApiKey { last_request_at: None, ..key(settings) };
    assert_eq!(KeyPolicy::default().broken_by_age(&old, day(0), day(10_000)), []);
}

#[test]
fn lifetimes_begin_with_the_creation_and_a_key_that_never_expires_has_the_longest() {
    let policy = policy(|rules| rules.max_lifetime = Some(days(10)));
    let until = |expires_at| broken(&policy, KeySettings { expires_at, ..KeySettings::default() });
    assert_eq!(until(Some(day(10))), []);
    let late = Violation::Lifetime { days: 10, latest: Some(day(10)) };
    assert_eq!(until(Some(day(10).plus_millis(1))), std::slice::from_ref(&late));
    assert_eq!(until(None), [late]);
    let old = key(KeySettings::default());
    let passed = Violation::Lifetime { days: 10, latest: None };
    assert_eq!(policy.broken_settings(&old, &[], day(10)), [passed], "no expiry is allowed any more");
}

#[test]
fn an_expiry_can_be_required_without_a_maximum() {
    let policy = policy(|rules| rules.expiry_required = true);
    assert_eq!(broken(&policy, KeySettings::default()), [Violation::NoExpiry]);
    assert_eq!(broken(&policy, KeySettings { expires_at: Some(day(3_000)), ..KeySettings::default() }), []);
}

#[test]
fn a_part_of_a_permission_is_enough_to_need_addresses() {
    let policy = policy(|rules| rules.addresses_required_for = permissions(&["files:write", "billing:*"]));
    for (held, needs) in [
        (&["files:read", "mail:write"][..], None),
        (&["files:write"], Some("files:write")),
        (&["files:*"], Some("files:write")),
        (&["write"], Some("files:write")),
        (&["billing:read"], Some("billing:*")),
        (&["*"], Some("files:write")),
        // `*:read` includes it on every resource of customers.
        (&["read"], Some("billing:*")),
    ] {
        let settings = KeySettings { permissions: permissions(held), ..KeySettings::default() };
        let expected: Vec<Violation> =
            needs.map(|text| Violation::NoAddresses(Permission::parse(text).expect("valid"))).into_iter().collect();
        assert_eq!(broken(&policy, settings.clone()), expected, "{held:?}");
        let addresses = IpAllowlist::parse(["192.0.2.0/24"]).ok();
        assert_eq!(broken(&policy, KeySettings { addresses, ..settings }), []);
    }
}

#[test]
fn permissions_of_sets_count_like_those_of_the_key() {
    let policy = policy(|rules| {
        rules.allowed_permissions = Some(catalogue(&["files:*", "read"]));
        rules.addresses_required_for = permissions(&["files:write"]);
    });
    let key = key(KeySettings { permissions: permissions(&["files:read"]), ..KeySettings::default() });
    let of_set = |list: &[&str]| policy.broken_settings(&key, &[&key.settings.permissions, &permissions(list)], day(1));
    let permission = |text: &str| Permission::parse(text).expect("valid");
    assert_eq!(of_set(&["mail:read", "files:list"]), []);
    assert_eq!(of_set(&["files:write"]), [Violation::NoAddresses(permission("files:write"))]);
    assert_eq!(of_set(&["mail:send"]), [Violation::Permission(permission("mail:send"))]);
    let all = [Violation::NoAddresses(permission("files:write")), Violation::Permission(permission("*"))];
    assert_eq!(of_set(&["*"]), all);
}

#[test]
fn prefix_and_management_are_compared() {
    let policy = policy(|rules| (rules.prefix, rules.can_manage) = (Some(prefix("acme_")), false));
    let settings = KeySettings { can_manage: true, ..KeySettings::default() };
    assert_eq!(broken(&policy, settings), [Violation::Prefix("acme_".to_owned()), Violation::CanManage]);
    let key = ApiKey { prefix: prefix("acme_"), ..key(KeySettings { can_manage: false, ..KeySettings::default() }) };
    assert_eq!(policy.broken_settings(&key, &[], day(1)), []);
}

#[test]
fn a_secret_is_too_old_from_the_day_on_and_only_for_a_key_that_can_be_used() {
    let rotation = Some(RotationRule { days: days(30), enforce: true });
    let policy = policy(|rules| rules.rotation = rotation);
    let overdue = [Violation::Rotation { days: 30, enforce: true }];
    let usable = key(KeySettings::default());
    assert_eq!(policy.broken_by_age(&usable, day(5), day(35).plus_millis(-1)), []);
    assert_eq!(policy.broken_by_age(&usable, day(5), day(35)), overdue);
    let disabled = key(KeySettings { enabled: false, ..KeySettings::default() });
    let deleted = ApiKey { deleted_at: Some(day(1)), ..usable.clone() };
    let expired = key(KeySettings { expires_at: Some(day(35)), ..KeySettings::default() });
    for unusable in [disabled, deleted, expired] {
        assert_eq!(policy.broken_by_age(&unusable, day(5), day(35)), []);
    }
}

#[test]
fn a_key_is_unused_if_it_was_neither_created_nor_used_nor_changed() {
    let policy = policy(|rules| rules.disable_unused_after = Some(days(30)));
    let unused = key(KeySettings::default());
    let at = |key: &ApiKey, now| policy.broken_by_age(key, day(0), now);
    assert_eq!(at(&unused, day(30).plus_millis(-1)), []);
    assert_eq!(at(&unused, day(30)), [Violation::Unused(30)]);
    let used = ApiKey { last_request_at: Some(day(1)), ..unused.clone() };
    let changed = ApiKey { updated_at: day(1), ..unused.clone() };
    for key in [used, changed] {
        assert_eq!((at(&key, day(30)), at(&key, day(31))), (vec![], vec![Violation::Unused(30)]));
    }
    let imported = ApiKey { last_request_at: Some(day(-5)), ..unused };
    assert_eq!(at(&imported, day(29)), [], "a young key is never unused");
}

#[test]
fn only_enforced_rules_disable_and_the_youngest_age_is_known() {
    let rotation = |enforce| Some(RotationRule { days: days(10), enforce });
    let reported = policy(|rules| rules.rotation = rotation(false));
    assert_eq!((reported.disables_keys(), reported.min_age_of_disabled()), (false, None));
    let both = policy(|rules| (rules.rotation, rules.disable_unused_after) = (rotation(true), Some(days(5))));
    assert_eq!((both.disables_keys(), both.min_age_of_disabled()), (true, Some(days(5))));
    let disabled_by = |policy: &KeyPolicy, now| {
        let policies = AppliedPolicies::new(Some(std::sync::Arc::new(policy.clone())), Vec::new());
        policies.disabled_by(&key(KeySettings::default()), day(0), now)
    };
    assert_eq!(disabled_by(&reported, day(10)), None);
    assert_eq!(disabled_by(&both, day(5)), Some(KeyRule::DisableUnusedAfterDays));
    assert_eq!(disabled_by(&both, day(10)), Some(KeyRule::Rotation));
}

#[test]
fn rules_have_bounds() {
    let range = Err(ValidationError::Range { min: 1, max: 3_650 });
    assert_eq!([Days::new(0), Days::new(3_651), Days::new(u64::MAX)], [range.clone(), range.clone(), range]);
    assert_eq!(Days::new(3_650).map(Days::get), Ok(3_650));
    assert_eq!(Catalogue::new(Vec::new()), Err(ValidationError::Catalogue));
    let entries = |count: usize, length: usize| -> Vec<CatalogueEntry> {
        let entry = |n| CatalogueEntry {
            permission: Permission::new("files", &format!("a{n}")).expect("a permission"),
            description: PermissionDescription::parse(&"x".repeat(length)).ok(),
        };
        (0..count).map(entry).collect()
    };
    assert!(Catalogue::new(entries(200, 1)).is_ok());
    assert_eq!(Catalogue::new(entries(201, 1)), Err(ValidationError::Catalogue));
    let twice = [entries(1, 1), entries(1, 2)].concat();
    assert_eq!(Catalogue::new(twice), Err(ValidationError::Catalogue));
    let with = |change: &dyn Fn(&mut KeyPolicyRules)| {
        let mut rules = KeyPolicy::default().rules();
        change(&mut rules);
        KeyPolicy::new(rules).map(|_| ())
    };
    assert_eq!(with(&|rules| rules.allowed_permissions = Catalogue::new(entries(75, 200)).ok()), Ok(()));
    assert_eq!(
        with(&|rules| rules.allowed_permissions = Catalogue::new(entries(80, 200)).ok()),
        Err(("allowed_permissions", ValidationError::KeyPolicySize))
    );
    let guarded = |count: usize| {
        with(&|rules| {
            let list = (0..count).map(|n| Permission::new("files", &format!("a{n}")).expect("a permission"));
            rules.addresses_required_for = Permissions::new(list).expect("permissions");
        })
    };
    assert_eq!(guarded(50), Ok(()));
    assert_eq!(guarded(51), Err(("addresses_required_for", ValidationError::AddressesRequiredFor)));
}

const PERMISSIONS: [&str; 7] = ["files:read", "files:write", "files:*", "mail:send", "read", "org:admin", "*"];

fn some_permissions() -> impl Strategy<Value = Permissions> {
    proptest::sample::subsequence(PERMISSIONS.to_vec(), 0..4).prop_map(|list| permissions(&list))
}

fn some_policy() -> impl Strategy<Value = KeyPolicy> {
    let allowed = proptest::option::of(proptest::sample::subsequence(PERMISSIONS.to_vec(), 1..5));
    let lifetime = proptest::option::of(1..100_u64);
    (lifetime, any::<bool>(), some_permissions(), allowed, any::<bool>()).prop_map(
        |(lifetime, expiry, guarded, list, can_manage)| {
            policy(|rules| {
                rules.max_lifetime = lifetime.map(days);
                rules.expiry_required = expiry;
                rules.addresses_required_for = guarded;
                rules.allowed_permissions = list.as_deref().map(catalogue);
                rules.can_manage = can_manage;
            })
        },
    )
}

fn some_settings() -> impl Strategy<Value = KeySettings> {
    let expiry = proptest::option::of(2..200_i64);
    (some_permissions(), expiry, any::<bool>(), any::<bool>()).prop_map(
        |(permissions, expiry, has_addresses, manage)| KeySettings {
            permissions,
            expires_at: expiry.map(day),
            addresses: if has_addresses { IpAllowlist::parse(["192.0.2.0/24"]).ok() } else { None },
            can_manage: manage,
            ..KeySettings::default()
        },
    )
}

proptest! {
    /// That is why changes which only restrict a key are not checked.
    #[test]
    fn restricting_a_key_breaks_no_further_rule(
        policy in some_policy(), before in some_settings(), change in some_settings(), has_addresses in any::<bool>()
    ) {
        let after = KeySettings {
            permissions: if before.permissions.covers(&change.permissions) { change.permissions } else { before.permissions.clone() },
            expires_at: change.expires_at.map(|end| end.no_later_than(before.expires_at)).or(before.expires_at),
            addresses: if has_addresses && before.addresses.is_none() { change.addresses } else { before.addresses.clone() },
            can_manage: before.can_manage && change.can_manage,
            ..before.clone()
        };
        prop_assert!(after.narrows(&before));
        let rules = |settings: KeySettings| -> Vec<KeyRule> {
            broken(&policy, settings).iter().map(Violation::rule).collect()
        };
        let known = rules(before);
        for rule in rules(after) {
            prop_assert!(known.contains(&rule), "{rule:?}");
        }
    }

    /// A key keeps a policy exactly if none of its rules alone is broken.
    #[test]
    fn rules_are_independent(policy in some_policy(), settings in some_settings()) {
        let all = broken(&policy, settings.clone());
        let rules = policy.rules();
        let only = |change: &dyn Fn(&mut KeyPolicyRules)| super::tests::policy(|alone| change(alone));
        let each = [
            only(&|alone| alone.max_lifetime = rules.max_lifetime),
            only(&|alone| alone.expiry_required = rules.expiry_required),
            only(&|alone| alone.addresses_required_for = rules.addresses_required_for.clone()),
            only(&|alone| alone.allowed_permissions = rules.allowed_permissions.clone()),
            only(&|alone| alone.can_manage = rules.can_manage),
        ];
        let alone: Vec<Violation> = each.iter().flat_map(|policy| broken(policy, settings.clone())).collect();
        prop_assert_eq!(all, alone);
    }
}
