//! Filters, sort orders and cursors of key lists.

use crate::{
    clock::Timestamp,
    id::{ExternalId, KeyId, SetId, UserId},
    keys::api_key::ApiKey,
    permissions::Permission,
    validated_string::fold,
};

/// The filter and the order of a list of keys.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The filter.
    pub filter: Filter,
    /// The order.
    pub order: Order,
}

/// The filter of a list: keys that match all conditions. `None`: no condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Lists deleted keys that are not purged yet. If false: keys that are not deleted.
    pub is_deleted: bool,
    /// Whether the key is enabled.
    pub enabled: Option<bool>,
    /// Whether the key can manage this service.
    pub can_manage: Option<bool>,
    /// Whether the key is expired at this time (UTC).
    pub expired: Option<(bool, Timestamp)>,
    /// A part of the name, in the form of [`fold`].
    pub name: Option<String>,
    /// A text in one of several fields.
    pub search: Option<Search>,
    /// The id of the key.
    pub id: Option<KeyId>,
    /// The beginning of the visible start of one of its secrets.
    pub secret_start: Option<SecretStart>,
    /// The owner of the key.
    pub owner: Option<OwnerFilter>,
    /// The external id of the key.
    pub external_id: Option<ExternalId>,
    /// A permission that the key has, directly or through a permission set.
    pub permission: Option<Permission>,
    /// A permission set that the key has.
    pub permission_set: Option<SetId>,
    /// The key was created before this time (UTC, exclusive).
    pub created_before: Option<Timestamp>,
    /// The key was never used, or last used before this time (UTC, exclusive).
    pub last_used_before: Option<Timestamp>,
    /// Whether the key was ever used.
    pub used: Option<bool>,
    /// The key expires before this time (UTC, exclusive).
    pub expires_before: Option<Timestamp>,
    /// Whether the key has no remaining uses. A refill that is due is not considered.
    pub exhausted: Option<bool>,
    /// Whether the key has a previous secret that is valid at this time (UTC).
    pub rotating: Option<(bool, Timestamp)>,
    /// Members of the metadata object: a name, and a value as JSON text.
    pub metadata: Vec<(MetadataKey, String)>,
}

/// The most keys that are counted. If more keys match a filter, the count is one more than this.
pub const MAX_COUNTED: u64 = 10_000;

/// The most keys that are sorted by a field without an index. The fields that change with the use of a key have none: each use would
/// have to write it.
pub const MAX_SORTED: u64 = 150_000;

/// The most keys that a list skips. Keys after that are reached with a cursor, or by reading the whole list.
pub const MAX_SKIPPED: u64 = 100_000;

/// A text that is searched for in several fields: keys match in which at least one field has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// A part of the name, in the form of [`fold`].
    pub name: String,
    /// A part of the external id: upper and lower case differ.
    pub external_id: String,
    /// The id of the key. `None`: the text is not an id.
    pub id: Option<KeyId>,
    /// The beginning of the visible start of one of its secrets. `None`: the text is not one.
    pub secret_start: Option<SecretStart>,
}

impl Search {
    /// The maximum length in characters.
    pub const MAX: usize = 255;

    /// Parses a text without whitespace around it. `None`: it is empty, longer than [`Search::MAX`], or has control characters,
    /// which no field has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = !text.chars().any(char::is_control) && (1..=Self::MAX).contains(&text.chars().count());
        is_plain.then(|| Self {
            name: fold(text),
            external_id: text.to_owned(),
            id: text.parse().ok(),
            secret_start: SecretStart::parse(text),
        })
    }
}

/// The beginning of the visible start of a secret: 1 to 38 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretStart(String);

impl SecretStart {
    /// The maximum length: a prefix and 6 characters.
    pub const MAX: usize = 38;

    /// Parses a beginning. `None`: no visible start begins so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        (is_plain && (1..=Self::MAX).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The beginning as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The owner of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerFilter {
    /// The organization.
    Organization,
    /// This user.
    User(UserId),
}

/// The name of a metadata member to filter by: 1 to 64 of `A-Z a-z 0-9 _ . -`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataKey(String);

impl MetadataKey {
    /// Parses a name. `None`: it is not a valid name to filter by.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        (is_plain && (1..=64).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The field that a list is sorted by. Keys with equal values are sorted by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortField {
    /// When the key was created.
    #[default]
    CreatedAt,
    /// The name, ignoring the case of ASCII letters. Keys without a name are first.
    Name,
    /// When the key was last used. Keys that were never used are first.
    LastUsedAt,
    /// When the key expires. Keys that never expire are last.
    ExpiresAt,
    /// The number of successful verify requests.
    RequestCount,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The sort field.
    pub by: SortField,
    /// Whether the order is descending.
    pub is_descending: bool,
}

/// A cursor: a position in a list. It stays valid when other keys are created or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPosition {
    /// The sort key of the last key before the position.
    pub sort_key: SortKey,
    /// The id of that key.
    pub id: KeyId,
}

/// The value of the sort field of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// A time in milliseconds since the Unix epoch, or a number.
    Number(i64),
    /// A name in lower case.
    Text(String),
}

/// Where a page of a list begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this number of keys.
    Skip(u64),
    /// After this position.
    After(ListPosition),
}

impl Order {
    /// The sort key of a key that was never used.
    pub const NEVER_USED: i64 = 0;

    /// The sort key of a key that never expires.
    pub const NEVER_EXPIRES: i64 = i64::MAX;

    /// The position of a key in the list.
    #[must_use]
    pub fn position(self, key: &ApiKey) -> ListPosition {
        let number = |at: Option<Timestamp>, none| SortKey::Number(at.map_or(none, Timestamp::millis));
        let sort_key = match self.by {
            SortField::CreatedAt => SortKey::Number(key.created_at.millis()),
            SortField::Name => {
                let name = key.settings.name.as_ref().map_or("", |name| name.as_str());
                SortKey::Text(name.to_ascii_lowercase())
            }
            SortField::LastUsedAt => number(key.last_request_at, Self::NEVER_USED),
            SortField::ExpiresAt => number(key.settings.expires_at, Self::NEVER_EXPIRES),
            SortField::RequestCount => SortKey::Number(i64::try_from(key.request_count).unwrap_or(i64::MAX)),
        };
        ListPosition { sort_key, id: key.id }
    }
}
