//! Domain → JSON: field names in `camelCase`, times with milliseconds, permissions as a map. The fields are in the order of Athena's
//! documentation, which differs for a key that was just created.

use std::{borrow::Cow, collections::HashMap};

use domain::{
    id::UserId,
    keys::{
        api_key::{ApiKey, Metadata},
        secret::Secret,
    },
    permissions::Permissions,
};
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;
use uuid::Uuid;

use crate::http::{
    openapi_types::{JsonObject, Nullable, named_type},
    rfc3339::Millis,
    strict_json::stored_object,
};

/// The id of the configuration. The plugin can have several; this service has one.
pub(super) const DEFAULT_CONFIG: &str = "default";

/// Permissions as a map from resource to actions.
#[derive(Clone, Debug)]
pub(super) struct PermissionMap(Permissions);

named_type!(
    PermissionMap,
    "AthenaPermissions",
    MetaSchema {
        description: Some("A map from resource to actions. Requests can also send it as a string of JSON."),
        additional_properties: Some(Box::new(Vec::<String>::schema_ref())),
        ..MetaSchema::new("object")
    }
);

impl ToJSON for PermissionMap {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Object(self.0.map().into_iter().map(|(name, actions)| (name.to_owned(), actions.into())).collect()))
    }
}

impl ParseFromJSON for PermissionMap {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let map = HashMap::<String, Vec<String>>::parse_from_json(value).map_err(ParseError::propagate)?;
        let map = map.iter().map(|(resource, actions)| (resource.as_str(), actions.iter().map(String::as_str)));
        Permissions::from_map(map).map(Self).map_err(ParseError::custom)
    }
}

fn permissions(set: &Permissions) -> Nullable<PermissionMap> {
    Nullable((*set != Permissions::default()).then(|| PermissionMap(set.clone())))
}

/// The owner of a key as better-auth defines it: the user, or the organization if the key has no user.
pub(super) fn owner(key: &ApiKey) -> Uuid {
    key.user.map_or(key.organization.uuid(), UserId::uuid)
}

fn metadata(text: Option<&str>) -> Nullable<JsonObject> {
    Nullable(text.map(|text| JsonObject(stored_object(text))))
}

/// An API key.
#[derive(Object)]
#[oai(rename = "AthenaApiKey", rename_all = "camelCase")]
pub(super) struct KeyView {
    /// Unique identifier.
    id: Uuid,
    /// Name.
    name: Nullable<String>,
    /// First characters of the secret, to recognize the key by.
    start: Nullable<String>,
    /// Prefix of the secret.
    prefix: Nullable<String>,
    /// The user that the key belongs to, or the organization if the key has no user.
    user_id: Uuid,
    /// Minimum time between two refills, in milliseconds.
    refill_interval: Nullable<u64>,
    /// Value that a refill sets `remaining` to.
    refill_amount: Nullable<u64>,
    /// Time of the last refill.
    last_refill_at: Nullable<Millis>,
    /// Whether the key is enabled.
    enabled: bool,
    /// Whether the rate limit applies.
    rate_limit_enabled: bool,
    /// Window of the rate limit, in milliseconds.
    rate_limit_time_window: Nullable<u64>,
    /// Maximum number of uses per window.
    rate_limit_max: Nullable<u64>,
    /// Number of successful verifications.
    request_count: u64,
    /// Uses left; null: unlimited.
    remaining: Nullable<u64>,
    /// Time of the last successful verification or authentication.
    last_request: Nullable<Millis>,
    /// Expiry time: the key is invalid from then on; null: never expires.
    expires_at: Nullable<Millis>,
    /// Creation time.
    created_at: Millis,
    /// Time of the last change of the settings.
    updated_at: Millis,
    /// Metadata of the key.
    metadata: Nullable<JsonObject>,
    /// Permissions, as a map from resource to actions; null: none.
    permissions: Nullable<PermissionMap>,
    /// The same as `userId`.
    reference_id: Uuid,
    /// Always `default`.
    config_id: String,
    /// Id of the organization.
    #[oai(rename = "org_id")]
    org_id: Uuid,
    /// Whether the key can manage this service. Verification does not depend on it.
    can_manage: bool,
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.uuid(),
            name: Nullable(key.settings.name.as_ref().map(|name| name.as_str().to_owned())),
            start: Nullable(Some(key.start.clone())),
            prefix: Nullable(Some(key.prefix.as_str().to_owned()).filter(|prefix| !prefix.is_empty())),
            user_id: owner(key),
            refill_interval: Nullable(key.settings.refill.map(|refill| refill.interval)),
            refill_amount: Nullable(key.settings.refill.map(|refill| refill.amount)),
            last_refill_at: Nullable(key.last_refill_at.map(Millis)),
            enabled: key.settings.enabled,
            rate_limit_enabled: key.settings.rate_limit.is_some(),
            rate_limit_time_window: Nullable(key.settings.rate_limit.map(|limit| limit.window)),
            rate_limit_max: Nullable(key.settings.rate_limit.map(|limit| limit.max)),
            request_count: key.request_count,
            remaining: Nullable(key.settings.remaining),
            last_request: Nullable(key.last_request_at.map(Millis)),
            expires_at: Nullable(key.settings.expires_at.map(Millis)),
            created_at: Millis(key.created_at),
            updated_at: Millis(key.updated_at),
            metadata: metadata(key.settings.metadata.as_ref().map(Metadata::as_str)),
            permissions: permissions(&key.settings.permissions),
            reference_id: owner(key),
            config_id: DEFAULT_CONFIG.to_owned(),
            org_id: key.organization.uuid(),
            can_manage: key.settings.can_manage,
        }
    }
}

