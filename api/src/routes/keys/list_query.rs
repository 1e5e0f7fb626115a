//! Parsers of query parameters. An invalid value is recorded in `fields` by the name of the parameter, and `None` or the default
//! is returned.

use domain::{
    audit::{EventOutcome, context::Action},
    clock::Timestamp,
    keys::{
        list::{MetadataKey, Order, OwnerFilter, Search, SecretStart, SortField},
        usage::RankBy,
    },
    permissions::Permission,
    usage::{Granularity, Outcomes},
    validated_string::fold,
};
use poem_openapi::registry::MetaSchema;
use serde_json::Value;
use uuid::Uuid;

use crate::http::{
    api_error::Fields,
    openapi_codes::OneOf,
    openapi_types::{Id, ParameterSchema, RawParam},
    rfc3339::Rfc3339,
    strict_json::{self, FromJson},
};

/// A parameter that is `true` or `false`.
#[derive(Debug)]
pub(crate) struct Flag;

/// A parameter that is a time (RFC 3339).
#[derive(Debug)]
pub(crate) struct Instant;

/// A parameter that is the id of a user, or `none` for keys without a user.
#[derive(Debug)]
pub(crate) struct OwnerId;

/// A parameter that is the granularity of a usage series: `hour` or `day`.
#[derive(Debug)]
pub(crate) struct GranularityName;

/// The cursor of a list whose items have numbers.
#[derive(Debug)]
pub(crate) struct EventCursor;

/// The sort order of a list of keys.
#[derive(Debug)]
pub(crate) struct Sort;

/// A filter by metadata: a JSON object whose members the metadata must have.
#[derive(Debug)]
pub(crate) struct MetadataFilter;

impl ParameterSchema for Flag {
    fn schema() -> MetaSchema {
        MetaSchema::new("boolean")
    }
}

impl ParameterSchema for Instant {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "date-time")
    }
}

impl ParameterSchema for GranularityName {
    fn schema() -> MetaSchema {
        MetaSchema { enum_items: vec!["hour".into(), "day".into()], ..MetaSchema::new("string") }
    }
}

