//! Domain → JSON, in this contract's words: `camelCase`, times with milliseconds, permissions as a map. The order of the
//! fields is that of the documents, which is not the same for a key that was just made.

use std::{borrow::Cow, collections::HashMap};

use domain::{
    api_key::{ApiKey, Metadata},
    id::UserId,
    permission::PermissionSet,
    secret::Secret,
};
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    json::stored_object,
    time::Millis,
    wire::{JsonObject, Nullable, plain_type},
};

/// The plugin can have several configurations; there is one.
pub(super) const DEFAULT_CONFIG: &str = "default";

/// Resource → actions.
#[derive(Clone, Debug)]
pub(super) struct PermissionMap(PermissionSet);

plain_type!([] PermissionMap, "permission_map", MetaSchema {
    additional_properties: Some(Box::new(Vec::<String>::schema_ref())),
    ..MetaSchema::new("object")
});

impl ToJSON for PermissionMap {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Object(self.0.map().into_iter().map(|(name, actions)| (name.to_owned(), actions.into())).collect()))
    }
}

impl ParseFromJSON for PermissionMap {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let map = HashMap::<String, Vec<String>>::parse_from_json(value).map_err(ParseError::propagate)?;
        let map = map.iter().map(|(resource, actions)| (resource.as_str(), actions.iter().map(String::as_str)));
        PermissionSet::from_map(map).map(Self).map_err(ParseError::custom)
    }
}

fn permissions(set: &PermissionSet) -> Nullable<PermissionMap> {
    Nullable((*set != PermissionSet::default()).then(|| PermissionMap(set.clone())))
}

/// The owner, as better-auth says it: the user, or the organization for its own keys.
pub(super) fn owner(key: &ApiKey) -> Uuid {
    key.user.map_or(key.organization.uuid(), UserId::uuid)
}

fn metadata(text: Option<&str>) -> Nullable<JsonObject> {
    Nullable(text.map(|text| JsonObject(stored_object(text))))
}

/// A key.
#[derive(Object)]
#[oai(rename = "AthenaApiKey", rename_all = "camelCase")]
pub(super) struct KeyView {
    /// Its identifier.
    id: Uuid,
    /// Its name.
    name: Nullable<String>,
    /// The first characters of its text, to recognize it by.
    start: Nullable<String>,
    /// What stands in front of its text.
    prefix: Nullable<String>,
    /// The user it belongs to, or the organization for its own key.
    user_id: Uuid,
    /// Milliseconds between two refills, at least.
    refill_interval: Nullable<u64>,
    /// What a refill sets `remaining` to.
    refill_amount: Nullable<u64>,
    /// When it was last refilled.
    last_refill_at: Nullable<Millis>,
    /// Whether it is in use.
    enabled: bool,
    /// Whether uses in a window are counted.
    rate_limit_enabled: bool,
    /// Milliseconds of a window.
    rate_limit_time_window: Nullable<u64>,
    /// The most uses in a window.
    rate_limit_max: Nullable<u64>,
    /// Verifies that found it good.
    request_count: u64,
    /// Uses that are left; null: any number.
    remaining: Nullable<u64>,
    /// The last verify or authentication that found it good.
    last_request: Nullable<Millis>,
    /// From this moment on it is refused; null: never.
    expires_at: Nullable<Millis>,
    /// When it was made.
    created_at: Millis,
    /// When its settings last changed.
    updated_at: Millis,
    /// What its maker keeps with it.
    metadata: Nullable<JsonObject>,
    /// What it may do: resource to actions; null: nothing.
    permissions: Nullable<PermissionMap>,
    /// The same as `userId`.
    reference_id: Uuid,
    /// Always `default`.
    config_id: String,
    /// The organization that owns it.
    #[oai(rename = "org_id")]
    org_id: Uuid,
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.uuid(),
            name: Nullable(key.name.as_ref().map(|name| name.as_str().to_owned())),
            start: Nullable(Some(key.start.clone())),
            prefix: Nullable(Some(key.prefix.as_str().to_owned()).filter(|prefix| !prefix.is_empty())),
            user_id: owner(key),
            refill_interval: Nullable(key.quota.refill.map(|refill| refill.interval)),
            refill_amount: Nullable(key.quota.refill.map(|refill| refill.amount)),
            last_refill_at: Nullable(key.quota.last_refill_at.map(Millis)),
            enabled: key.enabled,
            rate_limit_enabled: key.quota.rate_limit.is_some(),
            rate_limit_time_window: Nullable(key.quota.rate_limit.map(|limit| limit.window)),
            rate_limit_max: Nullable(key.quota.rate_limit.map(|limit| limit.max)),
            request_count: key.request_count,
            remaining: Nullable(key.quota.remaining),
            last_request: Nullable(key.last_request_at.map(Millis)),
            expires_at: Nullable(key.expires_at.map(Millis)),
            created_at: Millis(key.created_at),
            updated_at: Millis(key.updated_at),
            metadata: metadata(key.metadata.as_ref().map(Metadata::as_str)),
            permissions: permissions(&key.permissions),
            reference_id: owner(key),
            config_id: DEFAULT_CONFIG.to_owned(),
            org_id: key.organization.uuid(),
        }
    }
}

