//! The settings of a key in JSON: in requests that create and change keys, and in responses.

use domain::{
    auth::caller::Caller,
    change::Change,
    clock::Timestamp,
    error::Error,
    id::{ExternalId, UserId},
    keys::{
        KeySettingsPatch,
        api_key::{self, ApiKey, Creator, KeyName, Metadata},
        secret::Secret,
        settings::Description,
    },
    validated_string::ValidationError,
};
use poem_openapi::{Enum, Object};
use serde_json::Value;
use uuid::Uuid;

use super::limits::KeyLimits;
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{JsonObject, Nullable, Patch, Replace},
    rfc3339::{Rfc3339, Seconds},
    strict_json::{document, stored_object},
};
use crate::routes::fields::{addresses, permissions, sets};

document! {
    /// What a key may do, when, from where and how often.
    #[oai(rename = "ApiKeySettings")]
    pub(crate) struct Settings {
        /// Description: at most 500 characters, at least 1 after trimming.
        #[oai(skip_serializing_if_is_none)]
        description: Option<String>,
        /// Permissions: `read` allows that action on every resource, `files:read` on one, `*` allows everything. May be
        /// empty.
        #[oai(validator(max_items = 256))]
        permissions: Vec<String>,
        /// Ids of permission sets to attach: at most 16.
        #[oai(skip_serializing_if_is_none, validator(max_items = 16))]
        permission_sets: Option<Vec<String>>,
        /// Whether the key can manage this service; `false` is recommended for keys of your own API. Default:
        /// `keys_can_manage_by_default` of the organization.
        #[oai(skip_serializing_if_is_none)]
        can_manage: Option<bool>,
        /// Identifier of the key, or of its user, in your own system: at most 255 characters.
        #[oai(skip_serializing_if_is_none)]
        external_id: Option<String>,
        /// Start of the validity: the key is invalid before. At most ten years ahead.
        #[oai(skip_serializing_if_is_none)]
        not_before: Option<Rfc3339>,
        /// IP allowlist: 1 to 64 addresses or networks such as `203.0.113.0/24`. Default: the allowlist of the caller's
        /// key.
        #[oai(skip_serializing_if_is_none, validator(min_items = 1, max_items = 64))]
        allowed_addresses: Option<Vec<String>>,
        /// Expiry time, at most ten years ahead. Default: the expiry time of the caller's key, if it has one.
        #[oai(skip_serializing_if_is_none)]
        expires_at: Option<Rfc3339>,
        /// Metadata: a JSON object of at most 8 KiB.
        #[oai(skip_serializing_if_is_none)]
        metadata: Option<JsonObject>,
        ..limits: KeyLimits,
    }
}

impl Settings {
    /// Requires `org:admin` if there are limits.
    pub(crate) fn require_for_new(&self, caller: &Caller) -> Result<(), Error> {
        self.limits.require_for_new(caller)
    }

    /// The settings of a new key with this name. Invalid fields are recorded in `fields`. `expiry` validates the expiry time.
    pub(crate) fn into_domain(
        self,
        name: Option<String>,
        fields: &mut Fields,
        expiry: impl FnOnce(Timestamp) -> Result<Timestamp, ValidationError>,
        now: Timestamp,
    ) -> KeySettingsPatch {
        let changes = UpdateKey {
            name: set_if_some(name),
            description: set_if_some(self.description),
            enabled: Replace(None),
            can_manage: Replace(self.can_manage),
            not_before: set_if_some(self.not_before),
            expires_at: set_if_some(self.expires_at),
            allowed_addresses: set_if_some(self.allowed_addresses),
            metadata: set_if_some(self.metadata),
            external_id: set_if_some(self.external_id),
            permissions: set_if_some(Some(self.permissions)),
            permission_sets: set_if_some(self.permission_sets),
            limits: self.limits,
        };
        changes.check(fields, expiry, now)
    }
}

fn set_if_some<T>(value: Option<T>) -> Patch<T> {
    Patch(Change::set_or_keep(value))
}

