//! Payloads are read back as they were written, and no payload makes a node panic.

use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest},
};
use sea_orm::prelude::Uuid;

use super::*;

/// Invalidations of any kind, some with more items than a payload has.
fn invalidations() -> impl Strategy<Value = Invalidations> {
    let uuids = || vec(any::<u128>().prop_map(Uuid::from_u128), 0..=2 * MAX_ITEMS + 1);
    let keys = vec(any::<[u8; 32]>().prop_map(SecretHash::from_bytes), 0..=2 * MAX_ITEMS + 1);
    let organizations = uuids().prop_map(|ids| ids.into_iter().map(OrganizationId::from_uuid).collect::<Vec<_>>());
    let members = uuids().prop_map(|ids| {
        let member = |id: Uuid| (OrganizationId::from_uuid(id), UserId::from_uuid(Uuid::from_u128(!id.as_u128())));
        ids.into_iter().map(member).collect::<Vec<_>>()
    });
    let sets = uuids().prop_map(|ids| ids.into_iter().map(SetId::from_uuid).collect::<Vec<_>>());
    (keys, organizations, members, sets, any::<bool>()).prop_map(|(keys, organizations, members, sets, key_formats)| {
        Invalidations { keys, organizations, members, sets, key_formats }
    })
}

/// Payloads that begin like a valid one, and arbitrary ones.
fn payloads() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![ALL, KEYS, ORGANIZATIONS, MEMBERS, SETS, KEY_FORMATS, HEARTBEAT, ""]);
    let item = prop::sample::select(vec![
        "",
        "0",
        "ä",
        "/",
        "+1",
        "00000000-0000-7000-8000-000000000000",
        "00000000-0000-7000-8000-000000000000/00000000-0000-7000-8000-000000000001",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "99999999999999999999999999",
    ]);
    let ours = (kind, vec(item, 0..4), any::<String>())
        .prop_map(|(kind, items, rest)| format!("{kind} {}{rest}", items.join(" ")));
    let bytes = vec(any::<u8>(), 0..300).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ours.boxed().prop_union(bytes.boxed())
}

proptest! {
    #[test]
    fn invalidations_are_read_back_as_they_were_written(changed in invalidations()) {
        let mut read = Invalidations::default();
        for payload in changed.payloads() {
            prop_assert!(payload.len() < 8_000, "PostgreSQL does not accept {} bytes", payload.len());
            let Notification::Invalidate(part) = Notification::parse(&payload) else { panic!("{payload}") };
            read.keys.extend(part.keys);
            read.organizations.extend(part.organizations);
            read.members.extend(part.members);
            read.sets.extend(part.sets);
            read.key_formats |= part.key_formats;
        }
        prop_assert_eq!(read, changed);
    }

    #[test]
    fn heartbeats_are_read_back_as_they_were_written(node in any::<u128>(), sent_at in any::<u64>()) {
        let node = Uuid::from_u128(node).to_string();
        let read = Notification::parse(&heartbeat(&node, sent_at));
        prop_assert_eq!(read, Notification::Heartbeat { node, sent_at });
    }

    #[test]
    fn no_payload_makes_the_parser_panic(payload in payloads()) {
        // What is understood means the same when it is written again.
        if let Notification::Invalidate(changed) = Notification::parse(&payload) {
            for payload in changed.payloads() {
                prop_assert!(matches!(Notification::parse(&payload), Notification::Invalidate(_)), "{payload}");
            }
        }
    }
}

#[test]
fn a_payload_that_is_not_understood_invalidates_everything() {
    for other in ["all", "", "keys 00", "keys zz", "sets x", "members 1", "beat", "beat x", "from a newer version"] {
        assert_eq!(Notification::parse(other), Notification::InvalidateAll, "{other}");
    }
}

#[test]
fn changes_of_very_many_keys_are_announced_as_all() {
    let keys = vec![SecretHash::from_bytes([7; 32]); MAX_KEYS + 1];
    assert_eq!(Invalidations { keys, ..Invalidations::default() }.payloads(), ["all"]);
}
