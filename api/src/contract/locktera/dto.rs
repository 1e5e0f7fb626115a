//! JSON ↔ domain, in this contract's words: `snake_case`, permissions in flat form, times as RFC 3339 in UTC.

use domain::{
    api_key::{ApiKey, Creator},
    id::UserId,
    secret::Secret,
};
use poem_openapi::{Enum, Object, registry::MetaSchema};
use uuid::Uuid;

use crate::{
    failure::{Failure, Fields},
    json::stored_object,
    time::{Moment, Seconds},
    wire::{JsonObject, Nullable, ParameterSchema, Unread},
};

/// A key of an organization.
#[derive(Object)]
#[oai(rename = "ApiKey")]
pub(super) struct KeyView {
    /// Its identifier.
    id: Uuid,
    /// Its name; empty for a key that has none.
    name: String,
    /// When it was made.
    created_at: Seconds,
    /// What it may do: `read` is that action on every resource, `files:read` on one, `*` is everything.
    permissions: Vec<String>,
    /// Permission sets that it has besides.
    permission_sets: Vec<Uuid>,
    /// What its maker's own system calls it, or whom it is for.
    external_id: Nullable<String>,
    /// The organization that owns it.
    org_id: Uuid,
    /// The user it belongs to, whose own permissions bound it; null for the organization's own key.
    user_id: Nullable<Uuid>,
    /// What stands in front of its text.
    prefix: String,
    /// The first characters of its text, to recognize it by.
    start: String,
    /// When the last of its older texts ends, or has ended, unless the key ends before; null: none went on beside a newer one.
    previous_secret_expires_at: Nullable<Moment>,
    /// Whether it is in use.
    enabled: bool,
    /// Before this moment it is refused; null: it never was.
    not_before: Nullable<Moment>,
    /// From this moment on it is refused; null: never.
    expires_at: Nullable<Moment>,
    /// The networks that it may be used from; null: any.
    allowed_addresses: Nullable<Vec<String>>,
    /// What its maker keeps with it.
    metadata: Nullable<JsonObject>,
    created_by: CreatorView,
    /// When its settings last changed.
    updated_at: Moment,
    /// When it was deleted; null: it was not.
    deleted_at: Nullable<Moment>,
    /// Counts changes of its settings; its use does not move it.
    version: u64,
    /// Uses that are left; null: any number.
    remaining: Nullable<u64>,
    /// What a refill sets `remaining` to; null: there is none.
    refill_amount: Nullable<u64>,
    /// Milliseconds between two refills, at least.
    refill_interval: Nullable<u64>,
    /// When it was last refilled.
    last_refill_at: Nullable<Moment>,
    /// The most uses in a window; null: any number.
    rate_limit_max: Nullable<u64>,
    /// Milliseconds of a window.
    rate_limit_window: Nullable<u64>,
    /// Verifies that found it good.
    request_count: u64,
    /// The last verify or authentication that found it good.
    last_used_at: Nullable<Moment>,
}

/// Who made a key.
#[derive(Object)]
#[oai(rename = "Creator")]
pub(super) struct CreatorView {
    r#type: CreatorType,
    /// The key's or user's identifier; null for the operator.
    id: Nullable<Uuid>,
}

/// What kind of maker.
#[derive(Enum)]
#[oai(rename = "CreatorType", rename_all = "lowercase")]
enum CreatorType {
    /// A caller with this key.
    Key,
    /// This user, at sign-up.
    User,
    /// The operator of the service.
    Operator,
}

impl From<&ApiKey> for KeyView {
    fn from(key: &ApiKey) -> Self {
        let (r#type, id) = match key.created_by {
            Creator::Key(id) => (CreatorType::Key, Some(id.uuid())),
            Creator::User(id) => (CreatorType::User, Some(id.uuid())),
            Creator::Operator => (CreatorType::Operator, None),
        };
        Self {
            id: key.id.uuid(),
            name: key.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
            created_at: Seconds(key.created_at),
            permissions: key.permissions.flat(),
            permission_sets: key.sets.iter().map(|set| set.uuid()).collect(),
            external_id: Nullable(key.external_id.as_ref().map(|id| id.as_str().to_owned())),
            org_id: key.organization.uuid(),
            user_id: Nullable(key.user.map(UserId::uuid)),
            prefix: key.prefix.as_str().to_owned(),
            start: key.start.clone(),
            previous_secret_expires_at: Nullable(key.previous_ends_at.map(Moment)),
            enabled: key.enabled,
            not_before: Nullable(key.not_before.map(Moment)),
            expires_at: Nullable(key.expires_at.map(Moment)),
            allowed_addresses: Nullable(key.addresses.as_ref().map(|list| list.texts().collect())),
            metadata: Nullable(key.metadata.as_ref().map(|text| JsonObject(stored_object(text.as_str())))),
            created_by: CreatorView { r#type, id: Nullable(id) },
            updated_at: Moment(key.updated_at),
            deleted_at: Nullable(key.deleted_at.map(Moment)),
            version: key.version,
            remaining: Nullable(key.quota.remaining),
            refill_amount: Nullable(key.quota.refill.map(|refill| refill.amount)),
            refill_interval: Nullable(key.quota.refill.map(|refill| refill.interval)),
            last_refill_at: Nullable(key.quota.last_refill_at.map(Moment)),
            rate_limit_max: Nullable(key.quota.rate_limit.map(|limit| limit.max)),
            rate_limit_window: Nullable(key.quota.rate_limit.map(|limit| limit.window)),
            request_count: key.request_count,
            last_used_at: Nullable(key.last_request_at.map(Moment)),
        }
    }
}

/// A key that was just made, with its text.
#[derive(Object)]
#[oai(rename = "CreatedApiKey")]
pub(super) struct CreatedKeyView {
    #[oai(flatten)]
    view: KeyView,
    /// The text that the key is used with. It is shown in this answer only: null where the answer is sent again.
    key: Nullable<String>,
}

impl CreatedKeyView {
    pub(super) fn new(key: &ApiKey, secret: &Secret) -> Self {
        Self { view: key.into(), key: Nullable(Some(secret.expose().to_owned())) }
    }
}

/// What was done.
#[derive(Object)]
pub(super) struct Message {
    /// A sentence for people.
    pub(super) message: String,
}

/// The size of a page: 1 to 1000.
#[derive(Debug)]
pub(super) struct PageSize;

impl PageSize {
    pub(super) const MAX: u64 = 1_000;

    pub(super) fn read(text: &Unread<Self>) -> Result<u64, Failure> {
        let plain = !text.text().is_empty() && text.text().bytes().all(|byte| byte.is_ascii_digit());
        text.text()
            .parse()
            .ok()
            .filter(|size| plain && (1..=Self::MAX).contains(size))
            .ok_or_else(|| Failure::Invalid(Fields::one("limit", "must be a whole number from 1 to 1000")))
    }
}

impl ParameterSchema for PageSize {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), maximum: Some(1_000.0), ..MetaSchema::new_with_format("integer", "int32") }
    }
}
