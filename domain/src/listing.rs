//! Which keys a list has, and in which order.

use crate::{
    api_key::ApiKey,
    clock::Timestamp,
    id::{KeyId, UserId},
    organization::ExternalId,
    permission::Permission,
};

/// What a list of keys is asked for: some of them, in an order.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Which keys.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
}

/// Which keys are in a list: those for which all of this holds. `None` asks nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Whether it is deleted, and not gone yet. Without this wish, it is not.
    pub is_deleted: bool,
    /// Whether it is in use.
    pub enabled: Option<bool>,
    /// Whether it is expired at this moment.
    pub expired: Option<(bool, Timestamp)>,
    /// A part of its name, in whatever case its ASCII letters are.
    pub name: Option<String>,
    /// Whom it belongs to.
    pub holder: Option<Holder>,
    /// What the operator's own system calls it.
    pub external_id: Option<ExternalId>,
    /// What it was given, by itself or by one of its sets.
    pub permission: Option<Permission>,
    /// Before when it was used last, if ever.
    pub last_used_before: Option<Timestamp>,
    /// Whether it was ever used.
    pub used: Option<bool>,
    /// Before when it expires.
    pub expires_before: Option<Timestamp>,
    /// Whether none of its uses remains. A refill may be due.
    pub used_up: Option<bool>,
    /// Whether an older secret of it goes on at this moment.
    pub rotating: Option<(bool, Timestamp)>,
    /// Members of its metadata: a name, and a value as JSON text.
    pub metadata: Vec<(MemberName, String)>,
}

/// Whom a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The organization itself.
    Organization,
    /// This user.
    User(UserId),
}

/// The name of a member of metadata that can be asked for: 1 to 64 of `A-Z a-z 0-9 _ . -`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberName(String);

impl MemberName {
    /// The name, if it can be asked for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        (is_plain && (1..=64).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the keys of a list are ordered by; among those that are alike, by their identifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// When it was made.
    #[default]
    CreatedAt,
    /// Its name, as if its ASCII letters were small; those without one are first.
    Name,
    /// When it was used last; those that never were are first.
    LastUsedAt,
    /// When it expires; those that never do are last.
    ExpiresAt,
    /// How often it was used.
    RequestCount,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: By,
    /// The other way around.
    pub is_descending: bool,
}

/// A place in a list. It does not move when other keys come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What the list is ordered by, of the key at this place.
    pub mark: Mark,
    /// Its identifier.
    pub id: KeyId,
}

/// What a list is ordered by, of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A time in milliseconds, or a count.
    Number(i64),
    /// A name.
    Text(String),
}

/// Where a list begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After so many keys.
    Skip(u64),
    /// After this place.
    After(Position),
}

impl Order {
    /// The mark of a key that was never used.
    pub const NEVER_USED: i64 = 0;

    /// The mark of a key that never expires.
    pub const NEVER_EXPIRES: i64 = i64::MAX;

    /// The place of a key.
    #[must_use]
    pub fn position(self, key: &ApiKey) -> Position {
        let number = |at: Option<Timestamp>, none| Mark::Number(at.map_or(none, Timestamp::millis));
        let mark = match self.by {
            By::CreatedAt => Mark::Number(key.created_at.millis()),
            By::Name => {
                let name = key.name.as_ref().map_or("", |name| name.as_str());
                Mark::Text(name.to_ascii_lowercase())
            }
            By::LastUsedAt => number(key.last_request_at, Self::NEVER_USED),
            By::ExpiresAt => number(key.expires_at, Self::NEVER_EXPIRES),
            By::RequestCount => Mark::Number(i64::try_from(key.request_count).unwrap_or(i64::MAX)),
        };
        Position { mark, id: key.id }
    }
}
