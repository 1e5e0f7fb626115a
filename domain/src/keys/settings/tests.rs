//! Tests of changes of settings: what is kept, set and cleared, and which fields are reported as changed.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::validated_string::ValidationError;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (1_i64..1_000_000).prop_map(at)
}

fn any_permissions() -> impl Strategy<Value = Permissions> {
    proptest::sample::subsequence(vec!["files:read", "files:write", "users:*", "*:read"], 0..=4)
        .prop_map(|strings| Permissions::from_flat(strings).expect("permissions"))
}

fn any_sets() -> impl Strategy<Value = Vec<SetId>> {
    proptest::sample::subsequence(vec![1_u128, 2, 3], 0..=3)
        .prop_map(|ids| ids.into_iter().map(|id| SetId::from_uuid(uuid::Uuid::from_u128(id))).collect())
}

fn any_addresses() -> impl Strategy<Value = IpAllowlist> {
    vec(0_u8..=255, 1..4).prop_map(|bytes| {
        let strings: Vec<String> = bytes.iter().map(|byte| format!("10.0.{byte}.0/24")).collect();
        IpAllowlist::parse(strings.iter().map(String::as_str)).expect("networks")
    })
}

/// Any valid settings: `remaining` is set if there is a refill.
fn any_settings() -> impl Strategy<Value = KeySettings> {
    let text = || option::of("[a-z]{1,9}");
    let strings = (text(), text(), text(), text());
    let flags = (any::<bool>(), any::<bool>());
    let times = (option::of(any_time()), option::of(any_time()));
    let rights = (option::of(any_addresses()), any_permissions(), any_sets());
    let limits = (option::of(0..9_u64), option::of((1..9_u64, 1..9_u64, any_time())), option::of((1..9_u64, 1..9_u64)));
    (strings, flags, times, rights, limits).prop_map(|(strings, flags, times, rights, limits)| {
        let refill = limits.1.map(|(amount, interval, since)| Refill { amount, interval, since });
        KeySettings {
            name: strings.0.map(|text| KeyName::parse(&text).expect("a name")),
            description: strings.3.map(|text| Description::parse(&text).expect("a description")),
            enabled: flags.0,
            can_manage: flags.1,
            not_before: times.0,
            expires_at: times.1,
            addresses: rights.0,
            metadata: strings.1.map(|text| Metadata::parse(&format!("{{\"a\":\"{text}\"}}")).expect("metadata")),
            external_id: strings.2.map(|text| ExternalId::parse(&text).expect("an external id")),
            permissions: rights.1,
            sets: rights.2,
            remaining: limits.0.or(refill.map(|refill| refill.amount)),
            refill,
            rate_limit: limits.2.map(|(max, window)| RateLimit { max, window }),
        }
    })
}

/// The patch that sets or clears every setting, so that the result is `settings`.
fn patch_to(settings: &KeySettings) -> KeySettingsPatch {
    let KeySettings { name, enabled, can_manage, not_before, expires_at, addresses, metadata, .. } = settings.clone();
    let KeySettings { description, external_id, permissions, sets, remaining, refill, rate_limit, .. } =
        settings.clone();
    KeySettingsPatch {
        name: Change::to(name),
        description: Change::to(description),
        enabled: Some(enabled),
        can_manage: Some(can_manage),
        not_before: Change::to(not_before),
        expires_at: Change::to(expires_at),
        addresses: Change::to(addresses),
        metadata: Change::to(metadata),
        external_id: Change::to(external_id),
        permissions: Change::Set(permissions),
        sets: Change::Set(sets),
        remaining: Change::to(remaining),
        refill_amount: Change::to(refill.map(|refill| refill.amount)),
        refill_interval: Change::to(refill.map(|refill| refill.interval)),
        rate_limit: RateLimitPatch {
            max: Change::to(rate_limit.map(|limit| limit.max)),
            window: Change::to(rate_limit.map(|limit| limit.window)),
            ..RateLimitPatch::default()
        },
    }
}

/// For each setting of `whole`, a patch of only this setting, and the names of the fields that it may change.
fn parts(whole: KeySettingsPatch) -> Vec<(KeySettingsPatch, Vec<&'static str>)> {
    let none = KeySettingsPatch::default;
    vec![
        (KeySettingsPatch { name: whole.name, ..none() }, vec!["name"]),
        (KeySettingsPatch { description: whole.description, ..none() }, vec!["description"]),
        (KeySettingsPatch { enabled: whole.enabled, ..none() }, vec!["enabled"]),
        (KeySettingsPatch { can_manage: whole.can_manage, ..none() }, vec!["can_manage"]),
        (KeySettingsPatch { not_before: whole.not_before, ..none() }, vec!["not_before"]),
        (KeySettingsPatch { expires_at: whole.expires_at, ..none() }, vec!["expires_at"]),
        (KeySettingsPatch { addresses: whole.addresses, ..none() }, vec!["allowed_addresses"]),
        (KeySettingsPatch { metadata: whole.metadata, ..none() }, vec!["metadata"]),
        (KeySettingsPatch { external_id: whole.external_id, ..none() }, vec!["external_id"]),
        (KeySettingsPatch { permissions: whole.permissions, ..none() }, vec!["permissions"]),
        (KeySettingsPatch { sets: whole.sets, ..none() }, vec!["permission_sets"]),
        (
            KeySettingsPatch {
                remaining: whole.remaining,
                refill_amount: whole.refill_amount,
                refill_interval: whole.refill_interval,
                ..none()
            },
            vec!["remaining", "refill_amount", "refill_interval"],
        ),
        (KeySettingsPatch { rate_limit: whole.rate_limit, ..none() }, vec!["rate_limit_max", "rate_limit_window"]),
    ]
}