document! {
    /// Changes of a key: at least one. Absent fields are unchanged; `null` clears a field, and is invalid for `enabled` and
    /// `can_manage`.
    #[oai(rename = "UpdateApiKeyRequest")]
    pub(crate) struct UpdateKey {
        /// Name: at most 100 characters, at least 1 after trimming.
        name: Patch<String>,
        /// Description: at most 500 characters, at least 1 after trimming.
        description: Patch<String>,
        /// Whether the key is enabled. Disabling it needs only the permission to change keys, and permanently ends its
        /// sessions.
        enabled: Replace<bool>,
        /// Whether the key can manage this service. To change it from `false` to `true`, the caller must hold all
        /// permissions of the key.
        can_manage: Replace<bool>,
        /// Start of the validity: the key is invalid before. At most ten years ahead.
        not_before: Patch<Rfc3339>,
        /// Expiry time, at most ten years ahead; null: never expires.
        expires_at: Patch<Rfc3339>,
        /// IP allowlist: 1 to 64 addresses or networks such as `203.0.113.0/24`; null: any address.
        allowed_addresses: Patch<Vec<String>>,
        /// Metadata: a JSON object of at most 8 KiB.
        metadata: Patch<JsonObject>,
        /// Identifier of the key, or of its user, in your own system: at most 255 characters.
        external_id: Patch<String>,
        /// Permissions; null: none.
        permissions: Patch<Vec<String>>,
        /// Ids of permission sets to attach: at most 16; null: none.
        permission_sets: Patch<Vec<String>>,
        ..limits: KeyLimits,
    }
}

impl UpdateKey {
    /// The changes. A caller who changes limits must have `org:admin`.
    pub(crate) fn into_domain(self, caller: &Caller, now: Timestamp) -> Result<KeySettingsPatch, ApiError> {
        self.limits.require_for_change(caller)?;
        let mut fields = Fields::default();
        let patch = self.check(&mut fields, |at| api_key::expiry(at, now), now);
        fields.into_result()?;
        Ok(patch)
    }

    /// Validates each field. Invalid ones are recorded in `fields`.
    fn check(
        self,
        fields: &mut Fields,
        expiry: impl FnOnce(Timestamp) -> Result<Timestamp, ValidationError>,
        now: Timestamp,
    ) -> KeySettingsPatch {
        let metadata = |JsonObject(map): JsonObject| Metadata::parse(&Value::Object(map).to_string());
        let patch = KeySettingsPatch {
            name: fields.check_change("name", self.name.0, |text| KeyName::parse(&text)),
            description: fields.check_change("description", self.description.0, |text| Description::parse(&text)),
            enabled: self.enabled.0,
            can_manage: self.can_manage.0,
            not_before: fields.check_change("not_before", self.not_before.0, |Rfc3339(at)| api_key::beginning(at, now)),
            expires_at: fields.check_change("expires_at", self.expires_at.0, |Rfc3339(at)| expiry(at)),
            addresses: fields.check_change("allowed_addresses", self.allowed_addresses.0, |list| addresses(&list)),
            metadata: fields.check_change("metadata", self.metadata.0, metadata),
            external_id: fields.check_change("external_id", self.external_id.0, |text| ExternalId::parse(&text)),
            permissions: fields.check_change("permissions", self.permissions.0, |list| permissions(&list)),
            sets: self.permission_sets.0.map(|strings| sets(fields, Some(strings))),
            ..KeySettingsPatch::default()
        };
        self.limits.patch(fields, patch)
    }
}

/// An API key of an organization.
#[derive(Object)]
#[oai(rename = "ApiKey")]
pub(in crate::routes) struct KeyView {
    /// Unique identifier.
    id: Uuid,
    /// Name; empty if the key has none.
    name: String,
    /// Creation time.
    created_at: Seconds,
    /// Permissions: `read` allows that action on every resource, `files:read` on one, `*` allows everything.
    permissions: Vec<String>,
    /// Description; null: none.
    description: Nullable<String>,
    /// Ids of the attached permission sets.
    permission_sets: Vec<Uuid>,
    /// Identifier of the key, or of its user, in your own system.
    external_id: Nullable<String>,
    /// Id of the organization.
    org_id: Uuid,
    /// The user that the key belongs to, whose permissions also limit the key; null for a key of the organization
    /// itself.
    user_id: Nullable<Uuid>,
    /// Prefix of the secret.
    prefix: String,
    /// First characters of the secret, to recognize the key by.
    start: String,
    /// Expiry time of the previous secret, also if it has passed, unless the key expires earlier; null: no previous
    /// secret was kept.
    previous_secret_expires_at: Nullable<Rfc3339>,
    /// Whether the key is enabled.
    enabled: bool,
    /// Whether the key can manage this service. If `false`, it can only use `/auth/check-key`, `/me` and
    /// `POST /tokens`, whatever its permissions, and is verified like any other key: recommended for keys of your own
    /// API.
    can_manage: bool,
    /// Start of the validity: the key is invalid before; null: valid since its creation.
    not_before: Nullable<Rfc3339>,
    /// Expiry time: the key is invalid from then on; null: never expires.
    expires_at: Nullable<Rfc3339>,
    /// IP allowlist: the addresses and networks that the key can be used from; null: any.
    allowed_addresses: Nullable<Vec<String>>,
    /// Metadata of the key.
    metadata: Nullable<JsonObject>,
    created_by: CreatorView,
    /// Time of the last change of the settings.
    updated_at: Rfc3339,
    /// Deletion time; null: not deleted.
    deleted_at: Nullable<Rfc3339>,
    /// Version of the settings: increases with each change, not with use.
    version: u64,
    /// Uses left; null: unlimited.
    remaining: Nullable<u64>,
    /// Value that a refill sets `remaining` to; null: no refill.
    refill_amount: Nullable<u64>,
    /// Minimum time between two refills, in milliseconds.
    refill_interval: Nullable<u64>,
    /// Time of the last refill.
    last_refill_at: Nullable<Rfc3339>,
    /// Maximum number of uses per window; null: no rate limit.
    rate_limit_max: Nullable<u64>,
    /// Window of the rate limit, in milliseconds.
    rate_limit_window: Nullable<u64>,
    /// Number of successful verifications.
    request_count: u64,
    /// Time of the last successful verification or authentication.
    last_used_at: Nullable<Rfc3339>,
}

