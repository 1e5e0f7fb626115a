//! Request bodies → domain: the fields of each operation.

use std::{borrow::Cow, net::IpAddr, str::FromStr};

use domain::{
    Error,
    change::Change,
    clock::Timestamp,
    error::RefillPart,
    id::{KeyId, UserId},
    keys::{
        KeySettingsPatch, NewKey, Owner, RateLimitPatch,
        api_key::{self, KeyName, Metadata},
        quota::RateLimit,
        secret::KeyPrefix,
    },
    permissions::Permissions,
    validated_string::ValidationError,
};
use poem_openapi::{registry::MetaSchemaRef, types::Type};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    lenient::{Boolean, Client, Integer, Object, PermissionsByResource, Sent, Text},
    schema::lenient_document,
};
use crate::{
    http::api_error::{ApiError, Fields},
    verify_fast_path::{DEFAULT_COST, ParsedVerify, PlainContext, PlainMap, StrictBody, is_plain_key},
};

/// The plugin's defaults for a rate limit of which only the maximum or only the window is set: 10 uses, 24 hours in milliseconds.
const DEFAULT_RATE_LIMIT: RateLimit = RateLimit { max: 10, window: 86_400_000 };

/// Ten years, in seconds.
const MAX_EXPIRES_IN: u32 = 315_360_000;

lenient_document! {
    /// The body of create.
    pub(super) struct Create = "AthenaCreateKeyRequest",
        "A key to create. All fields are optional; null and \"\" are the same as absent. Numbers, booleans and objects can \
         also be sent as strings."
    {
        "name" name: Option<KeyName> = null_is_absent Text(KeyName::parse), "Name: 1 to 100 characters.";
        "expiresIn" expires_in: Option<u64> = null_is_absent Integer(1, Some(MAX_EXPIRES_IN)),
            "Seconds until the key expires, at most 315,360,000 (ten years). Default: it expires with the caller's key, if that expires.";
        "userId" user: Option<Reference<UserId>> = null_is_absent Text(Reference::<UserId>::parse),
            "Id of the member that the key belongs to; default: the caller's user. Needs `org:admin`.";
        "prefix" prefix: Option<KeyPrefix> = null_is_absent Text(KeyPrefix::parse),
            "Prefix of the secret: 1 to 32 of `A-Z a-z 0-9 _ -`; default `cvg_`.";
        "remaining" remaining: Option<u64> = null_is_absent Integer(0, None),
            "Uses left; default: unlimited. Needs `org:admin`.";
        "metadata" metadata: Option<Map<String, Value>> = null_is_absent Object, "Metadata: an object of at most 8 KiB.";
        "refillAmount" refill_amount: Option<u64> = null_is_absent Integer(1, None),
            "Value that a refill sets `remaining` to. Needs `org:admin`.";
        "refillInterval" refill_interval: Option<u64> = null_is_absent Integer(1, None),
            "Time between two refills, in milliseconds. Needs `org:admin`.";
        "rateLimitTimeWindow" window: Option<u64> = null_is_absent Integer(1, None),
            "Window of the rate limit, in milliseconds. Needs `org:admin`.";
        "rateLimitMax" max: Option<u64> = null_is_absent Integer(1, None),
            "Maximum number of uses per window. Needs `org:admin`.";
        "rateLimitEnabled" rate_limit_enabled: Option<bool> = null_is_absent Boolean,
            "Whether the rate limit applies; `false` takes precedence over the two fields above. Needs `org:admin`.";
        "permissions" permissions: Option<Permissions> = null_is_absent PermissionsByResource,
            "Permissions, as a map from resource to actions. Needs `org:admin`.";
        "canManage" can_manage: Option<bool> = null_is_absent Boolean,
            "Whether the key can manage this service; default: `keys_can_manage_by_default` of the organization.";
    }
}