impl ParameterSchema for EventCursor {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

impl ParameterSchema for OwnerId {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

impl ParameterSchema for MetadataFilter {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

const SORT_FIELDS: [(&str, SortField); 5] = [
    ("created_at", SortField::CreatedAt),
    ("name", SortField::Name),
    ("last_used_at", SortField::LastUsedAt),
    ("expires_at", SortField::ExpiresAt),
    ("request_count", SortField::RequestCount),
];

impl ParameterSchema for Sort {
    fn schema() -> MetaSchema {
        let directions = SORT_FIELDS.iter().flat_map(|(name, _)| [Value::from(*name), Value::from(format!("-{name}"))]);
        MetaSchema { enum_items: directions.collect(), ..MetaSchema::new("string") }
    }
}

/// Parses `true` or `false`. `None`: absent or invalid.
pub(crate) fn flag(fields: &mut Fields, name: &str, text: Option<&RawParam<Flag>>) -> Option<bool> {
    match text?.text() {
        "true" => Some(true),
        "false" => Some(false),
        _ => invalid(fields, name, "must be true or false"),
    }
}

pub(crate) fn instant(fields: &mut Fields, name: &str, text: Option<&RawParam<Instant>>) -> Option<Timestamp> {
    let text = text?.text();
    match Rfc3339::parse(text) {
        Some(Rfc3339(at)) => Some(at),
        // In a query, `+` means a space.
        None if text.contains(' ') && Rfc3339::parse(&text.replace(' ', "+")).is_some() => {
            invalid(fields, name, "has a space where the offset begins: write + as %2B")
        }
        None => invalid(fields, name, &format!("must be {}", Rfc3339::EXPECTED)),
    }
}

pub(crate) fn owner(fields: &mut Fields, name: &str, text: Option<&RawParam<OwnerId>>) -> Option<OwnerFilter> {
    match text?.text() {
        "none" => Some(OwnerFilter::Organization),
        text => match text.parse() {
            Ok(user) => Some(OwnerFilter::User(user)),
            Err(_) => invalid(fields, name, "must be the id of a user, or none"),
        },
    }
}

pub(crate) fn actions(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<Vec<Action>> {
    let actions = Action::matching(text?);
    Some(actions).filter(|actions| !actions.is_empty()).or_else(|| invalid(fields, name, "is not a known action"))
}

/// Parses a substring of a name: at most 100 characters, without control characters, which names cannot have. Returns it folded.
pub(crate) fn name_part(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<String> {
    let is_plain = |text: &str| !text.chars().any(char::is_control) && text.chars().count() <= 100;
    match text {
        Some(text) if !is_plain(text) => {
            invalid(fields, name, "must be at most 100 characters, without control characters")
        }
        text => text.map(fold),
    }
}

/// Parses a text to search for, ignoring whitespace around it. An empty text is no condition.
pub(crate) fn search(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<Search> {
    let text = text?.trim();
    let search = Search::parse(text);
    search.or_else(|| {
        if text.is_empty() {
            return None;
        }
        invalid(fields, name, "must be at most 255 characters, without control characters")
    })
}

/// Parses the beginning of the visible start of a secret.
pub(crate) fn secret_start(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<SecretStart> {
    let start = SecretStart::parse(text?);
    start.or_else(|| {
        let expected = "must be 1 to 38 of A-Z a-z 0-9 _ -, the prefix and at most 6 characters after it; send a whole \
                        secret to …/api_keys/find";
        invalid(fields, name, expected)
    })
}

pub(crate) fn outcome(
    fields: &mut Fields,
    name: &str,
    text: Option<&RawParam<OneOf<EventOutcome>>>,
) -> Option<EventOutcome> {
    let outcome = EventOutcome::parse(text?.text());
    outcome.or_else(|| invalid(fields, name, &format!("must be one of {}", EventOutcome::CODES.join(", "))))
}

pub(crate) fn granularity(fields: &mut Fields, name: &str, text: Option<&RawParam<GranularityName>>) -> Granularity {
    match text.map(RawParam::text) {
        None | Some("hour") => Granularity::Hour,
        Some("day") => Granularity::Day,
        Some(_) => invalid(fields, name, "must be hour or day").unwrap_or(Granularity::Hour),
    }
}

pub(crate) fn rank_by(fields: &mut Fields, name: &str, text: Option<&RawParam<OneOf<RankBy>>>) -> RankBy {
    let Some(text) = text else { return RankBy::ApiKey };
    let by = RankBy::parse(text.text());
    by.or_else(|| invalid(fields, name, &format!("must be one of {}", RankBy::CODES.join(", "))))
        .unwrap_or(RankBy::ApiKey)
}

/// Parses the outcomes that are counted together. `None`: absent or invalid.
pub(crate) fn outcomes(fields: &mut Fields, name: &str, text: Option<&RawParam<OneOf<Outcomes>>>) -> Option<Outcomes> {
    let outcomes = Outcomes::parse(text?.text());
    outcomes.or_else(|| invalid(fields, name, &format!("must be one of {}", Outcomes::CODES.join(", "))))
}

pub(crate) fn id(fields: &mut Fields, name: &str, text: Option<&RawParam<Id>>) -> Option<Uuid> {
    let id = Uuid::try_parse(text?.text()).ok();
    id.or_else(|| invalid(fields, name, "must be an id"))
}

pub(crate) fn permission(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<Permission> {
    text.and_then(|text| fields.check(name, Permission::parse(text)))
}

pub(crate) fn order(fields: &mut Fields, name: &str, text: Option<&RawParam<Sort>>) -> Order {
    let Some(text) = text else { return Order::default() };
    let (field_name, is_descending) =
        text.text().strip_prefix('-').map_or((text.text(), false), |field_name| (field_name, true));
    if let Some((_, by)) = SORT_FIELDS.iter().find(|(name, _)| *name == field_name) {
        return Order { by: *by, is_descending };
    }
    let names = SORT_FIELDS.map(|(name, _)| name).join(", ");
    invalid(fields, name, &format!("must be one of {names}, with - in front to reverse it")).unwrap_or_default()
}

/// Parses a filter by metadata. Values are strings, integers or booleans: these have one JSON form only, so that equal values have
/// equal texts.
pub(crate) fn metadata(fields: &mut Fields, name: &str, text: Option<&str>) -> Vec<(MetadataKey, String)> {
    const EXPECTED: &str = "must be a JSON object of 1 to 8 members, each a string, a whole number, true or false, with a name \
                            of A-Z a-z 0-9 _ . -";
    let Some(text) = text else { return Vec::new() };
    let member = |(name, value): (String, Value)| {
        let is_plain = value.is_string() || value.is_boolean() || value.is_i64() || value.is_u64();
        Some((MetadataKey::parse(&name)?, value.to_string())).filter(|_| is_plain)
    };
    let read = match strict_json::parse(text.as_bytes()) {
        Ok(Value::Object(map)) if (1..=8).contains(&map.len()) => map.into_iter().map(member).collect(),
        _ => None,
    };
    read.or_else(|| invalid(fields, name, EXPECTED)).unwrap_or_default()
}

fn invalid<T>(fields: &mut Fields, name: &str, expected: &str) -> Option<T> {
    fields.add(name, expected);
    None
}
