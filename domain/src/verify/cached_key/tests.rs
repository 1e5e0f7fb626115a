//! Tests of the contents, the checks and the size of a cached key.

use std::sync::Arc;

use super::*;
use crate::{deny_reason::DenyReason, permissions::Permission};
use crate::{
    id::SetId,
    keys::{
        api_key::{Creator, KeyName, Metadata},
        settings::KeySettings,
    },
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn key() -> ApiKey {
    let secret = crate::keys::secret::Secret::generate(&crate::keys::secret::KeyPrefix::default_prefix(), &Zeros);
    ApiKey::new(KeyId::from_uuid(uuid(1)), OrganizationId::from_uuid(uuid(2)), &secret, Creator::Operator, at(1_000))
}

fn with(settings: KeySettings) -> ApiKey {
    ApiKey { settings, ..key() }
}

struct Zeros;

impl crate::clock::Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn member(permissions: Option<Permissions>) -> MemberInfo {
    MemberInfo { user: UserId::from_uuid(uuid(3)), permissions, sets: Box::default() }
}

fn organization(key: &ApiKey, is_suspended: bool) -> OrganizationInfo {
    OrganizationInfo { id: key.organization, kind: OrganizationKind::Tenant, external_id: None, is_suspended }
}

fn cached_key(key: &ApiKey, member: Option<MemberInfo>, ends_at: Option<Timestamp>) -> CachedKey {
    cached_key_in(organization(key, false), key, member, ends_at)
}

fn cached_key_in(
    organization: OrganizationInfo,
    key: &ApiKey,
    member: Option<MemberInfo>,
    ends_at: Option<Timestamp>,
) -> CachedKey {
    let permissions = KeyPermissions { permissions: key.settings.permissions.clone(), sets: Box::default() };
    let shared = SharedValues {
        organization: Arc::new(Interned::new(organization, 0, &Totals::default())),
        member: member.map(|member| Arc::new(Interned::new(member, 0, &Totals::default()))),
        permissions: Arc::new(Interned::new(permissions, 0, &Totals::default())),
    };
    let text = format!("cvg_{}", "0".repeat(43));
    let hash = SecretHash::of(&format!("{text}{}", crate::keys::secret::check(&text[4..]))).expect("well formed");
    CachedKey::new(hash, key, shared, ends_at)
}

#[test]
fn a_cached_key_has_all_fields_of_its_key() {
    let plain = cached_key(&key(), None, None);
    assert_eq!((plain.start(), plain.prefix(), plain.name(), plain.metadata()), ("cvg_000000", "cvg_", None, None));
    assert_eq!((plain.expires_at(), plain.updated_at(), plain.version()), (None, at(1_000), 0));
    assert!(plain.rare.is_none() && !plain.is_metered() && plain.is_enabled());
    let full = ApiKey {
        settings: KeySettings {
            name: Some(KeyName::parse("Ünïcode").expect("a name")),
            external_id: Some(ExternalId::parse("größer").expect("an external id")),
            can_manage: false,
            metadata: Some(Metadata::parse(r#"{"a":1}"#).expect("metadata")),
            remaining: Some(3),
            expires_at: Some(at(9_000)),
            ..KeySettings::default()
        },
        updated_at: at(2_000),
        version: 7,
        request_count: 5,
        last_request_at: Some(at(1_500)),
        ..key()
    };
    let packed = cached_key(&full, None, None);
    assert_eq!((packed.name(), packed.metadata()), (Some("Ünïcode"), Some(r#"{"a":1}"#)));
    assert_eq!((packed.external_id(), plain.external_id()), (Some("größer"), None));
    assert_eq!((packed.expires_at(), packed.updated_at(), packed.version()), (Some(at(9_000)), at(2_000), 7));
    assert_eq!((packed.can_manage(), plain.can_manage()), (false, true));
    assert_eq!((packed.quota(), packed.is_metered()), (full.quota(), true));
    assert_eq!((packed.uses().count(), packed.uses().last()), (5, Some(at(1_500))));
}

#[test]
fn a_small_cached_key_takes_little_memory() {
    assert!(size_of::<CachedKey>() <= 144, "{}", size_of::<CachedKey>());
}

#[test]
fn the_first_deny_reason_is_returned() {
    let expired = with(KeySettings { expires_at: Some(at(2_000)), ..KeySettings::default() });
    let off = with(KeySettings { enabled: false, ..expired.settings.clone() });
    assert_eq!(cached_key(&expired, None, None).check(at(1_999), None), Ok(()));
    assert_eq!(cached_key(&expired, None, None).check(at(2_000), None), Err(DenyReason::KeyExpired));
    assert_eq!(cached_key(&off, None, None).check(at(2_000), None), Err(DenyReason::KeyDisabled));
    assert_eq!(cached_key(&expired, Some(member(None)), None).check(at(2_000), None), Err(DenyReason::KeyDisabled));
    assert_eq!(cached_key(&off, None, Some(at(2_000))).check(at(2_000), None), Err(DenyReason::InvalidApiKey));
    let suspended = |ends_at| cached_key_in(organization(&off, true), &off, None, ends_at);
    assert_eq!(suspended(None).check(at(2_000), None), Err(DenyReason::OrganizationSuspended));
    assert_eq!(suspended(Some(at(2_000))).check(at(2_000), None), Err(DenyReason::InvalidApiKey));
    assert_eq!(cached_key(&key(), None, Some(at(2_000))).check(at(1_999), None), Ok(()));
}

#[test]
fn a_cached_key_checks_time_and_address() {
    let addresses = Some(IpAllowlist::parse(["10.0.0.0/8"]).expect("a network"));
    let (not_before, expires_at) = (Some(at(1_000)), Some(at(2_000)));
    let bound = with(KeySettings { not_before, expires_at, addresses, ..KeySettings::default() });
    let check = |now, from: Option<&str>| {
        cached_key(&bound, None, None).check(at(now), from.map(|from| from.parse().expect("an address")))
    };
    assert_eq!(check(999, None), Err(DenyReason::KeyNotYetValid), "checked before the address");
    assert_eq!(check(1_000, Some("10.1.2.3")), Ok(()));
    assert_eq!(check(1_000, Some("::ffff:10.1.2.3")), Ok(()));
    assert_eq!(check(1_000, Some("11.1.2.3")), Err(DenyReason::AddressNotAllowed));
    assert_eq!(check(1_000, None), Err(DenyReason::AddressNotAllowed), "an unknown address is not allowed");
    assert_eq!(check(2_000, None), Err(DenyReason::KeyExpired));
    assert!(cached_key(&bound, None, None).size() > cached_key(&key(), None, None).size());
}

#[test]
fn a_cached_key_grants_what_key_and_user_hold() {
    let set = |strings: &[&str]| Permissions::from_flat(strings.iter().copied()).expect("valid");
    let key = with(KeySettings { permissions: set(&["files:*"]), ..KeySettings::default() });
    let [read, write] = ["files:read", "files:write"].map(|text| Permission::parse(text).expect("valid"));
    for (member, reads, writes) in
        [(None, true, true), (Some(member(Some(set(&["read"])))), true, false), (Some(member(None)), false, false)]
    {
        let cached_key = cached_key(&key, member, None);
        assert_eq!((cached_key.allows(&read), cached_key.allows(&write)), (reads, writes));
        assert_eq!(
            (cached_key.effective_permissions().allows(&read), cached_key.effective_permissions().allows(&write)),
            (reads, writes)
        );
    }
}

#[test]
fn invalidating_a_shared_value_invalidates_all_its_keys() {
    let key = key();
    for part in 0..3 {
        let one = cached_key(&key, Some(member(None)), None);
        assert!(!one.is_invalidated());
        match part {
            0 => one.shared.organization.invalidate(),
            1 => one.shared.permissions.invalidate(),
            _ => one.shared.member.as_ref().expect("a user's key").invalidate(),
        }
        assert!(one.is_invalidated(), "{part}");
    }
}

#[test]
fn invalidating_a_permission_set_invalidates_all_its_keys() {
    let set = |n| Arc::new(Interned::new(SetId::from_uuid(uuid(n)), 0, &Totals::default()));
    let (of_key, of_member) = (set(1), set(2));
    for changed in [&of_key, &of_member] {
        let key = key();
        let mut cached_key = cached_key(&key, None, None);
        let permissions = KeyPermissions { permissions: Permissions::default(), sets: [of_key.clone(), set(3)].into() };
        let member = MemberInfo { sets: [set(4), of_member.clone()].into(), ..member(None) };
        cached_key.shared.permissions = Arc::new(Interned::new(permissions, 0, &Totals::default()));
        cached_key.shared.member = Some(Arc::new(Interned::new(member, 0, &Totals::default())));
        assert_eq!(cached_key.is_invalidated(), of_key.is_invalidated());
        changed.invalidate();
        assert!(cached_key.is_invalidated());
    }
}

#[test]
fn shared_values_are_counted_while_in_use() {
    let totals = Totals::default();
    let long = "x".repeat(60);
    let sets: Vec<Permissions> = (0..4)
        .map(|set| {
            let strings: Vec<String> = (0..Permissions::MAX).map(|n| format!("{long}{set}:{long}{n}")).collect();
            Permissions::from_flat(strings.iter().map(String::as_str)).expect("permissions")
        })
        .collect();
    let mut kept = Vec::new();
    let taken = allocation_counter::measure(|| {
        let permissions = Permissions::union(&sets);
        kept.push(Arc::new(Interned::new(KeyPermissions { permissions, sets: Box::default() }, 0, &totals)));
    });
    let taken = usize::try_from(taken.bytes_current).expect("more than before");
    assert!((taken..taken * 5 / 4).contains(&totals.bytes()), "{} for {taken}", totals.bytes());
    assert_eq!((totals.count(), totals.bytes()), (1, kept[0].size()));
    kept.push(kept[0].clone());
    assert_eq!((totals.count(), totals.bytes()), (1, kept[0].size()), "a shared value is counted once");
    kept.pop();
    assert_eq!(totals.count(), 1);
    kept.pop();
    assert_eq!((totals.count(), totals.bytes()), (0, 0));
}