/// The settings without the start of the refill interval, and with sorted permission sets.
fn normalized(settings: &KeySettings) -> KeySettings {
    let mut normalized = settings.clone();
    normalized.sets.sort_by_key(|set| set.uuid());
    normalized.refill = normalized.refill.map(|refill| Refill { since: at(0), ..refill });
    normalized
}

proptest! {
    #[test]
    fn an_empty_patch_changes_nothing(settings in any_settings(), now in any_time()) {
        let patch = KeySettingsPatch::default();
        prop_assert!(patch.is_empty());
        let after = patch.apply(&settings, now).expect("no change");
        prop_assert_eq!(&after, &settings);
        prop_assert!(after.changed_fields(&settings).is_empty());
        prop_assert!(!after.gains_validity(&settings) && after.narrows(&settings));
        prop_assert!(!after.restarts_refill(&settings) && !after.restarts_window(&settings));
    }

    #[test]
    fn a_patch_of_all_settings_gives_these_settings(before in any_settings(), wanted in any_settings(), now in any_time()) {
        let patch = patch_to(&wanted);
        prop_assert!(!patch.is_empty());
        let after = patch.apply(&before, now).expect("valid settings");
        prop_assert_eq!(normalized(&after), normalized(&wanted));
        let new = patch.apply(&KeySettings::default(), now).expect("valid settings");
        prop_assert_eq!(normalized(&new), normalized(&wanted), "the same for a key that is created");
        // Applied again, the patch changes nothing, not even the start of the refill interval.
        prop_assert_eq!(patch.apply(&after, now.plus_millis(1)).expect("valid settings"), after);
    }

    #[test]
    fn a_patch_of_one_setting_changes_this_setting_alone(before in any_settings(), wanted in any_settings()) {
        let mut settings = before.clone();
        for (patch, names) in parts(patch_to(&wanted)) {
            prop_assert!(!patch.is_empty(), "{:?}", names);
            let after = patch.apply(&settings, at(5)).expect("valid settings");
            let changed = after.changed_fields(&settings);
            prop_assert!(changed.iter().all(|name| names.contains(name)), "{:?}: {:?}", names, changed);
            prop_assert_eq!(changed.is_empty(), normalized(&after) == normalized(&settings));
            settings = after;
        }
        prop_assert_eq!(normalized(&settings), normalized(&wanted), "one after the other, they are the patch of all settings");
    }
}

#[test]
fn a_refill_has_an_amount_and_an_interval() {
    let none = KeySettings::default();
    let amount = KeySettingsPatch { refill_amount: Change::Set(3), ..KeySettingsPatch::default() };
    assert!(matches!(amount.apply(&none, at(1)), Err(Error::RefillWithout(RefillPart::Interval))));
    let interval = KeySettingsPatch { refill_interval: Change::Set(9), ..KeySettingsPatch::default() };
    assert!(matches!(interval.apply(&none, at(1)), Err(Error::RefillWithout(RefillPart::Amount))));
    let both = KeySettingsPatch { refill_amount: Change::Set(3), ..interval.clone() };
    let full = both.apply(&none, at(1)).expect("both");
    assert_eq!((full.remaining, full.refill), (Some(3), Some(Refill { amount: 3, interval: 9, since: at(1) })));
    let more = KeySettingsPatch { refill_amount: Change::Set(5), ..KeySettingsPatch::default() };
    let more = more.apply(&full, at(2)).expect("both");
    assert_eq!(more.refill, Some(Refill { amount: 5, interval: 9, since: at(1) }), "the interval continues");
    assert!(!more.restarts_refill(&full));
    let unlimited = KeySettingsPatch { remaining: Change::Clear, ..KeySettingsPatch::default() };
    let unlimited = unlimited.apply(&more, at(3)).expect("neither");
    assert_eq!((unlimited.remaining, unlimited.refill), (None, None));
    assert!(unlimited.restarts_refill(&more));
}

#[test]
fn a_description_has_1_to_500_characters_on_one_line() {
    let parse = |text: &str| Description::parse(text).map(|description| description.as_str().to_owned());
    let length = Err(ValidationError::Length { min: 1, max: 500 });
    assert_eq!(parse(&"ü".repeat(500)), Ok("ü".repeat(500)), "characters, not bytes");
    assert_eq!(parse(&format!(" {} ", "ü".repeat(498))), Ok("ü".repeat(498)));
    assert_eq!(parse(&format!(" {} ", "ü".repeat(499))), length.clone(), "the maximum applies before trimming");
    assert_eq!((parse(&"ü".repeat(501)), parse(""), parse("  ")), (length.clone(), length.clone(), length));
    assert_eq!(parse("a\nb"), Err(ValidationError::ControlCharacter));
}