lenient_document! {
    /// The body of update.
    pub(super) struct UpdateKey = "AthenaUpdateKeyRequest",
        "Changes of a key. Fields that are absent or \"\" are unchanged; null clears. Numbers, booleans and objects can also \
         be sent as strings."
    {
        "keyId" key: Option<Reference<KeyId>> = required Text(Reference::<KeyId>::parse), "Id of the key.";
        "userId" user: Option<String> = optional Text(|text| Ok(text.to_owned())),
            "Id of the user that the key must belong to; otherwise 404. Needs `org:admin`.";
        "name" name: Sent<KeyName> = nullable Text(KeyName::parse), "Name; null: none.";
        "enabled" enabled: Option<bool> = optional Boolean, "Whether the key is enabled.";
        "remaining" remaining: Sent<u64> = nullable Integer(0, None),
            "Uses left; null: unlimited, and no refill. Needs `org:admin`.";
        "refillAmount" refill_amount: Sent<u64> = nullable Integer(1, None),
            "Value that a refill sets `remaining` to. Needs `org:admin`.";
        "refillInterval" refill_interval: Sent<u64> = nullable Integer(1, None),
            "Time between two refills, in milliseconds. Needs `org:admin`.";
        "metadata" metadata: Sent<Map<String, Value>> = nullable Object,
            "Metadata: an object of at most 8 KiB; null: none.";
        "expiresIn" expires_in: Sent<u64> = nullable Integer(1, Some(MAX_EXPIRES_IN)),
            "Seconds from now until the key expires; null: never.";
        "rateLimitEnabled" rate_limit_enabled: Option<bool> = optional Boolean,
            "Whether the rate limit applies. Needs `org:admin`.";
        "rateLimitTimeWindow" window: Sent<u64> = nullable Integer(1, None),
            "Window of the rate limit, in milliseconds. Needs `org:admin`.";
        "rateLimitMax" max: Sent<u64> = nullable Integer(1, None),
            "Maximum number of uses per window. Needs `org:admin`.";
        "permissions" permissions: Sent<Permissions> = nullable PermissionsByResource,
            "Permissions, as a map from resource to actions; null: none. Needs `org:admin`.";
        "canManage" can_manage: Option<bool> = optional Boolean, "Whether the key can manage this service.";
    }
}

lenient_document! {
    /// The body of delete.
    pub(super) struct Delete = "AthenaDeleteKeyRequest", "The key to delete." {
        "keyId" key: Option<Reference<KeyId>> = required Text(Reference::<KeyId>::parse), "Id of the key.";
    }
}

lenient_document! {
    /// The body of verify.
    pub(super) struct Verify = "AthenaVerifyKeyRequest",
        "A key to verify, with the permissions that it must hold. Objects can also be sent as strings of JSON."
    {
        "key" key: Option<String> = required Text(|text| Ok(text.to_owned())), "The secret of the key.";
        "permissions" permissions: Option<Permissions> = optional PermissionsByResource,
            "Permissions that the key must hold, all of them, as a map from resource to actions; default: none.";
        "context" from: Option<IpAddr> = null_is_absent Client,
            "`{\"ip\": …}`: IP address of the client. Without it, keys with an IP allowlist are invalid.";
    }
}

/// An id in a request. `None`: the text is not an id, so it matches nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference<T>(Option<T>);

impl<T: FromStr> Reference<T> {
    #[expect(clippy::unnecessary_wraps, reason = "it is a rule like the others, and accepts any text")]
    fn parse(text: &str) -> Result<Self, ValidationError> {
        Ok(Self(text.parse().ok()))
    }
}

/// A request whose fields may include some that only callers with `org:admin` can set.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    /// The request.
    pub(super) request: T,
    /// Whether it has one of those fields.
    pub(super) needs_admin: bool,
}

/// An update of a key.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) key: Option<KeyId>,
    /// The user that the key must belong to. `None`: any. The text may not be an id.
    pub(super) user: Option<String>,
    pub(super) patch: KeySettingsPatch,
}