/// A new key with its secret.
#[derive(Object)]
#[oai(rename = "AthenaCreatedApiKey", rename_all = "camelCase")]
pub(super) struct CreatedKeyView {
    /// Unique identifier.
    id: Uuid,
    /// Creation time.
    created_at: Millis,
    /// Time of the last change of the settings.
    updated_at: Millis,
    /// Name.
    name: Nullable<String>,
    /// Prefix of the secret.
    prefix: Nullable<String>,
    /// First characters of the secret, to recognize the key by.
    start: Nullable<String>,
    /// The secret. It is returned in this response only.
    key: String,
    /// Whether the key is enabled.
    enabled: bool,
    /// Expiry time: the key is invalid from then on; null: never expires.
    expires_at: Nullable<Millis>,
    /// The user that the key belongs to, or the organization if the key has no user.
    user_id: Uuid,
    /// Time of the last refill.
    last_refill_at: Nullable<Millis>,
    /// Time of the last successful verification or authentication.
    last_request: Nullable<Millis>,
    /// Metadata of the key.
    metadata: Nullable<JsonObject>,
    /// Maximum number of uses per window.
    rate_limit_max: Nullable<u64>,
    /// Window of the rate limit, in milliseconds.
    rate_limit_time_window: Nullable<u64>,
    /// Uses left; null: unlimited.
    remaining: Nullable<u64>,
    /// Value that a refill sets `remaining` to.
    refill_amount: Nullable<u64>,
    /// Minimum time between two refills, in milliseconds.
    refill_interval: Nullable<u64>,
    /// Whether the rate limit applies.
    rate_limit_enabled: bool,
    /// Number of successful verifications.
    request_count: u64,
    /// Permissions, as a map from resource to actions; null: none.
    permissions: Nullable<PermissionMap>,
    /// The same as `userId`.
    reference_id: Uuid,
    /// Always `default`.
    config_id: String,
    /// Id of the organization.
    #[oai(rename = "org_id")]
    org_id: Uuid,
    /// Whether the key can manage this service. Verification does not depend on it.
    can_manage: bool,
}

impl CreatedKeyView {
    pub(super) fn new(key: &ApiKey, secret: &Secret) -> Self {
        Self {
            id: key.id.uuid(),
            created_at: Millis(key.created_at),
            updated_at: Millis(key.updated_at),
            name: Nullable(key.settings.name.as_ref().map(|name| name.as_str().to_owned())),
            prefix: Nullable(Some(key.prefix.as_str().to_owned()).filter(|prefix| !prefix.is_empty())),
            start: Nullable(Some(key.start.clone())),
            key: secret.expose().to_owned(),
            enabled: key.settings.enabled,
            expires_at: Nullable(key.settings.expires_at.map(Millis)),
            user_id: owner(key),
            last_refill_at: Nullable(key.last_refill_at.map(Millis)),
            last_request: Nullable(key.last_request_at.map(Millis)),
            metadata: metadata(key.settings.metadata.as_ref().map(Metadata::as_str)),
            rate_limit_max: Nullable(key.settings.rate_limit.map(|limit| limit.max)),
            rate_limit_time_window: Nullable(key.settings.rate_limit.map(|limit| limit.window)),
            remaining: Nullable(key.settings.remaining),
            refill_amount: Nullable(key.settings.refill.map(|refill| refill.amount)),
            refill_interval: Nullable(key.settings.refill.map(|refill| refill.interval)),
            rate_limit_enabled: key.settings.rate_limit.is_some(),
            request_count: key.request_count,
            permissions: permissions(&key.settings.permissions),
            reference_id: owner(key),
            config_id: DEFAULT_CONFIG.to_owned(),
            org_id: key.organization.uuid(),
            can_manage: key.settings.can_manage,
        }
    }
}

/// A JSON array of keys.
pub(super) struct KeyArray(pub(super) Body);

pub(super) fn render(key: &ApiKey) -> String {
    KeyView::from(key).to_json_string()
}

impl IntoResponse for KeyArray {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.0)
    }
}

impl ApiResponse for KeyArray {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The keys, oldest first.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema: Vec::<KeyView>::schema_ref() }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        KeyView::register(registry);
    }
}

/// Confirms a deletion.
#[derive(Object)]
#[oai(rename = "AthenaDeletionResult")]
pub(super) struct Deleted {
    /// Always true.
    pub(super) success: bool,
}

/// The number of deleted keys.
#[derive(Object)]
#[oai(rename = "AthenaDeletionCount")]
pub(super) struct DeletedCount {
    /// Number of deleted keys.
    pub(super) deleted: u64,
}
