//! Random verdicts for property tests, of keys with random names, metadata, permissions, limits and times.

use std::sync::Arc;

use domain::{
    clock::Timestamp,
    deny_reason::DenyReason,
    id::{ExternalId, KeyId, OrganizationId, UserId},
    keys::{
        api_key::{ApiKey, Creator, KeyName, Metadata},
        quota::{Quota, RateLimit, Refill},
        secret::{KeyPrefix, SecretHash},
        settings::KeySettings,
    },
    organizations::organization::OrganizationKind,
    permissions::Permissions,
    verify::{
        cached_key::{CachedKey, Interned, KeyPermissions, MemberInfo, OrganizationInfo, SharedValues, Totals},
        result::{Valid, Verdict},
    },
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A verdict, and its key as it would be stored.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) key: ApiKey,
    pub(crate) verdict: Verdict,
}

/// Text of up to 39 random characters, control characters included.
pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..40).prop_map(String::from_iter)
}

/// Any JSON value.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), object(inner).prop_map(Value::Object)]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    vec((text(), values), 0..4).prop_map(Map::from_iter)
}

/// A time near now, or any other.
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![1_700_000_000_000_i64..1_900_000_000_000, i64::MIN..i64::MAX].prop_map(Timestamp::from_millis)
}

prop_compose! {
    fn quota()(
        remaining in option::of(any::<u64>()),
        refill in option::of((any::<u64>(), any::<u64>(), time())),
        last_refill_at in option::of(time()),
        rate_limit in option::of((any::<u64>(), any::<u64>())),
        window_start in option::of(time()),
        window_count: u64,
    ) -> Quota {
        let refill = refill.map(|(amount, interval, since)| Refill { amount, interval, since });
        let rate_limit = rate_limit.map(|(max, window)| RateLimit { max, window });
        Quota { remaining, refill, last_refill_at, rate_limit, window_start, window_count }
    }
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// The key with this quota in its settings and its state.
pub(crate) fn with_quota(key: ApiKey, quota: Quota) -> ApiKey {
    let Quota { remaining, refill, last_refill_at, rate_limit, window_start, window_count } = quota;
    let settings = KeySettings { remaining, refill, rate_limit, ..key.settings };
    ApiKey { settings, last_refill_at, window_start, window_count, ..key }
}

prop_compose! {
    fn key()(
        (id, organization, user) in (id(), id(), option::of(id())),
        prefix in "[A-Za-z0-9_-]{0,32}",
        start in option::of("[ -~]{0,38}"),
        (name, external_id) in (text(), text()),
        metadata in option::of(object(json())),
        permissions in vec("([a-zA-Z0-9_.-]{1,8}:)?([a-zA-Z0-9_.-]{1,8}|[*])", 0..6),
        quota in quota(),
        (created_at, updated_at, expires_at) in (time(), time(), option::of(time())),
        (enabled, can_manage) in any::<(bool, bool)>(),
    ) -> ApiKey {
        let start = start.unwrap_or_else(|| format!("{prefix}abcdef"));
        let prefix = KeyPrefix::imported(&prefix).expect("a prefix");
        let (id, organization) = (KeyId::from_uuid(id), OrganizationId::from_uuid(organization));
        let key = ApiKey {
            user: user.map(UserId::from_uuid),
            settings: KeySettings {
                name: KeyName::parse(&name).ok(),
                external_id: ExternalId::parse(&external_id).ok(),
                metadata: metadata.and_then(|map| Metadata::parse(&Value::Object(map).to_string()).ok()),
                permissions: Permissions::from_flat(permissions.iter().map(String::as_str)).unwrap_or_default(),
                expires_at,
                enabled,
                can_manage,
                ..KeySettings::default()
            },
            updated_at,
            ..ApiKey::beginning_with(id, organization, (prefix, start), Creator::Operator, created_at)
        };
        with_quota(key, quota)
    }
}

fn deny_reason() -> impl Strategy<Value = DenyReason> {
    prop_oneof![
        Just(DenyReason::InvalidApiKey),
        Just(DenyReason::OrganizationSuspended),
        Just(DenyReason::KeyDisabled),
        Just(DenyReason::KeyNotYetValid),
        Just(DenyReason::KeyExpired),
        Just(DenyReason::AddressNotAllowed),
        Just(DenyReason::InsufficientPermissions),
        any::<u64>().prop_map(|remaining| DenyReason::UsageExceeded { remaining }),
        any::<u64>().prop_map(|try_again_in| DenyReason::RateLimited { try_again_in }),
    ]
}

fn cached(key: &ApiKey, organization_external_id: &str) -> Arc<CachedKey> {
    let totals = Totals::default();
    let organization = OrganizationInfo {
        id: key.organization,
        kind: OrganizationKind::Tenant,
        external_id: ExternalId::parse(organization_external_id).ok(),
        is_suspended: false,
    };
    let holder = key.user.map(|user| MemberInfo { user, permissions: None, sets: Box::default() });
    let given = KeyPermissions { permissions: key.settings.permissions.clone(), sets: Box::default() };
    let shared = SharedValues {
        organization: Arc::new(Interned::new(organization, 0, &totals)),
        member: holder.map(|holder| Arc::new(Interned::new(holder, 0, &totals))),
        permissions: Arc::new(Interned::new(given, 0, &totals)),
    };
    Arc::new(CachedKey::new(SecretHash::from_bytes([0; 32]), key, shared, None))
}

prop_compose! {
    /// Any verdict.
    pub(crate) fn sample()(
        key in key(),
        organization in text(),
        denied in option::of((deny_reason(), any::<bool>())),
        window_ends_in in option::of(any::<u64>()),
        quota in quota(),
        request_count: u64,
        last_request_at in option::of(time()),
    ) -> Sample {
        let cached = cached(&key, &organization);
        let verdict = match denied {
            None => Verdict::Valid(Valid { key: cached, quota, window_ends_in, request_count, last_request_at }),
            Some((deny_reason, is_known)) => Verdict::Denied { deny_reason, key: is_known.then_some(cached) },
        };
        Sample { key, verdict }
    }
}