impl Create {
    pub(super) fn into_domain(self, now: Timestamp) -> Result<Guarded<NewKey>, ApiError> {
        let limits = [self.remaining, self.refill_amount, self.refill_interval, self.window, self.max];
        let has_limits = limits.iter().any(Option::is_some) || self.rate_limit_enabled.is_some();
        let needs_admin = self.user.is_some() || self.permissions.is_some() || has_limits;
        // A patch would use the key's current value for a missing part, but a new key has none.
        match (self.refill_amount, self.refill_interval) {
            (None, Some(_)) => return Err(Error::RefillWithout(RefillPart::Amount).into()),
            (Some(_), None) => return Err(Error::RefillWithout(RefillPart::Interval).into()),
            _ => {}
        }
        let settings = KeySettingsPatch {
            name: Change::set_or_keep(self.name),
            permissions: Change::set_or_keep(self.permissions),
            can_manage: self.can_manage,
            expires_at: Change::set_or_keep(self.expires_in.map(|seconds| expiry(seconds, now)).transpose()?),
            metadata: Change::set_or_keep(self.metadata.map(stored).transpose()?),
            remaining: Change::set_or_keep(self.remaining),
            refill_amount: Change::set_or_keep(self.refill_amount),
            refill_interval: Change::set_or_keep(self.refill_interval),
            rate_limit: RateLimitPatch {
                enabled: self.rate_limit_enabled,
                max: Change::set_or_keep(self.max),
                window: Change::set_or_keep(self.window),
                default: DEFAULT_RATE_LIMIT,
            },
            ..KeySettingsPatch::default()
        };
        let owner = self.user.map_or(Owner::Caller, |Reference(user)| Owner::User(user));
        let request = NewKey { owner, prefix: self.prefix, settings };
        Ok(Guarded { request, needs_admin })
    }
}

impl UpdateKey {
    pub(super) fn into_domain(self, now: Timestamp) -> Result<Guarded<Update>, ApiError> {
        let limits = [&self.remaining, &self.refill_amount, &self.refill_interval, &self.window, &self.max];
        let has_limits = !limits.into_iter().all(Sent::is_absent) || self.rate_limit_enabled.is_some();
        let needs_admin = self.user.is_some() || has_limits || !self.permissions.is_absent();
        let patch = KeySettingsPatch {
            name: self.name.change(),
            enabled: self.enabled,
            can_manage: self.can_manage,
            expires_at: self.expires_in.change().try_map(|seconds| expiry(seconds, now))?,
            metadata: self.metadata.change().try_map(stored)?,
            permissions: self.permissions.change(),
            remaining: self.remaining.change(),
            refill_amount: self.refill_amount.change(),
            refill_interval: self.refill_interval.change(),
            rate_limit: RateLimitPatch {
                enabled: self.rate_limit_enabled,
                max: self.max.change(),
                window: self.window.change(),
                default: DEFAULT_RATE_LIMIT,
            },
            ..KeySettingsPatch::default()
        };
        let key = self.key.and_then(|Reference(key)| key);
        Ok(Guarded { request: Update { key, user: self.user, patch }, needs_admin })
    }
}

impl Delete {
    /// The id of the key. `None`: the text is not an id.
    pub(super) fn key(&self) -> Option<KeyId> {
        self.key.and_then(|Reference(key)| key)
    }
}

impl Verify {
    pub(super) fn into_parsed(self) -> ParsedVerify<'static> {
        let (key, permissions) = (self.key.unwrap_or_default().into(), self.permissions.unwrap_or_default());
        ParsedVerify { key, permissions, organization: None, from: self.from, cost: DEFAULT_COST }
    }
}

/// The body of verify as most clients send it, without values that need lenient parsing. The result is that of [`Verify`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictVerify<'a> {
    key: &'a str,
    #[serde(borrow, default)]
    permissions: PlainMap<'a>,
    #[serde(borrow, default)]
    context: Option<StrictBody<PlainContext<'a>>>,
}

pub(super) fn parse_strict(body: &[u8]) -> Option<ParsedVerify<'_>> {
    let StrictBody(StrictVerify { key, permissions, context }) = serde_json::from_slice(body).ok()?;
    let lists = permissions.0.iter().map(|(resource, actions)| (*resource, actions.iter().copied()));
    let permissions = Permissions::from_map(lists).ok()?;
    let from = PlainContext::from(context.as_ref())?;
    let parsed = ParsedVerify { key: key.into(), permissions, organization: None, from, cost: DEFAULT_COST };
    is_plain_key(key).then_some(parsed)
}

/// The expiry time, `seconds` from now.
fn expiry(seconds: u64, now: Timestamp) -> Result<Timestamp, ApiError> {
    let at = now.plus_millis(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000));
    api_key::expiry(at, now).map_err(|invalid| ApiError::Invalid(Fields::one("expiresIn", invalid)))
}

fn stored(map: Map<String, Value>) -> Result<Metadata, ApiError> {
    Metadata::parse(&Value::Object(map).to_string())
        .map_err(|invalid| ApiError::Invalid(Fields::one("metadata", invalid)))
}