/// The creator of a key or an invitation.
#[derive(Object)]
#[oai(rename = "Creator")]
pub(in crate::routes) struct CreatorView {
    r#type: CreatorType,
    /// Id of the key or user; null for the operator.
    id: Nullable<Uuid>,
}

/// Kind of creator.
#[derive(Enum)]
#[oai(rename = "CreatorType", rename_all = "lowercase")]
enum CreatorType {
    /// A caller with this key.
    Key,
    /// This user: at sign-up, or signed in as a person.
    User,
    /// The operator of the service.
    Operator,
}

impl From<Creator> for CreatorView {
    fn from(creator: Creator) -> Self {
        let (r#type, id) = match creator {
            Creator::Key(id) => (CreatorType::Key, Some(id.uuid())),
            Creator::User(id) => (CreatorType::User, Some(id.uuid())),
            Creator::Operator => (CreatorType::Operator, None),
        };
        Self { r#type, id: Nullable(id) }
    }
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        let settings = &key.settings;
        Self {
            id: key.id.uuid(),
            name: settings.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
            created_at: Seconds(key.created_at),
            permissions: settings.permissions.flat(),
            description: Nullable(settings.description.as_ref().map(|text| text.as_str().to_owned())),
            permission_sets: settings.sets.iter().map(|set| set.uuid()).collect(),
            external_id: Nullable(settings.external_id.as_ref().map(|id| id.as_str().to_owned())),
            org_id: key.organization.uuid(),
            user_id: Nullable(key.user.map(UserId::uuid)),
            prefix: key.prefix.as_str().to_owned(),
            start: key.start.clone(),
            previous_secret_expires_at: Nullable(key.previous_ends_at.map(Rfc3339)),
            enabled: settings.enabled,
            can_manage: settings.can_manage,
            not_before: Nullable(settings.not_before.map(Rfc3339)),
            expires_at: Nullable(settings.expires_at.map(Rfc3339)),
            allowed_addresses: Nullable(settings.addresses.as_ref().map(|list| list.to_strings().collect())),
            metadata: Nullable(settings.metadata.as_ref().map(|text| JsonObject(stored_object(text.as_str())))),
            created_by: key.created_by.into(),
            updated_at: Rfc3339(key.updated_at),
            deleted_at: Nullable(key.deleted_at.map(Rfc3339)),
            version: key.version,
            remaining: Nullable(settings.remaining),
            refill_amount: Nullable(settings.refill.map(|refill| refill.amount)),
            refill_interval: Nullable(settings.refill.map(|refill| refill.interval)),
            last_refill_at: Nullable(key.last_refill_at.map(Rfc3339)),
            rate_limit_max: Nullable(settings.rate_limit.map(|limit| limit.max)),
            rate_limit_window: Nullable(settings.rate_limit.map(|limit| limit.window)),
            request_count: key.request_count,
            last_used_at: Nullable(key.last_request_at.map(Rfc3339)),
        }
    }
}

/// A new key with its secret.
#[derive(Object)]
#[oai(rename = "CreatedApiKey")]
pub(in crate::routes) struct CreatedKeyView {
    #[oai(flatten)]
    view: KeyView,
    /// The secret. It is returned in this response only; null in a repeated response, and if you have supplied the secret.
    key: Nullable<String>,
}

impl CreatedKeyView {
    /// `secret`: `None` if the client has supplied it.
    pub(in crate::routes) fn new(key: &ApiKey, secret: Option<&Secret>) -> Self {
        Self { view: key.into(), key: Nullable(secret.map(|secret| secret.expose().to_owned())) }
    }
}
