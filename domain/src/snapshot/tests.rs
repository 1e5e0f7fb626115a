//! What a snapshot keeps, decides and weighs.

use std::sync::Arc;

use super::*;
use crate::{
    api_key::{Creator, KeyName, Metadata},
    id::SetId,
};
use crate::{permission::Permission, refusal::Refusal};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn key() -> ApiKey {
    let secret = crate::secret::Secret::generate(&crate::secret::KeyPrefix::standard(), &Zeros);
    ApiKey::new(KeyId::from_uuid(uuid(1)), OrganizationId::from_uuid(uuid(2)), &secret, Creator::Operator, at(1_000))
}

struct Zeros;

impl crate::clock::Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn member(permissions: Option<PermissionSet>) -> Holder {
    Holder { user: UserId::from_uuid(uuid(3)), permissions, sets: Box::default() }
}

fn home(key: &ApiKey, is_suspended: bool) -> Home {
    Home { id: key.organization, kind: OrganizationKind::Tenant, external_id: None, is_suspended }
}

fn snapshot(key: &ApiKey, holder: Option<Holder>, ends_at: Option<Timestamp>) -> Snapshot {
    snapshot_in(home(key, false), key, holder, ends_at)
}

fn snapshot_in(home: Home, key: &ApiKey, holder: Option<Holder>, ends_at: Option<Timestamp>) -> Snapshot {
    let given = Given { permissions: key.permissions.clone(), sets: Box::default() };
    let shared = Shared {
        home: Arc::new(Common::new(home, 0, &Totals::default())),
        holder: holder.map(|holder| Arc::new(Common::new(holder, 0, &Totals::default()))),
        given: Arc::new(Common::new(given, 0, &Totals::default())),
    };
    let text = format!("cvg_{}", "0".repeat(43));
    let hash = SecretHash::of(&format!("{text}{}", crate::secret::check(&text[4..]))).expect("well formed");
    Snapshot::new(hash, key, shared, ends_at)
}