/// A key that was just made, with its text.
#[derive(Object)]
#[oai(rename = "AthenaCreatedApiKey", rename_all = "camelCase")]
pub(super) struct CreatedKeyView {
    /// Its identifier.
    id: Uuid,
    /// When it was made.
    created_at: Millis,
    /// When its settings last changed.
    updated_at: Millis,
    /// Its name.
    name: Nullable<String>,
    /// What stands in front of its text.
    prefix: Nullable<String>,
    /// The first characters of its text, to recognize it by.
    start: Nullable<String>,
    /// The text that the key is used with. It is shown in this answer only.
    key: String,
    /// Whether it is in use.
    enabled: bool,
    /// From this moment on it is refused; null: never.
    expires_at: Nullable<Millis>,
    /// The user it belongs to, or the organization for its own key.
    user_id: Uuid,
    /// When it was last refilled.
    last_refill_at: Nullable<Millis>,
    /// The last verify or authentication that found it good.
    last_request: Nullable<Millis>,
    /// What its maker keeps with it.
    metadata: Nullable<JsonObject>,
    /// The most uses in a window.
    rate_limit_max: Nullable<u64>,
    /// Milliseconds of a window.
    rate_limit_time_window: Nullable<u64>,
    /// Uses that are left; null: any number.
    remaining: Nullable<u64>,
    /// What a refill sets `remaining` to.
    refill_amount: Nullable<u64>,
    /// Milliseconds between two refills, at least.
    refill_interval: Nullable<u64>,
    /// Whether uses in a window are counted.
    rate_limit_enabled: bool,
    /// Verifies that found it good.
    request_count: u64,
    /// What it may do: resource to actions; null: nothing.
    permissions: Nullable<PermissionMap>,
    /// The same as `userId`.
    reference_id: Uuid,
    /// Always `default`.
    config_id: String,
    /// The organization that owns it.
    #[oai(rename = "org_id")]
    org_id: Uuid,
}

impl CreatedKeyView {
    pub(super) fn new(key: &ApiKey, secret: &Secret) -> Self {
        Self {
            id: key.id.uuid(),
            created_at: Millis(key.created_at),
            updated_at: Millis(key.updated_at),
            name: Nullable(key.name.as_ref().map(|name| name.as_str().to_owned())),
            prefix: Nullable(Some(key.prefix.as_str().to_owned()).filter(|prefix| !prefix.is_empty())),
            start: Nullable(Some(key.start.clone())),
            key: secret.expose().to_owned(),
            enabled: key.enabled,
            expires_at: Nullable(key.expires_at.map(Millis)),
            user_id: owner(key),
            last_refill_at: Nullable(key.quota.last_refill_at.map(Millis)),
            last_request: Nullable(key.last_request_at.map(Millis)),
            metadata: metadata(key.metadata.as_ref().map(Metadata::as_str)),
            rate_limit_max: Nullable(key.quota.rate_limit.map(|limit| limit.max)),
            rate_limit_time_window: Nullable(key.quota.rate_limit.map(|limit| limit.window)),
            remaining: Nullable(key.quota.remaining),
            refill_amount: Nullable(key.quota.refill.map(|refill| refill.amount)),
            refill_interval: Nullable(key.quota.refill.map(|refill| refill.interval)),
            rate_limit_enabled: key.quota.rate_limit.is_some(),
            request_count: key.request_count,
            permissions: permissions(&key.permissions),
            reference_id: owner(key),
            config_id: DEFAULT_CONFIG.to_owned(),
            org_id: key.organization.uuid(),
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

/// A key was deleted.
#[derive(Object)]
#[oai(rename = "AthenaDeleted")]
pub(super) struct Deleted {
    /// Always true.
    pub(super) success: bool,
}

/// How many keys were deleted.
#[derive(Object)]
#[oai(rename = "AthenaDeletedCount")]
pub(super) struct DeletedCount {
    /// How many.
    pub(super) deleted: u64,
}