#[test]
fn what_is_packed_is_found_again() {
    let plain = snapshot(&key(), None, None);
    assert_eq!((plain.start(), plain.prefix(), plain.name(), plain.metadata()), ("cvg_000000", "cvg_", None, None));
    assert_eq!((plain.expires_at(), plain.updated_at(), plain.version()), (None, at(1_000), 0));
    assert!(plain.seldom.is_none() && !plain.is_metered() && plain.is_enabled());
    let full = ApiKey {
        name: Some(KeyName::parse("Ünïcode").expect("a name")),
        external_id: Some(ExternalId::parse("größer").expect("an external id")),
        metadata: Some(Metadata::parse(r#"{"a":1}"#).expect("metadata")),
        quota: Quota { remaining: Some(3), ..Quota::default() },
        expires_at: Some(at(9_000)),
        updated_at: at(2_000),
        version: 7,
        request_count: 5,
        last_request_at: Some(at(1_500)),
        ..key()
    };
    let packed = snapshot(&full, None, None);
    assert_eq!((packed.name(), packed.metadata()), (Some("Ünïcode"), Some(r#"{"a":1}"#)));
    assert_eq!((packed.external_id(), plain.external_id()), (Some("größer"), None));
    assert_eq!((packed.expires_at(), packed.updated_at(), packed.version()), (Some(at(9_000)), at(2_000), 7));
    assert_eq!((packed.quota(), packed.is_metered()), (full.quota, true));
    assert_eq!((packed.uses().count(), packed.uses().last()), (5, Some(at(1_500))));
}

#[test]
fn a_small_key_takes_little_memory() {
    assert!(size_of::<Snapshot>() <= 144, "{}", size_of::<Snapshot>());
}

#[test]
fn the_first_reason_wins() {
    let expired = ApiKey { expires_at: Some(at(2_000)), ..key() };
    let off = ApiKey { enabled: false, ..expired.clone() };
    assert_eq!(snapshot(&expired, None, None).check(at(1_999), None), Ok(()));
    assert_eq!(snapshot(&expired, None, None).check(at(2_000), None), Err(Refusal::KeyExpired));
    assert_eq!(snapshot(&off, None, None).check(at(2_000), None), Err(Refusal::KeyDisabled));
    assert_eq!(snapshot(&expired, Some(member(None)), None).check(at(2_000), None), Err(Refusal::KeyDisabled));
    assert_eq!(snapshot(&off, None, Some(at(2_000))).check(at(2_000), None), Err(Refusal::InvalidApiKey));
    let suspended = |ends_at| snapshot_in(home(&off, true), &off, None, ends_at);
    assert_eq!(suspended(None).check(at(2_000), None), Err(Refusal::OrganizationSuspended));
    assert_eq!(suspended(Some(at(2_000))).check(at(2_000), None), Err(Refusal::InvalidApiKey));
    assert_eq!(snapshot(&key(), None, Some(at(2_000))).check(at(1_999), None), Ok(()));
}

#[test]
fn a_key_has_a_time_and_a_place() {
    let addresses = Some(AddressList::parse(["10.0.0.0/8"]).expect("a network"));
    let bound = ApiKey { not_before: Some(at(1_000)), expires_at: Some(at(2_000)), addresses, ..key() };
    let check = |now, from: Option<&str>| {
        snapshot(&bound, None, None).check(at(now), from.map(|from| from.parse().expect("an address")))
    };
    assert_eq!(check(999, None), Err(Refusal::KeyNotYetValid), "before the address is looked at");
    assert_eq!(check(1_000, Some("10.1.2.3")), Ok(()));
    assert_eq!(check(1_000, Some("::ffff:10.1.2.3")), Ok(()));
    assert_eq!(check(1_000, Some("11.1.2.3")), Err(Refusal::AddressNotAllowed));
    assert_eq!(check(1_000, None), Err(Refusal::AddressNotAllowed), "an address that is not known is none of them");
    assert_eq!(check(2_000, None), Err(Refusal::KeyExpired));
    assert!(snapshot(&bound, None, None).size() > snapshot(&key(), None, None).size());
}

#[test]
fn grants_are_what_key_and_user_hold() {
    let set = |texts: &[&str]| PermissionSet::from_flat(texts.iter().copied()).expect("valid");
    let key = ApiKey { permissions: set(&["files:*"]), ..key() };
    let [read, write] = ["files:read", "files:write"].map(|text| Permission::parse(text).expect("valid"));
    for (member, reads, writes) in
        [(None, true, true), (Some(member(Some(set(&["read"])))), true, false), (Some(member(None)), false, false)]
    {
        let snapshot = snapshot(&key, member, None);
        assert_eq!((snapshot.allows(&read), snapshot.allows(&write)), (reads, writes));
        assert_eq!((snapshot.grants().allows(&read), snapshot.grants().allows(&write)), (reads, writes));
    }
}

#[test]
fn what_is_shared_outdates_all_that_share_it() {
    let key = key();
    for part in 0..3 {
        let one = snapshot(&key, Some(member(None)), None);
        assert!(!one.is_outdated());
        match part {
            0 => one.shared.home.outdate(),
            1 => one.shared.given.outdate(),
            _ => one.shared.holder.as_ref().expect("a user's key").outdate(),
        }
        assert!(one.is_outdated(), "{part}");
    }
}

#[test]
fn a_set_outdates_all_who_have_it() {
    let set = |n| Arc::new(Common::new(SetId::from_uuid(uuid(n)), 0, &Totals::default()));
    let (of_key, of_member) = (set(1), set(2));
    for changed in [&of_key, &of_member] {
        let key = key();
        let mut snapshot = snapshot(&key, None, None);
        let given = Given { permissions: PermissionSet::default(), sets: [of_key.clone(), set(3)].into() };
        let holder = Holder { sets: [set(4), of_member.clone()].into(), ..member(None) };
        snapshot.shared.given = Arc::new(Common::new(given, 0, &Totals::default()));
        snapshot.shared.holder = Some(Arc::new(Common::new(holder, 0, &Totals::default())));
        assert_eq!(snapshot.is_outdated(), of_key.is_outdated());
        changed.outdate();
        assert!(snapshot.is_outdated());
    }
}

#[test]
fn shared_values_are_counted_while_anything_holds_them() {
    let totals = Totals::default();
    let long = "x".repeat(60);
    let sets: Vec<PermissionSet> = (0..4)
        .map(|set| {
            let texts: Vec<String> = (0..PermissionSet::MAX).map(|n| format!("{long}{set}:{long}{n}")).collect();
            PermissionSet::from_flat(texts.iter().map(String::as_str)).expect("permissions")
        })
        .collect();
    let mut kept = Vec::new();
    let taken = allocation_counter::measure(|| {
        let permissions = PermissionSet::union(&sets);
        kept.push(Arc::new(Common::new(Given { permissions, sets: Box::default() }, 0, &totals)));
    });
    let taken = usize::try_from(taken.bytes_current).expect("more than before");
    assert!((taken..taken * 5 / 4).contains(&totals.bytes()), "{} for {taken}", totals.bytes());
    assert_eq!((totals.count(), totals.bytes()), (1, kept[0].size()));
    kept.push(kept[0].clone());
    assert_eq!((totals.count(), totals.bytes()), (1, kept[0].size()), "once, however many hold it");
    kept.pop();
    assert_eq!(totals.count(), 1);
    kept.pop();
    assert_eq!((totals.count(), totals.bytes()), (0, 0));
}
